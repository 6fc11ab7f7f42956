"""Description files of MMSLT: a dict of clips, each with the texts of its frames and their BERT vectors.

``torch.save({name: {"texts": [T texts], "bert_feat": (T, 768)}})``, as the published notebook writes them.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..cache.format import CacheRow
from ..core.errors import DataError
from ..core.sample import Sample
from .array_files import OpenedArray, from_tensor, load_pt
from .external import ExternalClip
from .import_config import Sentences

FEATURES, TEXTS = "bert_feat", "texts"


def read_mmslt(path: Path, sentences: Sentences, *, split: str) -> tuple[list[ExternalClip], list[str]]:
    """Return the clips of a split in the order of the manifest, and the names in the file without a sample.

    Args:
        path: a file of one split. No code in the file is run.
        sentences: ids, sentences, languages, signers and frames.
        split: the split. A name in the file is an id, or the split and an id (``train/...``).

    Raises:
        DataError: the file is damaged, or holds no dict of clips.
    """
    content = load_pt(path)
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise DataError(f"{path} must hold a dict of clips by name, but holds {type(content).__name__}.")
    samples = sentences.split(split)
    names = {sample.id: _name_of(sample, content) for sample in samples}
    clips = [
        ExternalClip(
            row=CacheRow.of(sample),
            open=partial(_open, content, names[sample.id], path),
        )
        for sample in samples
    ]
    # The corpus of the file may be larger than the manifest of a trial.
    return clips, sorted(content.keys() - names.values())


def _name_of(sample: Sample, content: Mapping[str, Any]) -> str:
    prefixed = f"{sample.split}/{sample.id}"
    return prefixed if sample.id not in content and prefixed in content else sample.id


def _open(content: Mapping[str, Any], name: str, path: Path) -> OpenedArray:
    """Return the vectors of a clip.

    Raises:
        DataError: the clip is missing, or its entry has another form.
    """
    import torch

    if name not in content:
        raise DataError(f"It is missing: {path} has no {name!r}.")
    entry = content[name]
    features = entry.get(FEATURES) if isinstance(entry, dict) else None
    if not isinstance(features, torch.Tensor):
        raise DataError(f"{path}, {name!r} must be a dict with a tensor {FEATURES!r}, but is not.")
    texts = entry.get(TEXTS)
    # A text for each vector: another number means that one of them is not of these frames.
    if texts is not None and len(texts) != len(features):
        raise DataError(
            f"{path}, {name!r} must have a vector for each text, but has {len(features)} for {len(texts)}."
        )
    return from_tensor(features, origin=f"{path}, {name!r}", max_bytes=path.stat().st_size)
