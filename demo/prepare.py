"""``fla prepare demo``: rendering of the demo corpus, with a manifest as for other corpora."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.sample import Split
from ..corpora.prepare import Prepared, check_storable
from ..corpora.release import first_of_each_split
from .corpus import DemoConfig, write_demo_corpus
from .key_points import write_key_points


@dataclass(frozen=True, kw_only=True)
class PrepareDemoConfig:
    """Settings of ``fla prepare demo``."""

    demo: DemoConfig = field(default_factory=DemoConfig)
    """Size of the corpus and of the pictures."""
    seed: int = 0
    """Seed of sentences, signers and movements."""
    poses: bool = False
    """Write the true key points of each clip too, as ``poses/SPLIT/N.npz``."""


def prepare_demo(out: Path, *, config: PrepareDemoConfig, limit: int | None = None) -> Prepared:
    """Render the demo corpus into a folder.

    Args:
        out: folder to fill.
        config: settings.
        limit: number of clips of each split that the manifest keeps. None keeps all.

    Raises:
        DataError: the path of ``out`` is not UTF-8, so no manifest can hold it.
    """
    out = out.absolute()
    check_storable(out)
    manifest = write_demo_corpus(out, config=config.demo, seed=config.seed)
    if config.poses:
        manifest = write_key_points(manifest, config=config.demo, seed=config.seed)
    manifest = replace(manifest, samples=tuple(first_of_each_split(manifest.samples, limit)))
    counts: dict[Split, int] = {split: count for split, count in manifest.counts.items() if count}
    return Prepared(manifest=manifest, rejected=(), annotated=counts, official=None, notes=())
