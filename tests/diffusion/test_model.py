"""Draws of sentences: seeds, guidance, padding, and no reference in reach."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusion_fixtures import fitted
from stage_two_fixtures import TEXTS

from fla_llm.diffusion.autoencoder import TextAutoencoder
from fla_llm.diffusion.batching import collate_clips
from fla_llm.diffusion.config import DiffusionDecoding
from fla_llm.diffusion.model import DiffusionModel
from fla_llm.diffusion.noise import add_noise, denoise, make_sampler
from fla_llm.finetune.collate import collate_sentences

MakeModel = Callable[..., DiffusionModel]
DECODING = DiffusionDecoding(num_beams=1, max_new_tokens=8, steps=3, guidance=2.0)


def drawn(model: DiffusionModel, batch: dict[str, Any], decoding: DiffusionDecoding, number: int = 0) -> Any:
    """Return the latents of a draw, which tell more than sentences do."""
    with torch.no_grad():
        condition = model._condition(batch)
        return model.sample(condition, model._noise(batch, decoding, number), decoding)


def without(items: list[dict[str, Any]], **changed: Any) -> list[dict[str, Any]]:
    return [item | changed for item in items]


def test_zero_steps_of_noise_give_the_reconstruction(
    make_model: MakeModel, clip_batch: dict[str, Any], sentence_batch: dict[str, Any]
) -> None:
    model = make_model()
    autoencoder, prefix = model.autoencoder, clip_batch["decoder_prefix_ids"]
    latents = autoencoder.encode(clip_batch["sentence_ids"])
    clean, _ = add_noise(latents, torch.randn_like(latents), torch.ones(()))
    untouched = denoise(clean, [], sampler=make_sampler(DECODING), predict=lambda *_: latents * 0)
    found = [row["text"] for row in autoencoder.decode(untouched, prefix, DECODING)]
    assert found == autoencoder.translate(sentence_batch, DECODING) == TEXTS


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_the_same_seed_draws_the_same_candidates(
    make_model: MakeModel, clip_batch: dict[str, Any], sampler: Any
) -> None:
    model, decoding = make_model(), replace(DECODING, sampler=sampler)
    first = model.translate_n_best(clip_batch, decoding, count=3)
    torch.manual_seed(99)
    assert model.translate_n_best(clip_batch, decoding, count=3) == first
    assert [clip[0]["text"] for clip in first] == model.translate(clip_batch, decoding)
    assert not torch.equal(drawn(model, clip_batch, decoding), drawn(model, clip_batch, decoding, 1))
    other = replace(decoding, seed=1)
    assert not torch.equal(drawn(model, clip_batch, decoding), drawn(model, clip_batch, other))


def test_a_clip_draws_the_same_alone_and_among_longer_clips(
    make_model: MakeModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    model = make_model()
    together = drawn(model, clip_batch, DECODING)
    for row, item in enumerate(items):
        alone = drawn(model, collate_clips([item], codec=model.codec), DECODING)
        torch.testing.assert_close(alone[0], together[row], rtol=1e-3, atol=1e-3)


def test_the_noise_of_a_clip_follows_from_its_id(
    make_model: MakeModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    model = make_model()
    noise = model._noise(clip_batch, DiffusionDecoding(), 0)
    assert not any(torch.equal(noise[0], other) for other in noise[1:])
    turned = model._noise(collate_clips(items[::-1], codec=model.codec), DiffusionDecoding(), 0)
    assert torch.equal(turned.flip(0), noise)
    assert torch.equal(model._noise(clip_batch, DiffusionDecoding(noise=1.5), 0), 1.5 * noise)


def test_guidance_0_ignores_the_video(
    make_model: MakeModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    model = make_model()
    draw = np.random.default_rng(8)
    others = [item | {"features": draw.standard_normal((6, 8)).astype(np.float16)} for item in items]
    batch = collate_clips(others, codec=model.codec)
    blind, seeing = replace(DECODING, guidance=0.0), DECODING
    assert torch.equal(drawn(model, clip_batch, blind), drawn(model, batch, blind))
    assert not torch.allclose(drawn(model, clip_batch, seeing), drawn(model, batch, seeing), atol=1e-2)
    unguided = replace(DECODING, guidance=1.0)
    assert not torch.allclose(drawn(model, batch, unguided), drawn(model, batch, seeing), atol=1e-2)


def test_without_the_references_the_candidates_are_the_same(
    make_model: MakeModel, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    model = make_model()
    blank = collate_clips(without(items, text=""), codec=model.codec)
    assert not torch.equal(blank["sentence_ids"], clip_batch["sentence_ids"])
    found = [model.translate_n_best(batch, DECODING, count=2) for batch in (clip_batch, blank)]
    assert found[0] == found[1]


def test_one_batch_can_be_overfitted(make_model: MakeModel, clip_batch: dict[str, Any]) -> None:
    model = make_model().train()
    torch.manual_seed(0)
    losses = fitted(model, clip_batch, steps=40, rate=1e-2)
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.split(".")[0] for name in moved} == {"denoiser", "fusion"}
    assert {name.split(".")[0] for name in model.checkpoint_state()} == {"denoiser", "fusion"}


def test_every_trained_weight_gets_a_gradient_in_each_batch(
    make_model: MakeModel, clip_batch: dict[str, Any]
) -> None:
    """Several processes wait for each of them."""
    model = make_model(streams=2).train()
    batch = clip_batch | {
        "features_2": clip_batch["features"],
        "feature_lengths_2": clip_batch["feature_lengths"],
    }
    model(**batch)["loss"].backward()
    assert all(p.grad is not None for group in model.parameter_groups() for p in group["params"])


def test_streams_are_told_apart_and_each_is_read(make_model: MakeModel, items: list[dict[str, Any]]) -> None:
    model = make_model(streams=2)
    first, second = items[3]["features"], items[2]["features"]

    def latents(*streams: Any) -> Any:
        return drawn(model, collate_clips(without(items[:1], features=streams), codec=model.codec), DECODING)

    base = latents(first, second)
    assert not torch.allclose(base, latents(second, first), atol=1e-3)
    assert not torch.allclose(base, latents(first, first), atol=1e-3)
    assert not torch.allclose(base, latents(second, second), atol=1e-3)


def test_halves_add_up_to_the_batch(make_model: MakeModel, clip_batch: dict[str, Any]) -> None:
    model = make_model(self_condition=0.0)
    halves = model.halve(clip_batch)
    assert halves is not None
    assert [half["features"].shape[1] for half in halves] == [5, 9]
    assert [len(half["noise_seeds"]) for half in halves] == [2, 2]
    assert model.padded_size(clip_batch) == 4 * (9 + 4)
    assert model.halve(halves[0]) is not None
    torch.manual_seed(0)
    loss = model(**clip_batch, num_items_in_batch=8)["loss"]
    torch.manual_seed(0)
    assert model(**clip_batch)["loss"].item() == pytest.approx(2 * loss.item())


def test_the_autoencoder_knows_no_clip(
    trained_autoencoder: TextAutoencoder, clip_batch: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    sentences = collate_sentences(items, codec=trained_autoencoder.codec)
    assert torch.equal(sentences["labels"], clip_batch["sentence_ids"])
    assert clip_batch["labels"].shape == (4, 1)
