"""Streams joined step by step, and the module adapter of MMSLT with padding that counts nowhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stage_two_fixtures import draw_clips, write_clips

from fla_llm.core.errors import CacheError, ConfigError, DataError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.module_adapter import ModuleAdapter
from fla_llm.finetune.positions import clip_positions
from fla_llm.finetune.projector import FusedProjector, Projector
from fla_llm.finetune.store import load_stage_two
from fla_llm.finetune.train import build_model, tune
from fla_llm.pipeline.evaluate import Request, evaluate_stage_two
from fla_llm.planning.weights import projector_sizes

CPU = torch.device("cpu")
WIDTHS = (8, 5)
ADAPTER = ProjectorConfig(kind="adapter", hidden_size=16, kernel=5)


def adapter() -> ModuleAdapter:
    torch.manual_seed(0)
    made = ModuleAdapter(8, 6, hidden_size=16, kernel=5)
    for block in made.blocks:  # statistics and shifts that padding would show
        block.norm.running_mean.normal_()
        block.norm.bias.data.normal_()
    return made


def padded(lengths: torch.Tensor, *, steps: int) -> torch.Tensor:
    features = torch.randn(len(lengths), 13, 8, generator=torch.Generator().manual_seed(1))
    features = torch.cat([features, torch.zeros(len(lengths), steps - 13, 8)], dim=1)
    return features.masked_fill((torch.arange(steps) >= lengths[:, None])[..., None], 0.0)


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_neither_output_nor_statistics_nor_gradient(training: bool) -> None:
    lengths, found = torch.tensor([13, 6, 1]), []
    for steps in (13, 21):
        made = adapter().train(training)
        output = made(padded(lengths, steps=steps), lengths)
        assert output.shape[1] == -(-steps // 4)
        counts = -(-lengths // 4)
        real = torch.cat([row[:count] for row, count in zip(output, counts.tolist(), strict=True)])
        real.square().sum().backward()
        state = [*made.state_dict().values(), *(p.grad for p in made.parameters())]
        found.append([real.detach(), *state])
    for short, long in zip(*found, strict=True):
        torch.testing.assert_close(short, long)


def test_a_row_of_a_batch_is_the_clip_alone() -> None:
    lengths, made = torch.tensor([13, 6, 1]), Projector(8, 6, config=ADAPTER).eval()
    features = padded(lengths, steps=13)
    together, counts = made(features, lengths), made.output_lengths(lengths).tolist()
    assert counts == [4, 2, 1]
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts, strict=True)):
        alone = made(features[row : row + 1, :length])[0]
        torch.testing.assert_close(together[row, :count], alone)


def test_running_statistics_are_those_of_real_steps() -> None:
    lengths, made = torch.tensor([13, 6, 1]), adapter().train()
    features, block = padded(lengths, steps=13), made.blocks[0]
    convolved = block.convolution(features.transpose(1, 2)).transpose(1, 2)
    real = torch.cat([row[:length] for row, length in zip(convolved, lengths.tolist(), strict=True)])
    before = block.norm.running_mean.clone()
    made(features, lengths)
    torch.testing.assert_close(block.norm.running_mean, 0.9 * before + 0.1 * real.mean(dim=0))


def test_a_batch_of_one_step_is_no_fault_in_training() -> None:
    assert adapter().train()(torch.ones(1, 1, 8), torch.tensor([1])).isfinite().all()


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two caches of the same steps, of 8 and of 5 numbers a step."""
    folder, clips = tmp_path_factory.mktemp("streams"), draw_clips()
    narrow = [clip | {"features": np.asarray(clip["features"])[:, :5] ** 2} for clip in clips]
    return [write_clips(folder / "a", clips), write_clips(folder / "b", narrow, encoder="f" * 64)]


@pytest.fixture
def fused(config: TuneConfig) -> TuneConfig:
    return replace(config, fuse="channels", projector=ADAPTER, quantise="none")


def model_of(caches: list[Path], llm: Path, config: TuneConfig) -> tuple[StageTwoModel, FeatureItems]:
    items = FeatureItems(open_caches(caches, "train"))
    return build_model(items, llm=str(llm), config=config, device=CPU), items


def test_joined_streams_are_one_stream_of_both_widths(
    streams: list[Path], llm_folder: Callable[[str], Path], fused: TuneConfig
) -> None:
    model, items = model_of(streams, llm_folder("llama"), fused)
    assert isinstance(model.projector, FusedProjector)
    batch = collate([items.get(number) for number in range(len(items))], codec=model.codec)
    model.eval()
    embeddings, counts = model._projected(batch)
    joined = torch.cat([batch["features"].float(), batch["features_2"].float()], dim=2)
    lengths = batch["feature_lengths"]
    assert torch.equal(embeddings, model.projector.joined(joined, lengths))
    assert counts.tolist() == [-(-steps // 4) for steps in lengths.tolist()]
    # Positions and the size of a batch count one stream, not two.
    alone, _ = model_of(streams[:1], llm_folder("llama"), fused)
    assert clip_positions(model, items)[0] == clip_positions(alone, items_of(streams[:1]))[0]
    sizes = projector_sizes(fused, feature_sizes=WIDTHS, embedding_size=64)
    assert sizes == tuple(p.numel() for p in model.projector.parameters())


def items_of(caches: list[Path]) -> FeatureItems:
    return FeatureItems(open_caches(caches, "train"))


def test_a_run_on_joined_streams_is_trained_loaded_and_scored(
    streams: list[Path], llm_folder: Callable[[str], Path], fused: TuneConfig, tmp_path: Path
) -> None:
    tune(streams, llm=str(llm_folder("mbart")), config=fused, out=tmp_path / "run", device="cpu")
    loaded = load_stage_two(tmp_path / "run", device=CPU)
    moved = loaded.projector.joined.layers.blocks[0].norm.running_mean
    assert moved.abs().max() > 0  # statistics of training are kept with the weights
    found = evaluate_stage_two(tmp_path / "run", streams, request=Request(split="dev", device="cpu"))
    assert found.coverage.clips == 4
    with pytest.raises(CacheError, match="Stream 1 must come from encoder e"):
        evaluate_stage_two(tmp_path / "run", streams[::-1], request=Request(split="dev", device="cpu"))


def test_streams_of_other_steps_are_refused_by_name(
    streams: list[Path], llm_folder: Callable[[str], Path], fused: TuneConfig, tmp_path: Path
) -> None:
    clips = draw_clips()
    clips[2]["features"] = np.asarray(clips[2]["features"])[1:]
    other = write_clips(tmp_path / "other", clips, encoder="f" * 64)
    model, items = model_of([streams[0], other], llm_folder("llama"), fused)
    with pytest.raises(CacheError, match="must have the same steps, but 'clip-2' has 7 and 6"):
        clip_positions(model, items)
    with pytest.raises(DataError, match=r"same steps in each view, but have \[3, 2\]"):
        model.projector([torch.zeros(1, 3, 8), torch.zeros(1, 2, 8)], [torch.tensor([3])] * 2)


def test_joined_streams_have_no_projector_of_their_own(fused: TuneConfig) -> None:
    with pytest.raises(ConfigError, match="'projector_by_stream' must be empty where 'fuse' is channels"):
        replace(fused, projector_by_stream={"2": ADAPTER})
