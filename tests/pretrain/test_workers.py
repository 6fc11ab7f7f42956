"""Worker processes that are not forked read kept frames from the memory of their parent."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.data import TrainingClips, training_batches
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.tokenizer import make_tokenizer

Make = Callable[..., Any]


def test_kept_frames_reach_workers_without_their_videos(
    corpus: Manifest, tiny_config: Make, tmp_path: Path, start_method: Any
) -> None:
    shutil.copytree(corpus.root, tmp_path / "corpus")
    manifest, config = replace(corpus, root=tmp_path / "corpus"), tiny_config()
    with start_method("forkserver"):
        store, samples = FrameStore(manifest, config.encoder, workers=1), manifest.split("train")
        assert store.keep(samples, phases=(0, 1), gib=1.0) == []
        shutil.rmtree(manifest.root)  # nothing can be decoded any more
        tokenizer = make_tokenizer([sample.text for sample in samples], config.tokenizer)
        batches = training_batches(TrainingClips(samples, store=store, tokenizer=tokenizer, config=config))
        loader = DataLoader(batches, batch_size=None, num_workers=1)
        for ours, theirs in zip((batches[index] for index in range(len(batches))), loader, strict=True):
            assert ours.keys() == theirs.keys() == {"frames", "lengths", "labels"}
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
