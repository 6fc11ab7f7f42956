"""The contrastive loss: lowest where each clip lies at its own sentence, whoever else has that sentence."""

import math
from collections.abc import Callable

import pytest
import torch

from fla_llm.core.errors import ConfigError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ContrastiveConfig
from fla_llm.finetune.contrast import alignment_loss, pool
from fla_llm.finetune.model import StageTwoModel


def loss(clips: torch.Tensor, texts: torch.Tensor) -> float:
    return alignment_loss(clips, texts, temperature=0.1).item()


def test_clips_at_their_own_sentences_cost_least() -> None:
    texts = torch.eye(4)
    assert loss(texts * 3, texts) < 1e-3 < loss(texts[[1, 0, 2, 3]], texts)


def test_without_any_likeness_it_is_the_logarithm_of_the_clips() -> None:
    assert loss(torch.ones(4, 4), torch.ones(4, 4)) == pytest.approx(math.log(4))


def test_clips_of_one_sentence_do_not_push_each_other_apart() -> None:
    texts = torch.eye(4)[[0, 0, 2, 3]]
    clips = (texts + 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(alignment_loss(clips, texts, temperature=0.1), clips)
    torch.testing.assert_close(gradient[0], gradient[1])


def test_the_batch_alone_decides_not_its_padding() -> None:
    rows = torch.randn(2, 3, 5)
    longer = torch.cat([rows, torch.full((2, 2, 5), torch.nan)], dim=1)
    assert torch.equal(pool(longer, torch.tensor([3, 2])), pool(rows, torch.tensor([3, 2])))


def test_it_reaches_the_projector_and_stands_beside_the_loss(
    build: Callable[..., StageTwoModel], items: list, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = build("llama", quantise="none").eval()
    assert "contrastive" not in capsys.readouterr().err
    aligned = build("llama", quantise="none", contrastive=ContrastiveConfig(weight=0.5)).eval()
    assert "A contrastive loss over 4 clips means little: set training.batch_clips" in capsys.readouterr().err
    batch = collate(items, codec=plain.codec)
    source = aligned._conditioning(batch)
    expected = plain(**batch)["loss"] + 0.5 * aligned._alignment(source, batch["labels"])
    torch.testing.assert_close(aligned(**batch)["loss"], expected)
    gradients = [
        torch.autograd.grad(m(**batch)["loss"], m.projector.norm.weight)[0] for m in (plain, aligned)
    ]
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, "'contrastive.weight' must be at least 0"),
        ({"temperature": 0.0}, "'contrastive.temp"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ContrastiveConfig(**settings)


def test_clips_and_sentences_are_told_apart_both_ways() -> None:
    clips, texts = torch.randn(3, 5), torch.randn(3, 5)
    assert loss(clips, texts) == pytest.approx(loss(texts, clips))
    logits = (
        torch.nn.functional.normalize(clips, dim=-1) @ torch.nn.functional.normalize(texts, dim=-1).T / 0.1
    )
    one_way = torch.nn.functional.cross_entropy(logits, torch.arange(3)).item()
    assert loss(clips, texts) != pytest.approx(one_way)  # of these clips, the two ways differ
