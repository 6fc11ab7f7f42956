"""bench/vram.py measures what ``fla tune`` would load, in batches as full as a run's."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fla_llm.llm.load import load_llm
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.memory import GB
from fla_llm.planning.model_shapes import config_from
from fla_llm.planning.run_spec import MemoryPlan

BENCH = Path(__file__).parents[2] / "bench"
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
    making, shapes = bench("vram_model"), bench("vram_shapes")
    shape = shapes.tiny(shapes.SHAPES[name])
    how: dict[str, Any] = {"quantise": "nf4", "dtype": torch.bfloat16, "device": CPU}
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
    making, shapes = bench("vram_model"), bench("vram_shapes")
    settings = shapes.settings_of("mBART-large-50")
    loaded = making.load_random(
        shapes.tiny(shapes.SHAPES["mBART-large-50"]), quantise="none", dtype=torch.float32, device=CPU
    )
    model = making.stage_two(loaded, settings=settings, device=CPU)
    shape = BatchShape(clips=2, steps=(5,), projected=5, source=8, labels=4, whole=11)
    batch = making.make_batch(model, shape)
    assert model.padded_size(batch) == shape.clips * (shape.source + shape.labels - 1 + 2)
    assert torch.isfinite(model(**batch)["loss"])
    found = model.eval().conditioned_lm.generate(
        model._conditioning(batch), replace(settings.decoding, num_beams=2, max_new_tokens=shape.labels)
    )
    assert found.shape == batch["labels"].shape  # no end token ends it earlier


def test_longer_clips_make_batches_of_fewer(bench: Any) -> None:
    shapes = bench("vram_shapes")
    for clips in shapes.CORPORA.values():
        runs = [shapes.run_of("Llama-3.1-8B", [clip] * 16) for clip in clips.values()]
        trained, searched = ([shape[0] for shape in found] for found in zip(*map(both, runs), strict=True))
        assert [shape.steps for shape in trained] == sorted(shape.steps for shape in trained)
        sizes = [shape.clips for shape in trained]
        assert sizes == sorted(sizes, reverse=True)
        assert all(s.clips >= t.clips for s, t in zip(searched, trained, strict=True))


def both(run: Any) -> tuple[Any, Any]:
    return run.train_shapes, run.evaluation_shapes


@pytest.mark.parametrize(
    ("weights", "total", "within"),
    [(1009, 10 * GB, "yes"), (1011, 10 * GB, "no"), (1000, 11 * GB, "yes"), (1000, 11.3 * GB, "no")],
)
def test_an_estimate_is_held_to_its_bounds(bench: Any, weights: int, total: float, within: str) -> None:
    vram = bench("vram")
    plan = MemoryPlan(training={"all": round(total)}, generation={}, loading={}, room=2**60)
    row = {"weights_bytes": 1000, "bytes": 10 * GB, "step_seconds": 1.5}
    assert vram.figures(weights, plan, row)[4:] == [within, "1.50"]
    assert vram.figures(weights, plan, None).count("not measured") == 2
