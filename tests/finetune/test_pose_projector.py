"""The graph network of Uni-Sign as the trained projector of a stream of key points."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from stage_two_fixtures import draw_clips, draw_pose_clips, write_clips

from fla_llm.cli import fla
from fla_llm.configs import TUNE_PRESETS
from fla_llm.core.config import load_config, write_config
from fla_llm.core.errors import ConfigError, RunError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.projector import Projector
from fla_llm.finetune.train import build_model
from fla_llm.planning.model_shapes import build_on_meta, config_from
from fla_llm.planning.pose_graph import pose_bytes, pose_flops

CPU = torch.device("cpu")
PUBLISHED = 587_747_368
"""Parameters of Uni-Sign without pictures, as a log of its training prints."""
GRAPH = ProjectorConfig(kind="poses", width=8, norm=False, learning_rate=1e-2)
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of key points of four clips."""
    clips = [clip | {"language": "de"} for clip in draw_pose_clips()]
    return write_clips(tmp_path_factory.mktemp("poses"), clips, encoder="p" * 64, level="frame")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of pictures of the same clips."""
    return write_clips(tmp_path_factory.mktemp("pictures"), draw_clips())


@pytest.fixture
def own(config: TuneConfig) -> TuneConfig:
    """All of a small model trained, as in Uni-Sign."""
    return replace(
        config, quantise="none", train="full", projector=GRAPH, prompt_place="before",
        prompt="Translate the signed {language} sentence:", label_smoothing=0.2,
        training=replace(config.training, precision="fp32", batch_clips=2),
    )  # fmt: skip


def test_the_preset_has_the_published_number_of_parameters() -> None:
    preset = load_config(TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source="uni-sign")
    sizes = {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12}
    published = {"model_type": "mt5", "vocab_size": 250_112, "tie_word_embeddings": False, **sizes}
    mt5_base = config_from(published, name="google/mt5-base")
    with torch.device("meta"):
        projector = Projector(207, 768, config=preset.projector)
    parts = (build_on_meta(mt5_base, dtype=torch.float32), projector)
    assert sum(p.numel() for part in parts for p in part.parameters()) == PUBLISHED


@pytest.mark.parametrize("is_training", [True, False])
def test_padding_changes_nothing(is_training: bool) -> None:
    projector = Projector(207, 16, config=GRAPH).train(is_training)
    lengths = torch.tensor([6, 2, 4])
    features = torch.randn(3, 6, 207)
    padded = features.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = torch.nan
    wider = torch.cat([padded, torch.full((3, 3, 207), torch.nan)], dim=1)
    found, further = projector(padded, lengths), projector(wider, lengths)
    assert found.shape == (3, 6, 16)
    torch.testing.assert_close(further[:, :6], found)
    if not is_training:  # in training BatchNorm joins the clips of a batch
        alone = projector(features[1:2, :2])
        torch.testing.assert_close(found[1, :2], alone[0])


def test_all_of_it_learns_beside_another_stream(
    pictures: Path, poses: Path, own: TuneConfig, llm_folder: Folder
) -> None:
    config = replace(own, projector=ProjectorConfig(hidden_size=16), projector_by_stream={"2": GRAPH})
    items = FeatureItems(open_caches([pictures, poses], "train"))
    model = build_model(items, llm=str(llm_folder("mt5")), config=config, device=CPU).train()
    model(**collate([items.get(i) for i in range(4)], codec=model.codec))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.projector.parameters())
    rates = {group["name"]: group.get("lr") for group in model.parameter_groups()}
    assert rates == {"llm": None, "projector": 1e-3, "projector_2": 1e-2}


def test_a_frozen_projector_keeps_its_statistics(poses: Path, own: TuneConfig, llm_folder: Folder) -> None:
    items = FeatureItems(open_caches([poses], "train"))
    config = replace(own, train="lora", projector=replace(GRAPH, norm=True))
    model = build_model(items, llm=str(llm_folder("mt5")), config=config, device=CPU).train()
    before = {name: tensor.clone() for name, tensor in model.projector.state_dict().items()}
    model(**collate([items.get(i) for i in range(4)], codec=model.codec))["loss"].backward()
    assert all(torch.equal(t, before[name]) for name, t in model.projector.state_dict().items())


def test_a_stream_without_key_points_is_refused(
    pictures: Path, poses: Path, own: TuneConfig, llm_folder: Folder
) -> None:
    items = FeatureItems(open_caches([pictures], "train"))
    with pytest.raises(ConfigError, match=r"must be given normalised key points \(207 .* the stream has 8"):
        build_model(items, llm=str(llm_folder("mt5")), config=own, device=CPU)
    other = replace(own, projector_by_stream={"2": GRAPH})
    with pytest.raises(ConfigError, match=r"must name streams in 1..1, but names 2"):
        build_model(
            FeatureItems(open_caches([poses], "train")), llm=str(llm_folder("mt5")), config=other, device=CPU
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"projector_by_stream": {"0": GRAPH}}, "numbers of streams, from 1, as keys, but has '0'"),
        ({"projector_by_stream": {"poses": GRAPH}}, "as keys, but has 'poses'"),
    ],
)
def test_a_key_that_is_no_stream_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TuneConfig(**settings)


def test_a_width_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="'projector.width' must be a multiple of 4, but is 6"):
        ProjectorConfig(kind="poses", width=6)


def test_a_run_is_resumed_scored_and_begins_another(
    poses: Path, own: TuneConfig, llm_folder: Folder, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    write_config(own, settings)
    begun, whole = tmp_path / "begun", tmp_path / "whole"

    def run(*arguments: str, code: int = 0) -> str:
        given = [*arguments, "--features", str(poses), "--device", "cpu"]
        result = CliRunner().invoke(fla, given, catch_exceptions=not code)
        assert result.exit_code == code, result.output
        return result.output

    llm, preset = ("--llm", str(llm_folder("mt5"))), ("--config", str(settings))
    run("tune", *llm, *preset, "--out", str(whole))
    one = ("--set", "training.epochs=1", "--set", "training.schedule=constant")
    run("tune", *llm, *preset, *one, "--out", str(begun))
    run("tune", *llm, *preset, "--out", str(begun), "--resume", "--allow-config-change")
    first, second = (load_file(path / "projector.safetensors") for path in (whole, begun))
    assert all(torch.equal(first[name], second[name]) for name in first | second)
    assert any(name.endswith("running_mean") and first[name].abs().sum() > 0 for name in first)
    said = (whole / "predictions-dev.jsonl").read_bytes()
    (whole / "predictions-dev.jsonl").unlink()
    run("evaluate", str(whole), "--split", "dev")
    assert (whole / "predictions-dev.jsonl").read_bytes() == said
    # Another run begins with all weights of the first.
    still = ("--set", "training.learning_rate=1e-12", "--set", "projector.learning_rate=1e-12")
    run("tune", "--init", str(whole), *preset, *one, *still, "--out", str(tmp_path / "next"))
    assert (tmp_path / "next" / "predictions-dev.jsonl").read_bytes() == said
    assert len(json.loads((tmp_path / "next" / "begun.json").read_text())["init"]) == 64
    refused = (
        "tune",
        "--llm",
        str(whole / "llm"),
        *preset,
        "--out",
        str(tmp_path / "next"),
        "--resume",
        "--allow-config-change",
    )
    result = CliRunner().invoke(fla, [*refused, "--features", str(poses), "--device", "cpu"])
    assert isinstance(result.exception, RunError)
    assert "must be resumed with the --init it was begun with" in str(result.exception)


def test_the_plan_counts_the_graph_network() -> None:
    """Every part is twice as wide: a number of each point is kept twice, a product is computed four times."""
    assert pose_bytes(64, 64) == pytest.approx(pose_bytes(32, 64) * 2, rel=0.1)
    assert pose_flops(256, 16) == pytest.approx(pose_flops(128, 16) * 4, rel=0.1)
    # Far more than the 5.3 million weights: each is used at the points of all parts.
    assert pose_flops(256, 768) > 2 * 9 * 5_000_000
