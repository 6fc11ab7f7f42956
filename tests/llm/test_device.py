"""Losses and one step of a search compute on the model's device alone; no GPU is needed to see it."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from device_fixtures import DeviceMismatch, Full
from torch import nn

from fla_llm.finetune.contrast import alignment_loss, pool
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.diverse_beams import DiverseGroups
from fla_llm.llm.loss import head_of, summed_cross_entropy

Move = Callable[[nn.Module], None]
Moved = Callable[[str], StageTwoModel]
CLIPS, STEPS, WIDTH, FEATURES = 2, 3, 64, 8
KINDS = ["llama", "gemma2", "mbart", "t5"]  # a plain head, a capped, a biased and a scaled one


@pytest.fixture
def moved(
    build: Callable[..., StageTwoModel], request: pytest.FixtureRequest
) -> Callable[[str], StageTwoModel]:
    """Return a function that builds a model and moves it to a CUDA device that holds shapes alone."""

    def moved(kind: str) -> StageTwoModel:
        model = build(kind, quantise="none").eval()
        move: Move = request.getfixturevalue("on_fake_cuda")  # not before the model has real weights
        move(model)
        return model

    return moved


def cuda(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device="cuda")


def batch(model: StageTwoModel) -> dict[str, torch.Tensor]:
    """Two clips on CUDA, with as many steps as prompt tokens and labels."""
    ids = cuda(CLIPS, STEPS, dtype=torch.long)
    first = len(model.codec.decoder_prefix_ids("de"))
    return {
        "features": cuda(CLIPS, STEPS, FEATURES), "feature_lengths": ids[:, 0],
        "prompt_ids": ids, "prompt_lengths": ids[:, 0], "labels": ids, "decoder_prefix_ids": ids[:, :first],
    }  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_stays_on_the_device(kind: str, precision: str, moved: Moved) -> None:
    model = moved(kind)
    model.config = replace(
        model.config,
        training=replace(model.config.training, precision=precision),
        contrastive=replace(model.config.contrastive, weight=0.1),
    )
    model.conditioned_lm.head = head_of(model.language_model.model)  # with the bias that was moved
    with Full(STEPS):
        loss = model(**batch(model))["loss"]
    assert (loss.device.type, loss.dtype, loss.shape) == ("cuda", torch.float32, ())


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_a_search_stays_on_the_device(kind: str, moved: Moved) -> None:
    model = moved(kind)
    base: Any = model.language_model.model
    beams, ids = 2, cuda(CLIPS * 2, 1, dtype=torch.long)
    if base.config.is_encoder_decoder:
        encoded = base.get_encoder()(inputs_embeds=cuda(CLIPS * beams, STEPS, WIDTH))
        first = base(encoder_outputs=encoded, decoder_input_ids=ids, use_cache=True)
    else:
        first = base(inputs_embeds=cuda(CLIPS * beams, STEPS, WIDTH), use_cache=True)
    groups = DiverseGroups(groups=beams, diversity=0.5, prefix_length=1, eos_id=2)
    chosen = groups(ids, first.logits[:, -1]).argmax(dim=-1, keepdim=True)
    assert (chosen.device.type, chosen.shape) == ("cuda", (CLIPS * beams, 1))
    # transformers 5.24 gave the cache another name.
    name = "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"
    held = getattr(first, name)
    held.reorder_cache(cuda(CLIPS * beams, dtype=torch.long))
    again = {"encoder_outputs": encoded, "decoder_input_ids": chosen} if base.config.is_encoder_decoder else {
        "input_ids": chosen
    }  # fmt: skip
    assert base(**again, **{name: held}, use_cache=True).logits.device.type == "cuda"


def test_the_contrastive_loss_stays_on_the_device(on_fake_cuda: Move) -> None:
    clips = pool(cuda(CLIPS, STEPS, WIDTH), cuda(CLIPS, dtype=torch.long))
    assert alignment_loss(clips, cuda(CLIPS, WIDTH), temperature=0.1).device.type == "cuda"


@torch.no_grad()
def test_a_bias_that_is_left_behind_is_found(moved: Moved) -> None:
    base: Any = moved("mbart").language_model.model
    base._buffers["final_logits_bias"] = torch.zeros(1, base.config.vocab_size)
    targets = cuda(STEPS, dtype=torch.long)
    with pytest.raises(DeviceMismatch, match=r"(?i)device"):
        summed_cross_entropy(cuda(STEPS, WIDTH), targets, head=head_of(base), label_smoothing=0.0)
