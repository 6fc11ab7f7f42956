"""The run of stage one, from a manifest to a directory that others read."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.configs import PRETRAIN_PRESETS
from fla_llm.core.config import load_config
from fla_llm.core.errors import DataError, ModelError, RunError
from fla_llm.corpora.copies import copies_by
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.store import fingerprint, load_encoder
from fla_llm.extract.request import ExtractionRequest
from fla_llm.extract.shards import WHOLE
from fla_llm.pretrain import PretrainConfig
from fla_llm.pretrain.data import TrainingClips, clip_evaluation_set
from fla_llm.pretrain.run import PretrainResult
from fla_llm.pretrain.store import load_stage_one
from fla_llm.pretrain.train import plan, pretrain
from fla_llm.training.checkpoints import finished_steps
from fla_llm.training.evaluation import predict
from fla_llm.video.copy_settings import CopySettings

Make = Callable[..., Any]
CPU = torch.device("cpu")


def test_the_run_directory_is_complete_and_no_file_of_it_is_hidden_from_others(
    trained: PretrainResult, other_modes: Callable[[Path], dict[str, str]]
) -> None:
    assert other_modes(trained.run) == {}
    names = {path.relative_to(trained.run).as_posix() for path in trained.run.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "run.json", "log.jsonl", "predictions-dev.jsonl",
        "encoder/config.json", "encoder/model.safetensors",
        "translator/config.json", "translator/model.safetensors", "translator/tokenizer.json",
    } <= names  # fmt: skip
    content = json.loads((trained.run / "run.json").read_text())
    assert content["encoder_fingerprint"] == fingerprint(trained.run)
    assert content["dev"] == trained.dev
    assert (content["train_clips"], content["dev_clips"]) == (12, 3)


def test_what_was_saved_translates_as_what_was_trained(trained: PretrainResult, corpus: Manifest) -> None:
    model = load_stage_one(trained.run, device=CPU)
    evaluation = clip_evaluation_set(corpus, "dev", model=model)
    translations = predict(model, evaluation, decoding=model.config.decoding, device=CPU, desc=None)
    rows = [json.loads(line) for line in (trained.run / "predictions-dev.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in rows] == translations.hypotheses
    assert [row["id"] for row in rows] == evaluation.ids
    kept = load_encoder(trained.run).state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.encoder.state_dict().items())


def test_shown_other_clips_the_references_stay(trained: PretrainResult, corpus: Manifest) -> None:
    model = load_stage_one(trained.run, device=CPU)
    plain = clip_evaluation_set(corpus, "dev", model=model)
    other = clip_evaluation_set(corpus, "dev", model=model, order=[2, 0, 1])
    assert plain.references == other.references
    items = plain.batches.items, other.batches.items
    assert torch.equal(items[0].get(2, 0)["frames"], items[1].get(0, 0)["frames"])


def test_the_same_seed_gives_the_same_encoder(
    trained: PretrainResult, corpus: Manifest, tiny_config: Make, tmp_path: Path
) -> None:
    again = pretrain(corpus, config=tiny_config(keep_frames_gib=0), out=tmp_path / "again", device="cpu")
    assert fingerprint(again.run) == fingerprint(trained.run)


def test_a_run_killed_inside_epoch_two_is_resumed_to_the_same_encoder(
    trained: PretrainResult,
    corpus: Manifest,
    tiny_config: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, get, calls = tmp_path / "stage1", TrainingClips.get, itertools.count()

    def killed(self: TrainingClips, index: int, epoch: int) -> dict[str, Any]:
        if epoch == 1 and next(calls) == 10:  # of 12 clips: in the last of three batches
            raise KeyboardInterrupt
        return get(self, index, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingClips, "get", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(corpus, config=tiny_config(), out=run, device="cpu")
    assert finished_steps(run / "checkpoints")[-1] == 4
    resumed = pretrain(corpus, config=tiny_config(), out=run, resume=True, device="cpu")
    assert fingerprint(resumed.run) == fingerprint(trained.run)


def test_a_resume_with_other_settings_or_sentences_is_refused(
    trained: PretrainResult, corpus: Manifest, tiny_config: Make
) -> None:
    with pytest.raises(RunError, match="these differ:\n  training.epochs: was 2, is now 3"):
        pretrain(corpus, config=tiny_config(training__epochs=3), out=trained.run, resume=True)
    changed = replace(corpus.samples[0], text="anders")
    other = replace(corpus, samples=(changed, *corpus.samples[1:]))
    with pytest.raises(RunError, match=r"run.json differs: sentences"):
        pretrain(other, config=tiny_config(), out=trained.run, resume=True)
    small = replace(corpus, copies=copies_by(CopySettings()))
    with pytest.raises(RunError, match=r"run.json differs: copies"):
        pretrain(small, config=tiny_config(), out=trained.run, resume=True)
    fewer = tiny_config(training__batch_clips=2)
    with pytest.raises(RunError, match=r"the batches it was begun with .* they are others"):
        pretrain(corpus, config=fewer, out=trained.run, resume=True, allow_config_change=True)


def test_an_extraction_is_told_of_other_videos(
    trained: PretrainResult, corpus: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "manifest.jsonl"
    for copies in (None, copies_by(CopySettings(size=256))):
        assert not caplog.records
        write_manifest(file, replace(corpus, copies=copies))
        request = ExtractionRequest(manifest=file, ckpt=trained.run, out=tmp_path / "cache")
        request.check((WHOLE,), device=torch.device("cpu"))
    assert "trained on other videos, and is given small copies of 256 pixels" in caplog.text


def test_a_folder_that_is_not_empty_is_refused(
    trained: PretrainResult, corpus: Manifest, tiny_config: Make
) -> None:
    with pytest.raises(RunError, match="is not empty"):
        pretrain(corpus, config=tiny_config(), out=trained.run)


def test_without_dev_the_last_must_be_asked_for(corpus: Manifest, tiny_config: Make, tmp_path: Path) -> None:
    train = replace(corpus, samples=tuple(corpus.split("train")))
    with pytest.raises(DataError, match="training.select=last"):
        pretrain(train, config=tiny_config(), out=tmp_path / "run")
    config = tiny_config(training__select="last", training__epochs=1)
    result = pretrain(train, config=config, out=tmp_path / "run", device="cpu")
    assert (result.dev, result.dev_clips, result.epoch) == (None, 0, 1)


def test_a_manifest_without_readable_clips_is_refused(
    corpus: Manifest, tiny_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="No training clip can be read"):
        pretrain(replace(corpus, root=tmp_path), config=tiny_config(), out=tmp_path / "run")


def test_a_run_without_its_translator_is_refused(trained: PretrainResult, tmp_path: Path) -> None:
    shutil.copytree(trained.run, tmp_path / "run")
    (tmp_path / "run/translator/model.safetensors").unlink()
    with pytest.raises(RunError, match=r"translator/ lacks model.safetensors"):
        load_stage_one(tmp_path / "run", device=CPU)
    with pytest.raises((RunError, ModelError)):
        load_stage_one(tmp_path / "nothing", device=CPU)


def test_a_plan_counts_and_writes_nothing(corpus: Manifest, tiny_config: Make) -> None:
    planned = plan(corpus, config=tiny_config())
    assert (planned.train_clips, planned.dev_clips, planned.batches) == (12, 3, 3)


def test_a_manifest_of_several_tasks_is_warned_of(
    corpus: Manifest, tiny_config: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = corpus.samples
    plan(replace(corpus, samples=(replace(first, task="isolated"), *others)), config=tiny_config())
    assert "it cannot tell isolated and translate apart" in caplog.text


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRETRAIN_PRESETS.glob("*.yaml")))
def test_every_preset_is_whole(preset: str) -> None:
    config = load_config(PretrainConfig, presets=PRETRAIN_PRESETS, source=preset)
    assert (
        load_config(PretrainConfig, base=PretrainConfig(), presets=PRETRAIN_PRESETS, source=preset) == config
    )
