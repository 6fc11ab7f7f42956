"""bench/vram.py measures what ``fla tune`` would load, in batches as full as a run's."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fla_llm.core.files import write_jsonl
from fla_llm.llm.load import load_llm
from fla_llm.planning.batch_shapes import PREFIX_TOKENS, BatchShape
from fla_llm.planning.memory import GB
from fla_llm.planning.skeleton import config_from

BENCH = Path(__file__).parents[3] / "bench"
CPU = torch.device("cpu")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of bench/, whose files import each other by their bare names."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def tensors_of(model: Any) -> dict[str, torch.Tensor]:
    found = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, parameter in model.named_parameters():
        if (state := getattr(parameter, "quant_state", None)) is not None:
            found |= {f"{name}.absmax": state.absmax, f"{name}.offset": state.offset}
            found |= {f"{name}.absmax2": state.state2.absmax, f"{name}.code2": state.state2.code}
    return found


@pytest.mark.parametrize("name", ["Llama-3.1-8B", "Flan-T5-XL", "mBART-large-50"])
def test_random_models_lie_in_memory_as_from_a_checkpoint(bench: Any, name: str, tmp_path: Path) -> None:
    making = bench("vram_model")
    shape = bench("vram_plan").shape_of(name, small=True)
    how = {"quantise": "nf4", "dtype": torch.bfloat16, "device": CPU}
    config = config_from(shape, name=name)
    drawn = making.random_weights(config, dtype=torch.bfloat16, device=CPU)
    making.write_frame(config, tmp_path)
    save_file(
        {name: tensor[...] for name, tensor in drawn.items()},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    expected = tensors_of(load_llm(str(tmp_path), **how).model)
    found = tensors_of(making.load_random(shape, **how).model)
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        name: tensor.dtype for name, tensor in expected.items()
    }
    assert any(tensor.dtype == torch.uint8 for tensor in found.values())
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_batches_have_the_lengths_of_their_shape(bench: Any) -> None:
    making, plans = bench("vram_model"), bench("vram_plan")
    settings = plans.settings_of("mBART-large-50")
    loaded = making.load_random(
        plans.shape_of("mBART-large-50", small=True), quantise="none", dtype=torch.float32, device=CPU
    )
    model = making.stage_two(loaded, settings=settings, device=CPU)
    shape = BatchShape(clips=2, steps=5, prompt=3, labels=4)
    batch = making.make_batch(model, shape)
    assert batch["decoder_prefix_ids"].shape == (shape.clips, PREFIX_TOKENS)
    assert model.padded_size(batch) == shape.clips * (shape.whole + PREFIX_TOKENS)
    assert torch.isfinite(model(**batch)["loss"])
    found = model.eval().conditioned_lm.generate(
        model._conditioning(batch), replace(settings.decoding, num_beams=2, max_new_tokens=shape.labels)
    )
    assert found.shape == batch["labels"].shape  # no end token ends it earlier


def test_longer_clips_make_batches_of_fewer(bench: Any) -> None:
    for corpus in bench("vram_shapes").CORPORA:
        batches = bench("vram_plan").batches_of("Llama-3.1-8B", corpus)
        shapes = [both.train for both in batches.values()]
        assert [shape.steps for shape in shapes] == sorted(shape.steps for shape in shapes)
        assert [shape.clips for shape in shapes] == sorted((shape.clips for shape in shapes), reverse=True)
        assert all(both.search.clips >= both.train.clips for both in batches.values())


def cell_row(card_gb: int, *, fits: bool, peak: int) -> dict[str, Any]:
    shape = {"clips": 1, "steps": 8, "prompt": 4, "labels": 4}
    return {
        "model": "Qwen3-4B", "card_gb": card_gb, "corpus": "PHOENIX14T", "tiny": False, "device": "cuda",
        "device_name": "a GPU", "fits": fits, "stage": "done" if fits else "train", "outside_bytes": 100,
        "weights_bytes": 1000, "training_bytes": {"longest": peak}, "generation_bytes": {"longest": 1},
        "batches": {"longest": {"train": shape, "search": shape}},
        "step_seconds": {"longest": [9.0, 2.0]}, "reserved_bytes": peak,
    }  # fmt: skip


def test_a_measured_card_answers_for_larger_and_smaller_ones(bench: Any, tmp_path: Path) -> None:
    results = bench("vram_results")
    file = tmp_path / "vram.jsonl"
    write_jsonl(file, [cell_row(12, fits=False, peak=1), cell_row(16, fits=True, peak=1)])
    found = results.Results(file)
    fits = {card: found.fits("Qwen3-4B", card, "PHOENIX14T") for card in (8, 12, 16, 24)}
    assert fits == {8: False, 12: False, 16: True, 24: True}
    assert found.fits("Qwen3-4B", 8, "How2Sign") is None
    assert results.Results(None).fits("Qwen3-4B", 24, "PHOENIX14T") is None


@pytest.mark.parametrize(
    ("weights", "total", "within"),
    [(1009, 10 * GB, "yes"), (1011, 10 * GB, "no"), (1000, 11 * GB, "yes"), (1000, 11.3 * GB, "no")],
)
def test_a_plan_is_held_to_its_bounds(
    bench: Any, tmp_path: Path, weights: int, total: float, within: str
) -> None:
    results, plans = bench("vram_results"), bench("vram_plan")
    file = tmp_path / "vram.jsonl"
    context = {"context": True, "device_name": "a GPU", "bare_bytes": GB // 2, "bytes": GB // 2}
    write_jsonl(file, [context, cell_row(24, fits=True, peak=10 * GB - GB // 2 - 100)])
    found = results.Results(file)
    assert found.total_bytes(found.cells[0]) == 10 * GB
    plan = plans.Foretold(
        weights_bytes=weights, training_bytes={"longest": round(total)}, generation_bytes={"longest": 1}
    )
    *_, row = results.table([(found.cells[0], plan)], found)
    header = results.HEADER.index
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[header("within")] == within
    assert cells[header("tokens/s")] == "8"  # 15 positions in 2 seconds; the first step is left out


def test_without_a_measurement_the_table_says_so(bench: Any) -> None:
    results, plans = bench("vram_results"), bench("vram_plan")
    plan = plans.Foretold(
        weights_bytes=GB, training_bytes={"longest": 9 * GB}, generation_bytes={"longest": GB}
    )
    wanted = {"model": "Qwen3-4B", "card_gb": 8, "corpus": "PHOENIX14T"}
    header, _, row = results.table([(wanted, plan)], results.Results(None))
    assert row.count("not measured") == 4
    assert row.count("|") == header.count("|")
    assert "| no |" in row  # 9 GB are foretold
