"""The backbone in chunks of frames: bounded memory, the same gradients, statistics that move once."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fla_llm.core.config import write_config
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.chunks import in_chunks
from fla_llm.encoder.store import fingerprint
from fla_llm.planning.saved_bytes import SavedBytes
from fla_llm.pretrain.data import TrainingClips, collate
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.train import pretrain
from fla_llm.training.batch_norm import running_statistics
from fla_llm.training.checkpoints import finished_steps, last_checkpoint, load_weights
from fla_llm.training.oom_retry import OomRetry

Make = Callable[..., Any]
SCRIPT = Path(__file__).with_name("one_process.py")
CHUNK = 7
"""Frames of a chunk, fewer than a batch of the corpus has."""


def batch_of(corpus: Manifest, model: Any, *, clips: int = 4) -> dict[str, Tensor]:
    store = FrameStore(corpus, model.config.encoder)
    items = TrainingClips(corpus.split("train"), store=store, tokenizer=model.tokenizer, config=model.config)
    return collate([items.get(index, 0) for index in range(clips)])


def frames_of(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, 28, 28), dtype=torch.uint8, generator=generator)


def grads(model: torch.nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def are_equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


def test_with_frozen_statistics_chunks_change_no_gradient(corpus: Manifest, tiny_model: Make) -> None:
    found = []
    for chunk in (CHUNK, "null"):
        model = tiny_model(translator__dropout=0, training__frame_chunk=chunk)
        model.encoder.backbone.eval()
        model(**batch_of(corpus, model))["loss"].backward()
        found.append(grads(model))
    for chunked, whole in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-3, atol=1e-6)


def test_the_repetition_moves_no_statistic_and_changes_no_bit(tiny_model: Make) -> None:
    """The same chunks without checkpointing are the reference."""
    frames, count = frames_of(20), 3
    encoders = [tiny_model().encoder.train() for _ in range(2)]
    repeated = in_chunks(encoders[0].frame_features, frames, size=CHUNK, module=encoders[0].backbone)
    parts = [encoders[1].frame_features(frames[start::count]) for start in range(count)]
    order = torch.cat([torch.arange(20)[start::count] for start in range(count)])
    plain = torch.cat(parts)[order.argsort()]
    assert torch.equal(repeated, plain)
    for features in (repeated, plain):
        features.square().sum().backward()
    assert are_equal(*(grads(encoder) for encoder in encoders))
    assert are_equal(*(running_statistics(encoder) for encoder in encoders))
    assert all(layer.num_batches_tracked == count for layer in encoders[0].backbone.modules()
               if hasattr(layer, "num_batches_tracked"))  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, CHUNK, 20, None])
def test_features_come_in_the_order_of_the_frames(tiny_model: Make, size: int | None) -> None:
    encoder, frames = tiny_model().encoder.eval(), frames_of(20)
    with torch.no_grad():
        chunked = in_chunks(encoder.frame_features, frames, size=size, module=encoder.backbone)
        torch.testing.assert_close(chunked, encoder.frame_features(frames))


def test_the_bytes_for_the_backward_pass_do_not_grow_with_the_frames(tiny_model: Make) -> None:
    encoder, saved = tiny_model().encoder.train(), {}
    for count in (CHUNK, 10 * CHUNK):
        counter = SavedBytes([*encoder.parameters(), *encoder.buffers()])
        with counter:
            in_chunks(encoder.frame_features, frames_of(count), size=CHUNK, module=encoder.backbone)
        saved[count] = counter.total
    assert saved[10 * CHUNK] <= 1.1 * saved[CHUNK]


def test_padding_changes_nothing_in_chunks(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model(training__frame_chunk=3).eval()
    store = FrameStore(corpus, model.config.encoder)
    clips = TrainingClips(corpus.split("train"), store=store, tokenizer=model.tokenizer, config=model.config)
    items = [clips.get(index, 0) for index in (0, 2)]
    counts = [len(item["labels"]) for item in items]
    with torch.no_grad():
        alone = [model(**collate([item]))["loss"].item() for item in items]
        together = model(**collate(items))["loss"].item()
    mean = sum(loss * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
    assert together == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("chunk", [CHUNK, "null"])
def test_a_batch_that_does_not_fit_runs_in_halves_of_its_clips(
    corpus: Manifest, tiny_model: Make, chunk: int | str
) -> None:
    """Statistics move as if the whole batch had never been tried, and marks of a batch stay."""
    halved, by_hand = (tiny_model(translator__dropout=0, training__frame_chunk=chunk) for _ in range(2))
    batch = batch_of(corpus, halved, clips=3)
    count = int((batch["labels"] >= 0).sum())

    def step(part: dict[str, Any]) -> Tensor:
        assert part.pop("is_dummy")
        loss = halved(**part, num_items_in_batch=count)["loss"]
        loss.backward()
        if len(part["lengths"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss.detach()

    OomRetry(halved, processes=1).run(step, batch | {"is_dummy": True})
    frames = int(batch["lengths"][0])
    for frame_range, clip_range in ((slice(frames), slice(1)), (slice(frames, None), slice(1, None))):
        part = {"frames": batch["frames"][frame_range], "lengths": batch["lengths"][clip_range]}
        by_hand(**part, labels=batch["labels"][clip_range], num_items_in_batch=count)["loss"].backward()
    assert are_equal(running_statistics(halved), running_statistics(by_hand))
    for ours, theirs in zip(grads(halved), grads(by_hand), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_a_run_in_chunks_killed_inside_an_epoch_is_resumed_to_the_same_encoder(
    corpus: Manifest, tiny_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(training__frame_chunk=CHUNK, training__select="last", training__epochs=1)
    manifest = replace(corpus, samples=tuple(corpus.split("train")))
    whole = pretrain(manifest, config=config, out=tmp_path / "whole", device="cpu")
    get, calls = TrainingClips.get, itertools.count()

    def killed(self: TrainingClips, index: int, epoch: int) -> Any:
        if next(calls) == 10:  # of 12 clips, in the last of three batches
            raise KeyboardInterrupt
        return get(self, index, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingClips, "get", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(manifest, config=config, out=tmp_path / "run", device="cpu")
    assert finished_steps(tmp_path / "run/checkpoints")[-1] == 1  # the loader is a batch ahead
    resumed = pretrain(manifest, config=config, out=tmp_path / "run", resume=True, device="cpu")
    assert fingerprint(resumed.run) == fingerprint(whole.run)


def test_two_processes_in_chunks_are_one_that_adds_up_twice_as_many_batches(
    corpus: Manifest, tiny_config: Make, tmp_path: Path, torchrun: Callable[..., list[int | None]]
) -> None:
    """Weights are equal bit for bit. Running statistics are of the batches that the first process saw."""
    changes = {"training__frame_chunk": CHUNK, "training__select": "last", "translator__dropout": 0}
    manifest = replace(corpus, samples=tuple(corpus.split("train")))
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    write_config(tiny_config(**changes), tmp_path / "two.yaml")
    given = {
        "MANIFEST": tmp_path / "manifest.jsonl",
        "CONFIG": tmp_path / "two.yaml",
        "OUT": tmp_path / "two",
    }
    assert torchrun(SCRIPT, processes=2, **given) == [0, 0]
    one = tiny_config(**changes, training__accumulate=2)
    pretrain(manifest, config=one, out=tmp_path / "one", device="cpu")
    weights = [load_weights(last_checkpoint(tmp_path / name / "checkpoints")) for name in ("one", "two")]
    names = [name for name in weights[0] if "running_" not in name and "num_batches" not in name]
    assert len(names) > 50
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in names)
