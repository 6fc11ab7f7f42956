"""Conversion of a published checkpoint to a stage-two run."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..configs import TUNE_PRESETS
from ..core.config import load_config
from ..core.files import sha256_file
from ..core.run import new_folder
from ..core.sample import TASKS
from ..core.weights import load_tensors
from ..encoder.store import fingerprint_of
from ..extract.config import FRAME_BATCH, ExtractConfig
from ..extract.provenance import provenance_of
from ..extract.source import load_source
from ..finetune.config import TuneConfig
from ..finetune.model import StageTwoModel
from ..finetune.pose_layers import POSE_FEATURES, PoseLayers
from ..finetune.store import describe_run, save_stage_two
from ..finetune.streams import MAKING, StreamRecord
from ..finetune.uni_sign_checkpoint import UniSignCheckpoint, read_checkpoint
from ..llm.load import LanguageModel, load_llm

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Result of ``fla convert``."""

    run: Path
    parameters: int
    """Parameters of the graph network and the language model."""
    left_out: tuple[str, ...]
    """Tensors of the checkpoint without a place in the run: those of the branch of pictures."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"run": str(self.run), "left_out": list(self.left_out)}


def convert_uni_sign(checkpoint: Path, *, llm: str, language: str, out: Path) -> Converted:
    """Write a checkpoint of Uni-Sign as a run of ``fla tune``.

    The run reads caches of ``fla extract --encoder poses`` with the default settings.

    Args:
        checkpoint: a published ``.pth`` file.
        llm: id or directory of mT5-base, for the config and the tokenizer.
        language: ISO 639-1 code of the sentences.
        out: a new or empty folder.

    Raises:
        ModelError: the checkpoint or the language model is damaged, or one does not fit the other.
        RunError: ``out`` is not empty.
    """
    found = read_checkpoint(checkpoint)
    settings = [f"projector.width={found.width}"]
    config = load_config(
        TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source="uni-sign", overrides=settings
    )
    language_model = load_llm(llm, quantise="none", device=CPU, dtype=torch.float32, weights=found.llm)
    model = _model(language_model, found, config=config, checkpoint=checkpoint)
    # Only now: a refused checkpoint leaves no folder behind.
    new_folder(out)
    converted = {"format": "uni-sign", "file": checkpoint.name, "sha256": sha256_file(checkpoint)}
    # A checkpoint does not say its task, and the prompt is the same for all.
    described = describe_run(model, languages=[language], tasks=TASKS)
    description = described | {"missing": {}, "converted": converted}
    save_stage_two(model, out, description=description)
    if found.left_out:
        logger.warning(
            f"warning: {len(found.left_out)} tensors of the branch of pictures are left out, such as "
            f"{found.left_out[0]}: the run reads key points alone."
        )
    count = sum(parameter.numel() for parameter in model.parameters())
    return Converted(run=out, parameters=count, left_out=found.left_out)


def _model(
    language_model: LanguageModel, found: UniSignCheckpoint, *, config: TuneConfig, checkpoint: Path
) -> StageTwoModel:
    stream = _key_points()
    model = StageTwoModel(
        language_model,
        config=config,
        feature_size=stream.feature_size,
        feature_fingerprint=stream.fingerprint,
        streams=[stream],
    )
    (projector,) = model.projectors
    layers = projector.layers
    assert isinstance(layers, PoseLayers)
    load_tensors(layers.graph, found.graph, file=checkpoint, of="the graph network of Uni-Sign")
    return model.eval()


def _key_points() -> StreamRecord:
    """Return the record of the key points that ``fla extract --encoder poses`` writes by default."""
    extracted = ExtractConfig(frame_batch=FRAME_BATCH)
    encoder, _ = load_source(ckpt=None, encoder="poses", config=extracted)
    digest = fingerprint_of(encoder)
    made = provenance_of(
        encoder, fingerprint=digest, config=extracted, device=CPU, corpus="", split="train", rates=set()
    )
    return StreamRecord(
        fingerprint=digest,
        feature_size=POSE_FEATURES,
        made_by=({name: getattr(made, name) for name in MAKING},),
    )
