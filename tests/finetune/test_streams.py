"""Caches with the same ids are streams of one video, joined in time; with disjoint ids they are corpora."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.writer import ShardWriter
from fla_llm.cli import fla
from fla_llm.core.errors import CacheError, DataError, RunError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.opening import open_clips
from fla_llm.finetune.projector import Projector, StreamProjectors
from fla_llm.finetune.train import build_model, tune
from fla_llm.pipeline.evaluate import Request, evaluate_stage_two
from fla_llm.pipeline.translator import _check_one_stream
from fla_llm.planning.weights import projector_sizes

CPU = torch.device("cpu")
IDS = ("a", "b", "c", "d")
WORDS = ("wind", "regen", "heute", "morgen")
WIDTHS = (8, 5)
Folder = Callable[[str], Path]


def write(
    folder: Path,
    *,
    width: int = 8,
    encoder: str = "e",
    ids: tuple[str, ...] = IDS,
    language: str = "de",
    level: str = "sign",
    views: int = 0,
    splits: tuple[str, ...] = ("train", "dev"),
    words: tuple[str, ...] = WORDS,
    bad: str = "",
) -> Path:
    """Write a cache; clip i has 2 + i + width steps of random numbers, the last of which is its view."""
    for split in splits:
        made_by = Provenance(
            encoder_fingerprint=encoder * 64, encoder_config={}, level=level, preprocessing={"phase": 0},
            frame_batch=1, compute_dtype="float32", device_kind="cpu", corpus="toy", split=split,
            feature_size=width, step_seconds=0.16, versions={},
        )  # fmt: skip
        numbers = range(1 + views if split == "train" else 1)
        rows = [
            CacheRow(id=id, text=word, language=language, signer="", num_frames=9, view=view)
            for id, word in zip(ids, words, strict=True)
            for view in numbers
        ]
        with ShardWriter(folder, split=split, index=0, count=1, rows=rows, provenance=made_by) as writer:
            for row in rows:
                steps = 2 + ids.index(row.id) + width
                draw = np.random.default_rng([ord(encoder), ids.index(row.id)])
                features = draw.standard_normal((steps, width)).astype(np.float16)
                features[:, -1] = np.nan if row.id == bad else row.view
                writer.append(row, features)
            writer.finish()
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Pictures and poses of the same clips, the second in another order."""
    poses = write(tmp_path / "poses", width=5, encoder="f", ids=IDS[::-1], words=WORDS[::-1])
    return [write(tmp_path / "pictures"), poses]


def joint(llm: Path, features: list[Path], config: TuneConfig) -> StageTwoModel:
    items = FeatureItems(open_caches(features, "train"))
    return build_model(items, llm=str(llm), config=replace(config, quantise="none"), device=CPU)


def test_caches_with_the_same_ids_are_streams_in_the_order_given(two: list[Path]) -> None:
    first, other = (FeatureItems(open_caches(order, "train")) for order in (two, two[::-1]))
    assert (first.feature_sizes, other.feature_sizes) == ((8, 5), (5, 8))
    assert (first.ids, other.ids) == (list(IDS), list(IDS[::-1]))
    assert first.lengths == [a + b for a, b in zip(*first.stream_lengths, strict=True)] == [20, 20, 20, 20]
    pictures, poses = first.get(1)["features"]
    assert (pictures.shape, poses.shape) == ((11, 8), (9, 5))
    again = other.get(other.ids.index("b"))["features"]
    assert np.array_equal(again[0], poses)
    assert np.array_equal(again[1], pictures)
    assert FeatureItems(open_caches(two, "train"), limit=2).ids == ["a", "b"]


