"""Gated streams: a run begins as the model of the first stream, and learns what to add of the others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_two_fixtures import draw_clips, draw_pose_clips, write_clips

from fla_llm.core.errors import CacheError, ConfigError, DataError, RunError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.positions import clip_positions
from fla_llm.finetune.projector import GatedProjectors
from fla_llm.finetune.store import load_stage_two
from fla_llm.finetune.train import build_model, tune
from fla_llm.pipeline.evaluate import Request, evaluate_stage_two
from fla_llm.planning.model_shapes import read_config
from fla_llm.planning.run_spec import run_on_clips
from fla_llm.planning.step_memory import input_bytes
from fla_llm.planning.weights import projector_sizes

CPU = torch.device("cpu")
GRAPH = ProjectorConfig(kind="poses", width=8, norm=False, learning_rate=1e-2)
PICTURES = ProjectorConfig(hidden_size=16, learning_rate=1e-2)
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [clip | {"language": "de"} for clip in draw_pose_clips()]
    return write_clips(tmp_path_factory.mktemp("poses"), clips, encoder="p" * 64, level="frame")


@pytest.fixture(scope="module")
def pictures(poses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of pictures with the steps of the key points."""
    draw = np.random.default_rng(7)
    clips = [
        clip | {"features": draw.standard_normal((len(np.asarray(clip["features"])), 8)).astype(np.float16)}
        for clip in draw_pose_clips()
    ]
    return write_clips(tmp_path_factory.mktemp("pictures"), clips)


@pytest.fixture
def gated(config: TuneConfig) -> TuneConfig:
    return replace(
        config, quantise="none", train="full", fuse="gate", projector=GRAPH,
        projector_by_stream={"2": PICTURES}, training=replace(config.training, epochs=1, batch_clips=2),
    )  # fmt: skip


def items_of(*caches: Path) -> FeatureItems:
    return FeatureItems(open_caches(caches, "train"))


def model_of(items: FeatureItems, llm: Path, config: TuneConfig) -> StageTwoModel:
    return build_model(items, llm=str(llm), config=config, device=CPU)


def batch_of(items: FeatureItems, model: StageTwoModel) -> dict[str, Any]:
    return collate([items.get(number) for number in range(len(items))], codec=model.codec)


def test_a_run_begins_as_the_model_of_the_first_stream(
    poses: Path, pictures: Path, llm_folder: Folder, gated: TuneConfig
) -> None:
    both, alone = items_of(poses, pictures), items_of(poses)
    model = model_of(both, llm_folder("mt5"), gated).eval()
    single = model_of(alone, llm_folder("mt5"), replace(gated, projector_by_stream={})).eval()
    single.projector.load_state_dict(model.projectors[0].state_dict())
    embeddings, counts = model._projected(batch_of(both, model))
    expected, steps = single._projected(batch_of(alone, single))
    assert torch.equal(embeddings, expected)  # bit for bit
    assert counts.tolist() == steps.tolist()
    assert model(**batch_of(both, model))["loss"].item() == single(**batch_of(alone, single))["loss"].item()
    # Positions and sizes are those of one stream.
    assert clip_positions(model, both) == clip_positions(single, alone)
    assert model.padded_size(batch_of(both, model)) == single.padded_size(batch_of(alone, single))


def test_the_gate_learns_first_and_then_the_stream_behind_it(
    poses: Path, pictures: Path, llm_folder: Folder, gated: TuneConfig
) -> None:
    items = items_of(poses, pictures)
    model = model_of(items, llm_folder("mt5"), gated).train()
    assert isinstance(model.projector, GatedProjectors)
    groups = {group["name"]: group for group in model.parameter_groups()}
    assert groups.keys() == {"llm", "projector", "projector_2", "gates"}
    grouped = {id(p) for group in groups.values() for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters()}
    optimiser = torch.optim.SGD(model.projector.parameters(), lr=1e-4)
    behind = list(model.projectors[1].parameters())
    found = []
    for _ in range(2):
        model(**batch_of(items, model))["loss"].backward()
        found.append([float(p.grad.abs().sum()) for p in (*model.projector.gates.parameters(), *behind)])
        optimiser.step()
        optimiser.zero_grad()
    gates = len(list(model.projector.gates.parameters()))
    assert all(found[0][:gates])
    assert not any(found[0][gates:])
    assert all(found[1])


