"""Clips, sizes and folder of the experiments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from experiment_clips import FrameClips

from fla_llm.configs import PRETRAIN_PRESETS, TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.corpora.manifest import Manifest
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.finetune.config import TuneConfig
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.model import StageOneModel


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Clips, sizes and folder of all variants."""

    manifest: Manifest
    out: Path
    settings: dict[str, Any]
    stores: dict[int, FrameStore]
    """Decoded frames by stride, so that seconds of training hold no decoding."""

    def stage_one(self, variant: dict[str, Any], *, seed: int, epochs: int = 1) -> PretrainConfig:
        """Return the settings of stage one with the variant's stride."""
        sets = [
            f"seed={seed}",
            f"training.epochs={epochs}",
            f"encoder.sampling.stride={self.stride(variant)}",
        ]
        sets.append(f"encoder.sampling.max_frames={self.settings['stage_one']['translator']['positions']}")
        return self._load(PretrainConfig, PRETRAIN_PRESETS, "stage_one", sets)

    def stage_two(self, *, seed: int, epochs: int) -> TuneConfig:
        return self._load(
            TuneConfig, TUNE_PRESETS, "stage_two", [f"seed={seed}", f"training.epochs={epochs}"]
        )

    def stride(self, variant: dict[str, Any]) -> int:
        return variant.get("stride", self.settings["stride"])

    def clips(self, split: str, model: StageOneModel) -> FrameClips:
        """Return the clips of a split, decoded once for each stride."""
        encoder = model.config.encoder
        stride = encoder.sampling.stride
        if stride not in self.stores:
            self.stores[stride] = FrameStore(self.manifest, encoder)
            for part, phases in (("train", encoder.sampling.phases), ("test", (0,))):
                self.stores[stride].keep(self.manifest.split(part), phases=phases, gib=4.0)
        train = split == "train"
        return FrameClips(self.manifest.split(split), store=self.stores[stride], model=model, train=train)

    def prepare(self, model: StageOneModel) -> str:
        """Decode the frames, and return the language model. Both serve all variants."""
        # Called before a clock starts, so that the first variant does not pay for the others.
        self.clips("train", model)
        return self.llm

    @property
    def llm(self) -> str:
        """Return the small language model of all variants, trained on the training sentences."""
        folder = self.out / "llm"
        if not (folder / "config.json").is_file():
            texts = [sample.text for sample in self.manifest.split("train")]
            make_small_llm(texts, folder, config=SmallLlmConfig(**self.settings["llm"]), device="cpu")
        return str(folder)

    def record(self, name: str, seed: int) -> Path:
        return self.out / "records" / f"{name}-seed-{seed}.json"

    def _load(self, cls: Any, presets: Path, group: str, sets: Sequence[str]) -> Any:
        file = self.out / f"{group}.yaml"
        file.write_text(yaml.safe_dump(self.settings[group]))
        return load_config(cls, presets=presets, source=str(file), overrides=sets)


def fewer_people(manifest: Manifest, count: int) -> Manifest:
    """Return a manifest with the training clips of the first people, and the whole test split."""
    people = sorted({sample.signer or "" for sample in manifest.split("train")})[:count]
    train = [sample for sample in manifest.split("train") if (sample.signer or "") in people]
    return replace(manifest, samples=(*train, *manifest.split("test")))
