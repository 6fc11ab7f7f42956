"""Sentences to latents and back: what is trained, what padding may change, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_two_fixtures import TEXTS

from fla_llm.core.errors import ConfigError, DataError, ModelError
from fla_llm.diffusion.autoencoder import TextAutoencoder
from fla_llm.diffusion.batching import Sentences, read_sentences, sentence_evaluation_set
from fla_llm.diffusion.config import DiffusionConfig
from fla_llm.finetune.collate import collate_sentences
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.training.config import DecodingConfig
from fla_llm.training.evaluation import mean_scores, predict

CPU = torch.device("cpu")


def test_every_sentence_comes_back(trained_autoencoder: TextAutoencoder, sentence_batch: dict) -> None:
    latents = trained_autoencoder.encode(sentence_batch["labels"])
    assert latents.shape == (len(TEXTS), 4, 16)
    torch.testing.assert_close(latents.square().mean(dim=-1), torch.ones(len(TEXTS), 4))
    decoding = DecodingConfig(num_beams=2, max_new_tokens=8)
    assert trained_autoencoder.translate(sentence_batch, decoding) == TEXTS
    found = trained_autoencoder.decode(latents, sentence_batch["decoder_prefix_ids"], decoding)
    assert all(row["score"] <= 0 for row in found)
    # Latents of other sentences give other sentences: the decoder reads nothing else.
    others = trained_autoencoder.decode(latents.flip(0), sentence_batch["decoder_prefix_ids"], decoding)
    assert [row["text"] for row in others] == TEXTS[::-1]


def test_reconstructions_are_scored_as_translations_are(trained_autoencoder: TextAutoencoder) -> None:
    evaluation = sentence_evaluation_set(trained_autoencoder, Sentences(TEXTS, ["de"] * 4))
    found = predict(trained_autoencoder, evaluation, decoding=DecodingConfig(), device=CPU, desc=None)
    assert (found.references, found.hypotheses) == (TEXTS, TEXTS)
    assert mean_scores(found)["exact_match"] == 100


def test_padding_changes_no_latent(trained_autoencoder: TextAutoencoder, sentence_batch: dict) -> None:
    together = trained_autoencoder.encode(sentence_batch["labels"])
    codec = trained_autoencoder.codec
    for row, text in enumerate(TEXTS):
        alone = collate_sentences([{"text": text, "language": "de"}], codec=codec)
        latents = trained_autoencoder.encode(alone["labels"])
        torch.testing.assert_close(latents[0], together[row], rtol=1e-4, atol=1e-4)


def test_the_language_model_stays_as_it_is(
    make_autoencoder: Callable[..., TextAutoencoder], sentence_batch: dict[str, Any]
) -> None:
    model = make_autoencoder().train()
    assert not model.llm.training
    model(**sentence_batch)["loss"].backward()
    with_gradient = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"resampler", "expander"}
    assert {name.split(".")[0] for name in model.checkpoint_state()} == with_gradient
    assert all(p.grad is not None for group in model.parameter_groups() for p in group["params"])


def test_halves_add_up_to_the_batch(
    trained_autoencoder: TextAutoencoder, sentence_batch: dict[str, Any]
) -> None:
    count = int((sentence_batch["labels"] >= 0).sum())
    whole = trained_autoencoder(**sentence_batch, num_items_in_batch=count)["loss"]
    halves = trained_autoencoder.halve(sentence_batch)
    assert halves is not None
    parts = [trained_autoencoder(**half, num_items_in_batch=count)["loss"] for half in halves]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-5)
    assert trained_autoencoder.halve({"labels": sentence_batch["labels"][:1]}) is None
    assert trained_autoencoder.padded_size(sentence_batch) == 4 * 5


def test_the_magnitude_is_that_of_the_encoder(
    make_autoencoder: Callable[..., TextAutoencoder], sentence_batch: dict[str, Any]
) -> None:
    model = make_autoencoder().eval()
    model.calibrate(sentence_batch["labels"])
    states, mask = model._states(sentence_batch["labels"])
    with torch.no_grad():
        expanded = model.expander(model.encode(sentence_batch["labels"]))
    assert expanded.square().mean().sqrt() == pytest.approx(
        float(states[mask].square().mean().sqrt()), rel=0.1
    )


def test_a_model_without_an_encoder_is_refused(
    make_autoencoder: Callable[..., TextAutoencoder], llm_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(
        ModelError, match="must be an encoder-decoder for --decoder diffusion, but is 'llama'"
    ):
        make_autoencoder(llm_folder("llama"))


def test_a_text_file_adds_sentences_in_the_language_of_the_clips(cached: Path, tmp_path: Path) -> None:
    items = FeatureItems(open_caches([cached], "train"))
    assert read_sentences(items, None).texts == list(dict.fromkeys(items.texts))
    file = tmp_path / "more.txt"
    file.write_text(f"sonne im norden\n\n{TEXTS[0]}\n  wind  \n")
    found = read_sentences(items, str(file))
    assert found.texts == [*dict.fromkeys(items.texts), "sonne im norden", "wind"]
    assert set(found.languages) == {"de"}
    assert found.digest != read_sentences(items, None).digest
    file.write_text("\n \n")
    with pytest.raises(DataError, match="more.txt must hold sentences, but is empty"):
        read_sentences(items, str(file))


def test_a_text_file_beside_two_languages_is_refused(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = FeatureItems(open_caches([cached], "train"))
    monkeypatch.setattr(FeatureItems, "languages", ["de", "en", "de", "de"])
    with pytest.raises(ConfigError, match="needs clips of one language.*are in de, en"):
        read_sentences(items, "text.txt")


def test_noise_on_latents_is_for_training_alone(
    trained_autoencoder: TextAutoencoder, make_autoencoder: Callable[..., TextAutoencoder],
    diffusion_config: DiffusionConfig, sentence_batch: dict[str, Any],
) -> None:  # fmt: skip
    noisy = replace(diffusion_config, autoencoder=replace(diffusion_config.autoencoder, latent_noise=5.0))
    model = make_autoencoder(config=noisy).eval()
    model.load_checkpoint_state(trained_autoencoder.checkpoint_state())
    clean = trained_autoencoder(**sentence_batch)["loss"]
    assert model(**sentence_batch)["loss"] == clean
    assert model.train()(**sentence_batch)["loss"] > 2 * clean