def test_streams_stand_one_behind_the_other_and_padding_changes_nothing(
    two: list[Path], llm_folder: Folder, config: TuneConfig
) -> None:
    own = replace(config, projector=ProjectorConfig(kind="conv", hidden_size=16, kernel=3, stride=2))
    model = joint(llm_folder("llama"), two, own).eval()
    items = FeatureItems(open_caches(two, "train"))
    clips = [items.get(i) for i in range(4)]
    together = model._conditioning(collate(clips, codec=model.codec))
    for row in range(4):
        parts = [torch.from_numpy(array)[None] for array in items.get(row)["features"]]
        expected = torch.cat([p(part)[0] for p, part in zip(model.projectors, parts, strict=True)])
        assert together.feature_lengths[row] == len(expected) == sum(-(-p.shape[1] // 2) for p in parts)
        torch.testing.assert_close(together.features[row, : len(expected)], expected)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_padding_of_streams_changes_neither_loss_nor_gradient_nor_text(
    shape: str, two: list[Path], llm_folder: Folder, config: TuneConfig
) -> None:
    model = joint(llm_folder(shape), two, config).eval()
    items = FeatureItems(open_caches(two, "train"))
    clips = [items.get(i) for i in range(4)]

    def summed(clips: list) -> tuple[torch.Tensor, ...]:
        model.zero_grad()
        loss = model(**collate(clips, codec=model.codec), num_items_in_batch=1)["loss"]
        loss.backward()
        return loss.detach(), *(p.grad.clone() for p in model.projector.parameters())

    together, *alone = (summed(part) for part in (clips, *([clip] for clip in clips)))
    for found, expected in zip(together, map(sum, zip(*alone, strict=True)), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    said = [
        model.translate(collate(part, codec=model.codec), config.decoding)
        for part in (clips, *([c] for c in clips))
    ]
    assert said[0] == [text for (text,) in said[1:]]


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_every_streams_projector_learns(
    shape: str, two: list[Path], llm_folder: Folder, config: TuneConfig
) -> None:
    model = joint(llm_folder(shape), two, config)
    items = FeatureItems(open_caches(two, "train"))
    batch = collate([items.get(i) for i in range(4)], codec=model.codec)
    model(**batch)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.projector.parameters())
    prompt, sentence = batch["prompt_ids"].shape[1], batch["labels"].shape[1]
    read = 20 + prompt + sentence + (-1 if shape == "llama" else 0)  # mBART starts from a token of its own
    assert model.padded_size(batch) == 4 * read
    halves = model.halve(batch) or ()
    assert [half["features_2"].shape[1] for half in halves] == [10, 8]


def test_views_of_streams_are_drawn_alike(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / encoder, encoder=encoder, views=views) for encoder, views in (("e", 3), ("f", 3))
    ]
    plain = write(tmp_path / "plain", encoder="g", views=0)

    def drawn(folders: list[Path]) -> list[tuple[float, ...]]:
        items = FeatureItems(open_caches(folders, "train"), view_seed=1)
        found = [items.get(i, epoch)["features"] for epoch in range(8) for i in range(4)]
        return [tuple(array[0, -1] for array in (f if isinstance(f, tuple) else (f,))) for f in found]

    alone = [view for (view,) in drawn(folders[:1])]
    assert set(alone) == {0, 1, 2, 3}
    assert drawn(folders) == [(view, view) for view in alone]
    assert drawn([folders[0], plain]) == [(view, 0) for view in alone]  # it has its clean pass alone


def test_what_is_neither_streams_nor_corpora_is_refused(two: list[Path], tmp_path: Path) -> None:
    def refuse(*folders: Path, says: str) -> None:
        with pytest.raises(CacheError, match=says):
            FeatureItems(open_caches(folders, "train"))

    part = write(tmp_path / "part", ids=("a", "x"), words=("wind", "regen"), encoder="f")
    refuse(two[0], part, says=r"but 'a' is in 2 of the 2 and '[bcdx]' in 1")
    pairs = [write(tmp_path / e, ids=("x",), words=("wind",), encoder=e) for e in "gh"]
    refuse(*two, *pairs, says=r"'a' is in 2 of the 4 and 'x' in 2")
    other = write(tmp_path / "other", encoder="f", words=("wind", "regen", "heute", "sonne"))
    refuse(two[0], other, says=r"'d' has 'morgen' \(de\) in stream 1 and 'sonne' \(de\) in stream 2")
    frame = write(tmp_path / "frame", level="frame", ids=("x",), words=("wind",))
    refuse(two[0], frame, says="one level, but hold sign features of width 8 and frame features of width 8")
    refuse(two[0], two[0], says="different folders, but .*pictures is given twice")


def test_what_is_no_number_is_named_with_its_clip_and_stream(two: list[Path], tmp_path: Path) -> None:
    items = FeatureItems(open_caches([two[0], write(tmp_path / "bad", encoder="g", bad="c")], "train"))
    items.get(1)
    with pytest.raises(DataError, match="'c' in stream 2 must be finite"):
        items.get(2)


def test_dev_must_have_the_streams_of_train(two: list[Path], tmp_path: Path, config: TuneConfig) -> None:
    with pytest.raises(CacheError, match=r"streams of train \(2\), in one order, but has 1 of encoders eeee"):
        open_clips([two[0], write(tmp_path / "poses-train", encoder="g", splits=("train",))], config=config)


def test_a_run_on_streams_is_loaded_scored_and_guarded(
    two: list[Path], llm_folder: Folder, config: TuneConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    own = replace(config, quantise="none", training=replace(config.training, epochs=1))
    tune(two, llm=str(llm_folder("llama")), config=own, out=run, device="cpu")
    streams = json.loads((run / "run.json").read_text())["streams"]
    assert [(s["fingerprint"], s["feature_size"]) for s in streams] == [("e" * 64, 8), ("f" * 64, 5)]
    assert streams[0]["made_by"] == [
        {
            "encoder_config": {}, "level": "sign", "preprocessing": {"phase": 0}, "frame_batch": 1,
            "compute_dtype": "float32", "device_kind": "cpu",
        }
    ]  # fmt: skip
    names = {name.split(".")[1] for name in load_file(run / "projector.safetensors")}
    assert names == {"0", "1"}
    first = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    for name in ("projector_rms", "projector_rms_2"):
        assert first[name] == pytest.approx(first["embedding_rms"], rel=0.05)

    def evaluate(*folders: Path) -> None:
        given = [part for folder in folders for part in ("--features", str(folder))]
        arguments = ["evaluate", str(run), *given, "--split", "dev", "--device", "cpu"]
        CliRunner().invoke(fla, arguments, prog_name="fla", catch_exceptions=False)

    said = (run / "predictions-dev.jsonl").read_bytes()
    (run / "predictions-dev.jsonl").unlink()
    evaluate(*two)
    assert (run / "predictions-dev.jsonl").read_bytes() == said
    with pytest.raises(CacheError, match="given the 2 streams of features .* but is given 1 stream"):
        evaluate(two[0])
    with pytest.raises(CacheError, match="Stream 1 must come from encoder eeee.*, but comes from ffff"):
        evaluate(*two[::-1])
    frame = write(tmp_path / "frame", level="frame")
    with pytest.raises(CacheError, match="Stream 1 must hold features of level sign.*but holds .*frame"):
        evaluate(frame, two[1])


def test_one_stream_is_saved_under_the_names_it_always_had(
    two: list[Path], llm_folder: Folder, config: TuneConfig
) -> None:
    alone = joint(llm_folder("llama"), two[:1], config)
    assert {name.split(".")[0] for name in alone.projector.state_dict()} == {"layers", "norm", "output_scale"}
    assert alone.projectors == [alone.projector]
    assert len(alone.streams) == 1


def test_the_first_streams_projector_is_drawn_as_if_it_were_alone(config: TuneConfig) -> None:
    torch.manual_seed(0)
    alone = Projector(8, 16, config=config.projector)
    torch.manual_seed(0)
    joined = StreamProjectors([Projector(width, 16, config=config.projector) for width in WIDTHS])
    for name, tensor in alone.state_dict().items():
        assert torch.equal(joined.projectors[0].state_dict()[name], tensor)


def test_each_corpus_keeps_its_language(llm_folder: Folder, config: TuneConfig, tmp_path: Path) -> None:
    corpora = [
        write(tmp_path / "german"),
        write(tmp_path / "chinese", ids=("x", "y", "z", "w"), language="zh"),
    ]
    items = FeatureItems(open_caches(corpora, "train"))
    assert items.languages == ["de"] * 4 + ["zh"] * 4
    own = replace(config, quantise="none", prompt_by_language={"zh": "Translate the Chinese sentence:"})
    model = build_model(items, llm=str(llm_folder("mbart")), config=own, device=CPU)
    model.codec.restore_decoder_prefixes({"de": [2, 5], "zh": [2, 6]})  # as mBART's language tokens
    mixed = collate([items.get(7), items.get(0)], codec=model.codec)
    alone = [collate([items.get(i)], codec=model.codec) for i in (7, 0)]
    for row, single in enumerate(alone):
        count = int(single["prompt_lengths"][0])
        assert mixed["prompt_lengths"][row] == count
        assert torch.equal(mixed["prompt_ids"][row, :count], single["prompt_ids"][0])
    assert not torch.equal(mixed["prompt_ids"][0], mixed["prompt_ids"][1])
    assert mixed["decoder_prefix_ids"].tolist() == [[2, 6], [2, 5]]
    with pytest.raises(DataError, match="needs one language, but the clips are in de and zh"):
        evaluate_stage_two(tmp_path / "no-run-is-loaded", corpora, request=Request(split="dev"))


def test_the_memory_plan_counts_every_projector(config: TuneConfig) -> None:
    other = replace(config.projector, kind="linear")
    own = replace(config, projector_by_stream={"2": other})
    first, second = (Projector(width, 64, config=own.projector_of(i)) for i, width in enumerate(WIDTHS))
    joined = StreamProjectors([first, second])
    sizes = projector_sizes(own, feature_sizes=WIDTHS, embedding_size=64)
    assert sizes == tuple(p.numel() for p in joined.parameters())


def test_videos_are_not_translated_by_a_run_on_streams(
    two: list[Path], llm_folder: Folder, config: TuneConfig
) -> None:
    model = joint(llm_folder("llama"), two, config)
    with pytest.raises(RunError, match="one stream of features to translate videos, but was tuned on 2"):
        _check_one_stream(Path("run"), model)
