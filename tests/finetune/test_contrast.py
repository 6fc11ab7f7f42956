"""The contrastive loss: lowest where each clip lies at its own sentence, whoever else has that sentence."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fla_llm.core.errors import ConfigError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ContrastiveConfig, LoraSettings, TuneConfig
from fla_llm.finetune.contrast import _encoded_text, alignment_loss, contrastive_loss, pool
from fla_llm.finetune.export import export_run
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.run_files import initial_llm
from fla_llm.finetune.train import tune

GATHER = Path(__file__).with_name("gather_process.py")


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
    contrast = contrastive_loss(
        aligned._conditioning(batch), batch["labels"], lm=aligned.conditioned_lm, adapted=aligned.llm,
        config=aligned.config.contrastive,
    )  # fmt: skip
    expected = plain(**batch)["loss"] + 0.5 * contrast
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
        ({"translation_weight": -1.0}, "translation_weight' must be at least 0, but is -1"),
        ({"translation_weight": 0.0}, "no loss is left"),
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


CONTRAST_ALONE = ContrastiveConfig(weight=1.0, at="encoder", translation_weight=0.0)


def test_contrast_alone_trains_encoder_and_projector_towards_unadapted_sentences(
    build: Callable[..., StageTwoModel], items: list, config: TuneConfig
) -> None:
    lora = replace(config.lora, part="encoder", dropout=0.0)
    model = build("mbart", quantise="none", contrastive=CONTRAST_ALONE, lora=lora)
    trained = [name for name, p in model.llm.named_parameters() if p.requires_grad]
    assert trained
    assert not any("decoder" in name for name in trained)
    batch = collate(items, codec=model.codec)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    first = last = 0.0
    # Neither dropout nor a trained decoder: the loss falls to that of clips which all know their sentences.
    for step in range(60):
        loss = model.train()(**batch)["loss"] / (batch["labels"] >= 0).sum()
        first, last = (loss.item() if step == 0 else first), loss.item()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimiser.step()
    assert last < 0.2 * first


def test_a_sentence_is_one_point_whatever_adapters_and_dropout_do(
    build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build("mbart", quantise="none")
    labels = collate(items, codec=model.codec)["labels"]
    conditioning = model._conditioning(collate(items, codec=model.codec))
    counts = (labels >= 0).sum(1) - 1

    def texts() -> tuple[torch.Tensor, torch.Tensor]:
        return _encoded_text(
            conditioning, labels.clamp(min=0), counts, lm=model.conditioned_lm, adapted=model.llm.train()
        )

    before, lengths = texts()
    for name, parameter in model.llm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert torch.equal(texts()[0], before)
    assert model.llm.training
    # A batch of one has no padding: a sentence does not depend on the sentences beside it.
    alone = _encoded_text(
        model._conditioning(collate(items[:1], codec=model.codec)), labels[:1, : counts[0]].clamp(min=0),
        counts[:1], lm=model.conditioned_lm, adapted=model.llm,
    )[0]  # fmt: skip
    torch.testing.assert_close(before[:1, : lengths[0]], alone)
    assert alone.shape[1] == lengths[0]


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        (
            "llama",
            {"contrastive": CONTRAST_ALONE, "train": "projector"},
            "without an encoder, but is encoder",
        ),
        ("llama", {"lora": LoraSettings(part="encoder")}, "'lora.part' must be all for a model without an"),
        ("mbart", {"contrastive": CONTRAST_ALONE}, "lora.part=all.*\nSet train=projector, or"),
        ("mbart", {"contrastive": replace(CONTRAST_ALONE, translation_weight=1.0), "train": "full"}, "full"),
    ],
)
def test_a_loss_that_the_model_cannot_have_is_refused(
    shape: str, settings: dict, message: str, build: Callable[..., StageTwoModel]
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(shape, quantise="none", **settings)


def test_clips_of_all_processes_are_compared(torchrun: Callable[..., list], tmp_path: Path) -> None:
    """Also where the processes have different numbers of clips."""
    both = [torch.randn(4, 6), torch.randn(4, 6)]
    parts = [[rows[:3] for rows in both], [rows[3:] for rows in both]]
    assert torchrun(GATHER, processes=2, ROWS=parts, FOLDER=tmp_path) == [0, 0]
    clips = both[0].requires_grad_()
    whole = alignment_loss(clips, both[1], temperature=0.5)
    (whole * len(clips)).backward()
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for one in found:
        torch.testing.assert_close(one["loss"], whole.detach())
    torch.testing.assert_close(torch.cat([one["gradient"] for one in found]), clips.grad)


def test_a_run_begins_from_the_merged_first_stage(
    llm_folder: Callable[[str], Path], cached: Path, config: TuneConfig, tmp_path: Path
) -> None:
    lora = replace(config.lora, part="encoder")
    training = replace(config.training, select="last", epochs=1)
    own = replace(config, quantise="none", lora=lora, training=training)
    first = replace(own, contrastive=CONTRAST_ALONE)
    tune([cached], llm=str(llm_folder("mbart")), config=first, out=tmp_path / "first", device="cpu")
    export_run(tmp_path / "first", out=tmp_path / "merged", merge=True, precision="fp32", device="cpu")
    llm = initial_llm(tmp_path / "merged", None)
    tune([cached], llm=llm, config=own, out=tmp_path / "next", init=tmp_path / "merged", device="cpu")
    weights = {
        run: load_file(tmp_path / run / "projector.safetensors") for run in ("first", "merged", "next")
    }
    assert all(torch.equal(weights["first"][name], value) for name, value in weights["merged"].items())
    assert any(not torch.equal(weights["next"][name], value) for name, value in weights["merged"].items())
