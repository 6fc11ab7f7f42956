"""The loss at labelled positions is the model's own loss, wherever its logits come from."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from fla_llm.finetune.collate import collate
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.conditioned_lm import pad_rows, positions_of
from fla_llm.llm.loss import TESTED, Head, summed_cross_entropy
from fla_llm.training.config import DecodingConfig
from fla_llm.training.model import IGNORED

SHAPES = [*sorted(TESTED), "t5-untied"]


def own_loss(model: StageTwoModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what transformers computes of the same batch from ``labels``."""
    source, labels, base = model._conditioning(batch), batch["labels"], model.language_model.model
    prefixes = model.conditioned_lm.conditioning_rows(source)
    if base.config.is_encoder_decoder:
        embeds, mask = pad_rows(prefixes)
        read = torch.cat([source.decoder_prefix_ids, labels.clamp(min=0)[:, :-1]], dim=1)
        return base(inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=read, labels=labels).loss
    counts = (labels != IGNORED).sum(1).tolist()
    targets = [row[:n] for row, n in zip(labels, counts, strict=True)]
    rows = [torch.cat([p, model.conditioned_lm.embed_ids(t)]) for p, t in zip(prefixes, targets, strict=True)]
    told = [torch.cat([t.new_full((len(p),), IGNORED), t]) for p, t in zip(prefixes, targets, strict=True)]
    embeds, mask = pad_rows(rows)
    padded = torch.nn.utils.rnn.pad_sequence(told, batch_first=True, padding_value=IGNORED)
    return base(
        inputs_embeds=embeds, attention_mask=mask, position_ids=positions_of(mask), labels=padded
    ).loss


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_projector_gradient_equal_the_models_own(
    shape: str, build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build(shape, quantise="none").eval()
    batch = collate(items, codec=model.codec)
    assert model.conditioned_lm.head is not None
    gradients = []
    losses = [model(**batch)["loss"], own_loss(model, batch)]
    for loss in losses:
        model.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in model.projector.parameters()])
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", ["llama", "mbart", "t5"])
def test_label_smoothing_is_that_of_the_models_own_logits(
    shape: str, build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build(shape, quantise="none", label_smoothing=0.2).eval()
    batch = collate(items, codec=model.codec)
    targets = batch["labels"][batch["labels"] != IGNORED]
    found = model(**batch)["loss"]
    head = model.conditioned_lm.head
    assert head is not None
    logits = head(model.conditioned_lm.labelled_states(model._conditioning(batch), batch["labels"]))
    torch.testing.assert_close(found, cross_entropy(logits, targets, label_smoothing=0.2))


def test_what_leads_a_sequence_is_read_and_not_told(build: Callable[..., StageTwoModel], items: list) -> None:
    """Tokenizers like Llama's put a begin token in front, of which the toy's knows nothing."""
    model = build("llama", quantise="none").eval()
    without = model(**collate(items, codec=model.codec))["loss"]
    model.conditioned_lm.lead_ids = [1]
    batch = collate(items, codec=model.codec)
    torch.testing.assert_close(model(**batch)["loss"], own_loss(model, batch))
    assert (model(**batch)["loss"] - without).abs() > 1e-4
    first = model.conditioned_lm.conditioning_rows(model._conditioning(batch))[0][0]
    assert torch.equal(first, model.conditioned_lm.embed_ids(torch.tensor(1)))


@pytest.mark.parametrize("shape", ["gemma3_text", "mbart"])
def test_words_are_embedded_with_the_models_own_scale(
    shape: str, build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build(shape, quantise="none").eval()
    embed: Any = model.language_model.model.get_input_embeddings()
    batch = collate(items[:1], codec=model.codec)
    row = model.conditioned_lm.conditioning_rows(model._conditioning(batch))[0][
        -batch["prompt_ids"].shape[1] :
    ]
    assert torch.equal(row, embed(batch["prompt_ids"][0]))
    assert not torch.allclose(row, embed.weight[batch["prompt_ids"][0]])


def test_a_decoder_that_starts_from_two_tokens_is_trained_and_searched_behind_them(
    build: Callable[..., StageTwoModel], items: list
) -> None:
    """As mBART-50's and NLLB's do, from ``</s>`` and the language."""
    model = build("mbart", quantise="none").eval()
    model.codec.restore_decoder_prefixes({"de": [2, 5]})
    batch = collate(items, codec=model.codec)
    found, source = model(**batch)["loss"], model._conditioning(batch)
    embeds, mask = pad_rows(model.conditioned_lm.conditioning_rows(source))
    read = torch.cat([source.decoder_prefix_ids, batch["labels"].clamp(min=0)[:, :-1]], dim=1)
    llm: Any = model.language_model.model
    logits = llm(inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=read).logits[:, 1:]
    torch.testing.assert_close(found, cross_entropy(logits.transpose(1, 2), batch["labels"]))
    said = model.conditioned_lm.generate(source, DecodingConfig(num_beams=1, max_new_tokens=3))
    assert torch.equal(said[:, 0], logits[:, 0].argmax(dim=1))
    assert said.shape[1] <= 3  # nothing of the start is part of what is said


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_an_unknown_architecture_uses_its_own_logits(
    shape: str, build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build(shape, quantise="none").eval()
    batch = collate(items, codec=model.codec)
    known = model(**batch)["loss"]
    model.conditioned_lm.head = None
    torch.testing.assert_close(model(**batch)["loss"], known)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_chunks_add_up_to_the_whole(smoothing: float, trained: bool) -> None:
    head = Head(linear=torch.nn.Linear(6, 11), scale=0.5, bias=torch.randn(1, 11), cap=2.0)
    head.linear.requires_grad_(trained)
    states, targets = torch.randn(7, 6, requires_grad=True), torch.randint(0, 11, (7,))
    whole = cross_entropy(head(states), targets, reduction="sum", label_smoothing=smoothing)
    chunked = summed_cross_entropy(states, targets, head=head, label_smoothing=smoothing, chunk_tokens=3)
    torch.testing.assert_close(chunked, whole)
    wanted = [states, *(p for p in head.linear.parameters() if trained)]
    torch.testing.assert_close(
        torch.autograd.grad(chunked * 3, wanted), torch.autograd.grad(whole * 3, wanted)
    )
    with torch.no_grad():
        silent = summed_cross_entropy(states, targets, head=head, label_smoothing=smoothing, chunk_tokens=3)
    torch.testing.assert_close(silent, whole)


def test_a_frozen_head_computes_each_chunk_once() -> None:
    counted: list[int] = []
    linear = torch.nn.Linear(6, 11).requires_grad_(False)
    linear.register_forward_hook(lambda module, inputs, output: counted.append(len(output)))
    states = torch.randn(7, 6, requires_grad=True)
    loss = summed_cross_entropy(
        states, torch.zeros(7, dtype=torch.long), head=Head(linear=linear), label_smoothing=0, chunk_tokens=3
    )
    loss.backward()
    assert counted == [3, 3, 1]


def test_the_loss_is_divided_by_the_count_given(build: Callable[..., StageTwoModel], items: list) -> None:
    model = build("llama", quantise="none").eval()
    batch = collate(items, codec=model.codec)
    count = int((batch["labels"] != IGNORED).sum())
    alone, shared = model(**batch)["loss"], model(**batch, num_items_in_batch=torch.tensor(2 * count))["loss"]
    torch.testing.assert_close(shared * 2, alone)
