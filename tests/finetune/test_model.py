"""Laws of the stage-two model, on 4-bit models shaped like Llama, T5 and mBART."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit

from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.training.config import DecodingConfig
from fla_llm.training.model import IGNORED

SHAPES = ["llama", "mbart", "t5"]
Build = Callable[..., StageTwoModel]
GREEDY = DecodingConfig(num_beams=1, max_new_tokens=8)


def gradients(model: StageTwoModel, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.train()
    model.zero_grad()
    model(**batch)["loss"].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def summed(model: StageTwoModel, clips: list) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the summed loss of clips in one batch, and its gradients."""
    batch = collate(clips, codec=model.codec) | {"num_items_in_batch": 1}
    with torch.no_grad():
        loss = model(**batch)["loss"]
    return loss, gradients(model, batch)


def fit_batch(model: StageTwoModel, batch: dict[str, torch.Tensor], *, enough: float, steps: int) -> float:
    groups = [{"params": group["params"], "lr": 5e-3} for group in model.parameter_groups()]
    optimiser = torch.optim.Adam(groups)
    loss = torch.tensor(torch.inf)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model(**batch)["loss"]
        loss.backward()
        optimiser.step()
        if loss.item() < enough:
            break
    return loss.item()


def without_dropout(model: StageTwoModel) -> StageTwoModel:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "layerdrop"):  # M2M-100 leaves out whole layers
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_layers_are_in_four_bits_and_only_new_weights_are_trained(shape: str, build: Build) -> None:
    model = build(shape)
    assert any(isinstance(module, Linear4bit) for module in model.modules())
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("lora_" in name or name.startswith("projector.") for name in trained)
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    assert {name.split(".")[0] for name in model.checkpoint_state()} == {"llm", "projector"}
    assert len([name for name in model.checkpoint_state() if name.startswith("llm.")]) == sum(
        "lora_" in name for name in trained
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_lora_at_initialisation_is_the_base_model(shape: str, build: Build, items: list) -> None:
    model = build(shape).eval()
    batch = collate(items, codec=model.codec)
    with torch.no_grad():
        tuned = model(**batch)["loss"]
        with model.llm.disable_adapter():
            base = model(**batch)["loss"]
    assert torch.equal(tuned, base)


@pytest.mark.parametrize("shape", [*SHAPES, "qwen3"])
def test_every_gradient_is_that_of_a_twin_never_evaluated(
    shape: str, build: Build, items: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What bitsandbytes asks on every CPU: here it always hears that repacking is possible. So weights
    # are repacked wherever the switch is forgotten; what they then compute depends on the CPU (without
    # AVX512-BF16 the operation is missing), and test_quantise.py looks at the switch itself.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    never, evaluated = without_dropout(build(shape)), without_dropout(build(shape))
    batch = collate(items, codec=never.codec)
    evaluated.eval()
    with torch.no_grad():
        evaluated(**batch)
        evaluated.translate(batch, GREEDY)
    expected, found = gradients(never, batch), gradients(evaluated, batch)
    assert all(
        expected[f"projector.{name}"].abs().sum() > 0 for name, _ in never.projector.named_parameters()
    )
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_checkpointed_gradients_are_the_same(shape: str, build: Build, items: list) -> None:
    plain = without_dropout(build(shape))
    saving = without_dropout(build(shape, activation_checkpointing=True))
    batch = collate(items, codec=plain.codec)
    torch.testing.assert_close(gradients(saving, batch), gradients(plain, batch))


@pytest.mark.parametrize("shape", SHAPES)
def test_masked_positions_give_no_gradient(shape: str, build: Build, items: list) -> None:
    model = without_dropout(build(shape))
    batch = collate(items, codec=model.codec)
    noisy = dict(batch)
    noisy["features"] = batch["features"].clone().float()
    for row, length in enumerate(batch["feature_lengths"].tolist()):
        noisy["features"][row, length:] = 100.0
    noisy["prompt_ids"] = torch.nn.functional.pad(batch["prompt_ids"], (0, 2), value=5)
    noisy["labels"] = torch.nn.functional.pad(batch["labels"], (0, 2), value=IGNORED)
    noisy["features"].requires_grad_(True)
    assert torch.equal(model(**noisy)["loss"], model(**batch)["loss"])
    model(**noisy)["loss"].backward()
    for row, length in enumerate(batch["feature_lengths"].tolist()):
        assert noisy["features"].grad[row, length:].abs().sum() == 0
        assert noisy["features"].grad[row, :length].abs().sum() > 0


@pytest.mark.parametrize("projector", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [*SHAPES, "xglm", "gemma3_text", "m2m_100"])
def test_padding_changes_neither_loss_nor_gradient(
    shape: str, projector: str, build: Build, items: list
) -> None:
    kind = ProjectorConfig(kind=projector, hidden_size=16, kernel=3, stride=2)
    model = without_dropout(build(shape, quantise="none", projector=kind))
    losses, found = zip(
        *(summed(model, clips) for clips in (items, *([item] for item in items))), strict=True
    )
    torch.testing.assert_close(losses[0], sum(losses[1:]), atol=1e-4, rtol=1e-5)
    for name, together in found[0].items():
        alone = torch.stack([gradient[name] for gradient in found[1:]]).sum(dim=0)
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_batch_is_overfitted_and_said_back_alone_and_together(
    shape: str, build: Build, items: list
) -> None:
    model = without_dropout(build(shape, quantise="nf4" if shape == "llama" else "none"))
    batch = collate(items, codec=model.codec)
    assert fit_batch(model, batch, enough=0.08, steps=160) < 0.08
    model.eval()
    texts = [item["text"] for item in items]
    assert model.translate(batch, DecodingConfig(num_beams=3, max_new_tokens=8)) == texts
    assert [model.translate(collate([item], codec=model.codec), GREEDY)[0] for item in items] == texts
    others = [item | {"features": items[i - 1]["features"]} for i, item in enumerate(items)]
    with torch.no_grad():  # shown another clip's features
        assert model(**collate(others, codec=model.codec))["loss"] > 20 * model(**batch)["loss"]
    assert model.translate(collate(others, codec=model.codec), GREEDY) == [
        texts[i - 1] for i in range(len(texts))
    ]


@pytest.mark.parametrize(
    ("shape", "precision", "expected"),
    [
        ("llama", "bf16", torch.bfloat16),
        ("llama", "fp16", torch.float16),
        ("llama", "fp32", torch.float32),
        ("t5", "bf16", torch.bfloat16),
        ("t5", "fp16", torch.float32),  # its activations leave fp16's range
    ],
)
def test_the_model_computes_in_its_own_format_whatever_runs_around_it(
    shape: str, precision: str, expected: torch.dtype, build: Build, items: list, config: TuneConfig
) -> None:
    model = build(shape, quantise="none", training=replace(config.training, precision=precision))
    seen = set()
    head = model.llm.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    with torch.autocast("cpu", dtype=torch.float16):
        model(**collate(items, codec=model.codec))["loss"].backward()
    assert seen == {expected}
    assert all(p.grad.dtype == torch.float32 for p in model.projector.parameters())


def test_eight_bits_train_too(build: Build, items: list, recwarn: Any) -> None:
    model = build("llama", quantise="int8")
    found = gradients(model, collate(items, codec=model.codec))
    assert all(found[f"projector.{name}"].abs().sum() > 0 for name, _ in model.projector.named_parameters())


def test_the_projector_has_its_own_learning_rate(build: Build) -> None:
    model = build("llama")
    groups = {group["name"]: group for group in model.parameter_groups()}
    assert groups["projector"]["lr"] == model.config.projector.learning_rate
    assert "lr" not in groups["lora"]
    assert sum(len(group["params"]) for group in groups.values()) == sum(
        p.requires_grad for p in model.parameters()
    )


@pytest.mark.parametrize("shape", ["llama", "mbart"])
@pytest.mark.parametrize("pad", ["</s>", None])
def test_what_a_model_pads_with_changes_nothing(
    pad: str | None, shape: str, build: Build, llm_folder: Callable[[str], Path], items: list, tmp_path: Path
) -> None:
    """Most decoder-only models pad with their end token, or have no padding token at all."""
    shutil.copytree(llm_folder(shape), tmp_path / "llm")
    file = tmp_path / "llm" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": pad}))
    usual, other = build(shape, quantise="none"), build(tmp_path / "llm", quantise="none")
    assert (usual.codec.pad_id, other.codec.pad_id) == (0, usual.codec.eos_id)
    labels = collate(items, codec=other.codec)["labels"]
    assert [row[row != IGNORED][-1].item() for row in labels] == [usual.codec.eos_id] * len(items)
    (loss, expected), (found_loss, found) = (summed(without_dropout(m), items) for m in (usual, other))
    assert torch.equal(found_loss, loss)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    said = [model.eval().translate(collate(items, codec=model.codec), GREEDY) for model in (usual, other)]
    assert said[0] == said[1]


def test_checkpoint_state_round_trip(build: Build, items: list) -> None:
    model, other = build("t5").eval(), build("t5").eval()
    with torch.no_grad():
        for tensor in model.checkpoint_state().values():
            tensor.add_(torch.randn_like(tensor))
    other.load_checkpoint_state({name: t.clone() for name, t in model.checkpoint_state().items()})
    batch = collate(items, codec=model.codec)
    with torch.no_grad():
        assert torch.equal(model(**batch)["loss"], other(**batch)["loss"])


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_halves_of_a_batch_give_the_whole_gradient(shape: str, build: Build, items: list) -> None:
    model = without_dropout(build(shape, quantise="none"))
    batch = collate(items, codec=model.codec)
    count = int((batch["labels"] != IGNORED).sum())
    first, second = model.halve(batch) or ({}, {})
    assert model.padded_size(first) + model.padded_size(second) < model.padded_size(batch)
    whole = gradients(model, batch | {"num_items_in_batch": count})
    parts = [gradients(model, half | {"num_items_in_batch": count}) for half in (first, second)]
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], gradient, rtol=1e-4, atol=1e-6)
    assert model.halve(collate(items[:1], codec=model.codec)) is None
