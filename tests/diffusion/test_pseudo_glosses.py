"""Pseudo-glosses: predicted from features alone, trained on the words of sentences, read by the denoiser."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_fixtures import CPU, STREAM, fitted
from stage_two_fixtures import TEXTS

from fla_llm.core.errors import ConfigError, RunError
from fla_llm.diffusion.batching import collate_clips
from fla_llm.diffusion.config import DiffusionConfig, DiffusionDecoding
from fla_llm.diffusion.model import DiffusionModel
from fla_llm.diffusion.pseudo_glosses import PseudoGlosses, content_words
from fla_llm.diffusion.store import build_diffusion, describe_diffusion_run, load_diffusion, save_diffusion

MakeModel = Callable[..., DiffusionModel]
COUNT = 3
DECODING = DiffusionDecoding(num_beams=1, max_new_tokens=8, steps=3)


@pytest.fixture
def model(make_model: MakeModel) -> DiffusionModel:
    return make_model(pseudo_glosses=COUNT)


def glosses_of(model: DiffusionModel) -> PseudoGlosses:
    assert model.fusion.glosses is not None
    return model.fusion.glosses


def test_words_are_tokens_of_few_sentences(model: DiffusionModel) -> None:
    codec = model.codec
    ids = content_words(TEXTS, codec=codec)
    assert {codec.decode([id]) for id in ids} == set(" ".join(TEXTS).split())
    # A word may be in half of the sentences, but not in two of three.
    fewer = {codec.decode([id]) for id in content_words(TEXTS[1:], codec=codec)}
    assert fewer == {"morgen", "sonne", "wind", "kommt", "regen", "heute"}
    with pytest.raises(ConfigError, match="needs words that differ between the 1 sentences"):
        content_words(TEXTS[:1], codec=codec)


def test_the_words_of_a_clip_are_learned_and_then_predicted_from_features(
    model: DiffusionModel, clip_batch: dict[str, Any]
) -> None:
    fitted(model.train(), clip_batch, steps=60, rate=1e-2)
    assert all(p.grad is not None and bool(p.grad.any()) for p in glosses_of(model).parameters())
    with torch.no_grad():
        _, _, logits = model.eval()._fused(clip_batch)
    assert logits is not None
    said = [{model.codec.decode([model.words[i]]) for i in (row > 0).nonzero()[:, 0]} for row in logits]
    assert said == [set(text.split()) for text in TEXTS]


def test_no_sentence_is_in_reach_of_the_prediction(
    model: DiffusionModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    with torch.no_grad():
        conditions, mask = model._condition(clip_batch)
        features_alone = {name: v for name, v in clip_batch.items() if name != "sentence_ids"}
        assert torch.equal(model._condition(features_alone)[0], conditions)
    assert mask is not None
    assert bool(mask[:, -COUNT:].all())
    swapped = [
        item | {"text": other["text"]} for item, other in zip(items, items[1:] + items[:1], strict=True)
    ]
    batch = collate_clips(swapped, codec=model.codec)
    assert model.translate_n_best(batch, DECODING, count=2) == model.translate_n_best(
        clip_batch, DECODING, count=2
    )


def test_predicted_words_reach_the_denoiser(model: DiffusionModel, clip_batch: dict[str, Any]) -> None:
    with torch.no_grad():
        noise, known = model._noise(clip_batch, DECODING, 0), model._condition(clip_batch)
        before = model.sample(known, noise, DECODING)
        glosses_of(model).embedding.weight.neg_().mul_(50)
        assert not torch.allclose(model.sample(model._condition(clip_batch), noise, DECODING), before)


def test_padding_predicts_no_words(
    model: DiffusionModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    with torch.no_grad():
        _, _, together = model._fused(clip_batch)
        for row, item in enumerate(items):
            _, _, alone = model._fused(collate_clips([item], codec=model.codec))
            assert together is not None
            assert alone is not None
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


def test_a_run_keeps_its_words(
    copying_llm: Path, diffusion_config: DiffusionConfig, clip_batch: dict[str, Any], tmp_path: Path
) -> None:
    config = replace(diffusion_config, denoiser=replace(diffusion_config.denoiser, pseudo_glosses=COUNT))
    model = build_diffusion(str(copying_llm), [STREAM], config=config, device=CPU, texts=TEXTS).eval()
    description = describe_diffusion_run(model, languages=["de"], reconstruction={"bleu4": 0.0})
    run = tmp_path / "run"
    run.mkdir()
    save_diffusion(model, run, description=description)
    loaded = load_diffusion(run, device=CPU)
    assert loaded.words == model.words != []
    assert loaded.padded_size(clip_batch) == model.padded_size(clip_batch)
    assert loaded.translate(clip_batch, DECODING) == model.translate(clip_batch, DECODING)
    described = json.loads((run / "run.json").read_text())
    for damaged in ("many", [1, "word"], [-1]):
        other = tmp_path / "other"
        shutil.copytree(run, other, dirs_exist_ok=True)
        (other / "run.json").write_text(json.dumps(described | {"pseudo_glosses": damaged}))
        with pytest.raises(RunError, match="run.json must say pseudo_glosses"):
            load_diffusion(other, device=CPU)