def test_a_row_of_a_batch_is_the_clip_alone(
    poses: Path, pictures: Path, llm_folder: Folder, gated: TuneConfig
) -> None:
    items = items_of(poses, pictures)
    model = model_of(items, llm_folder("mt5"), gated).eval()
    for parameter in model.projector.gates.parameters():
        torch.nn.init.normal_(parameter)
    together, counts = model._projected(batch_of(items, model))
    for number, count in enumerate(counts.tolist()):
        alone, _ = model._projected(collate([items.get(number)], codec=model.codec))
        torch.testing.assert_close(together[number, :count], alone[0])


def test_the_plan_counts_the_gates(
    poses: Path, pictures: Path, llm_folder: Folder, gated: TuneConfig
) -> None:
    items, llm = items_of(poses, pictures), str(llm_folder("mt5"))
    model = model_of(items, llm_folder("mt5"), gated)
    sizes = projector_sizes(gated, feature_sizes=items.feature_sizes, embedding_size=64)
    assert sizes == tuple(p.numel() for p in model.projector.parameters())
    given = {"llm": llm, "config": read_config(llm), "dtype": torch.float32}
    run = run_on_clips(items, None, tune=gated, **given)
    in_time = run_on_clips(items, None, tune=replace(gated, fuse="time"), **given)
    (shape,) = {shape for shape in run.train_shapes if shape.steps == (10, 10)}
    (longer,) = {shape for shape in in_time.train_shapes if shape.steps == (10, 10)}
    assert (shape.projected, longer.projected) == (10, 20)
    # Both projectors keep what they keep in time, and the gate reads two embeddings of 64 numbers.
    rows = 4 * 64 * (longer.source - shape.source)
    assert input_bytes(run.model, shape) == input_bytes(in_time.model, longer) + shape.clips * (
        10 * 8 * 64 - rows
    )


def test_a_run_goes_on_from_key_points_and_another_from_it(
    poses: Path, pictures: Path, llm_folder: Folder, gated: TuneConfig, tmp_path: Path
) -> None:
    alone = replace(gated, fuse="time", projector_by_stream={})
    tune([poses], llm=str(llm_folder("mt5")), config=alone, out=tmp_path / "poses", device="cpu")
    begin: dict[str, Any] = {"llm": str(tmp_path / "poses/llm"), "init": tmp_path / "poses", "device": "cpu"}
    still = replace(
        gated, training=replace(gated.training, learning_rate=1e-12),
        projector=replace(GRAPH, learning_rate=1e-12),
        projector_by_stream={"2": replace(PICTURES, learning_rate=1e-12)},
    )  # fmt: skip
    caches = [poses, pictures]
    tune(caches, config=still, out=tmp_path / "still", **begin)
    said = (tmp_path / "poses/predictions-dev.jsonl").read_bytes()
    assert (tmp_path / "still/predictions-dev.jsonl").read_bytes() == said
    tune(caches, config=gated, out=tmp_path / "both", **begin)
    model = load_stage_two(tmp_path / "both", device=CPU)
    assert isinstance(model.projector, GatedProjectors)
    gates = [parameter.detach().clone() for parameter in model.projector.gates.parameters()]
    assert all(gate.abs().max() > 0 for gate in gates)
    found = evaluate_stage_two(tmp_path / "both", caches, request=Request(split="dev", device="cpu"))
    assert found.coverage.clips == 4
    again = build_model(
        items_of(*caches), llm=str(tmp_path / "both/llm"), config=gated, device=CPU, init=tmp_path / "both"
    )
    assert all(torch.equal(*pair) for pair in zip(again.projector.gates.parameters(), gates, strict=True))
    with pytest.raises(
        RunError, match="joins its streams by gates, and must begin a run of the same streams"
    ):
        build_model(
            items_of(*caches), llm=str(tmp_path / "both/llm"), config=replace(gated, fuse="time"), device=CPU,
            init=tmp_path / "both",
        )  # fmt: skip


def test_streams_and_projectors_of_other_steps_are_refused(
    poses: Path, llm_folder: Folder, gated: TuneConfig, tmp_path: Path
) -> None:
    other = items_of(poses, write_clips(tmp_path, draw_clips()))
    model = model_of(other, llm_folder("mt5"), gated)
    with pytest.raises(CacheError, match="step by step must have the same steps, but 'clip-0' has 4 and 3"):
        clip_positions(model, other)
    with pytest.raises(DataError, match=r"same steps in each view, but have \[3, 2\]"):
        model.projector([torch.zeros(1, 3, 207), torch.zeros(1, 2, 8)], [torch.tensor([3])] * 2)
    shorter = replace(gated, projector_by_stream={"2": ProjectorConfig(kind="conv", hidden_size=16)})
    with pytest.raises(ConfigError, match="where 'fuse' is gate, but make one of 1 and of 2 steps"):
        model_of(other, llm_folder("mt5"), shorter)
