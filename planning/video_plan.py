"""Memory and hours of stage one and of extraction, from encoder shapes and a manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..core.device import resolve_device
from ..core.errors import ConfigError, DataError
from ..core.sample import Sample
from ..corpora.manifest import Manifest
from ..encoder.chunks import chunk_size
from ..encoder.config import EncoderConfig
from ..encoder.model import VisualEncoder
from ..pretrain.config import PretrainConfig
from ..pretrain.model import StageOneModel
from ..training.batches import make_batches
from ..video.sampling import count_selected
from .cuda_precision import CudaPrecision
from .gpu import device_name, gpu_bytes, planned_dtype
from .hours import Hours, estimate_hours
from .layer_stack import measure_stack
from .memory import CONTEXT_BYTES, fullest, part_lines, total, verdict
from .saved_bytes import AliveBytes, SavedBytes
from .sequence_lengths import text_tokens
from .weights import moment_bytes

EXTRACT_FRAMES = 32
"""Frames of an extraction at a time, on a small GPU. An extraction tries larger numbers by itself."""
BACKWARD = 2  # FLOPs of the backward pass, in forward passes


@dataclass(frozen=True, kw_only=True)
class FrameCost:
    """Memory and work of a frame in the backbone."""

    saved: int
    """Bytes kept for the backward pass."""
    alive: int
    """Bytes at most without gradients."""
    flops: int
    """FLOPs of the forward pass."""


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """Estimated memory and time of a stage with video input."""

    stage: str
    parts: dict[str, int]
    room: int
    hours: Hours
    remedy: str
    unit: str

    @property
    def fits(self) -> bool:
        """Whether the stage fits."""
        return total(self.parts) <= self.room

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        size = total(self.parts)
        found = {"stage": self.stage, "bytes": size, "fits": self.fits, "spare_bytes": self.room - size}
        remedies = [] if self.fits else [self.remedy]
        return found | {"parts": self.parts, "remedies": remedies} | self.hours.to_dict()

    def describe(self) -> str:
        """Return the plan for people."""
        lines = [*part_lines(self.stage, self.parts), "", self.hours.describe(self.unit)]
        lines.append(verdict(total(self.parts), self.room))
        return "\n".join([*lines, *([] if self.fits else [self.remedy])])


def measure_frame(config: EncoderConfig, *, dtype: torch.dtype) -> FrameCost:
    """Count the backbone's passes on the meta device. No weights are made or fetched."""
    with torch.device("meta"):
        encoder = VisualEncoder(config.without_weights)
    # Copies of weights are kept whatever the number of frames: the difference of two numbers has none.
    one, two = (_count(encoder, frames, dtype) for frames in (2, 3))
    return FrameCost(**{name: two[name] - one[name] for name in one})


def _count(encoder: VisualEncoder, frames: int, dtype: torch.dtype) -> dict[str, int]:
    side = encoder.config.image_size
    pixels = torch.empty(frames, 3, side, side, dtype=torch.uint8, device="meta")
    saved = SavedBytes([*encoder.parameters(), *encoder.buffers()])
    alive, precision = AliveBytes(), CudaPrecision(dtype)
    # Batch norms and dropout keep other tensors in training, so each pass runs in the mode of the stage.
    with precision, saved:
        encoder.train().frame_features(pixels)
    with torch.no_grad(), alive, CudaPrecision(dtype):
        encoder.eval().frame_features(pixels)
    return {"saved": saved.total, "alive": alive.peak, "flops": precision.flops}


def plan_video(
    stage: str, manifest: Manifest, *, config: PretrainConfig, vram_gb: float | None, device: str,
    card: str | None = None,
) -> VideoPlan:  # fmt: skip
    """Plan stage one (``pretrain``) or an extraction with the same encoder (``extract``).

    Args:
        stage: name of the stage.
        manifest: manifest of the clips.
        config: settings of stage one.
        vram_gb: memory of the GPU. None asks the device.
        device: a name for :func:`resolve_device`.
        card: name of the GPU for the throughput. None asks the device.

    Raises:
        ConfigError: no ``vram_gb`` and no CUDA device, or the encoder reads poses.
        DataError: the manifest has no clips for the stage.
    """
    if not (manifest.split("train") if stage == "pretrain" else manifest.samples):
        raise DataError(f"The manifest of {manifest.corpus} has no clips to {stage}.\nRun: fla prepare")
    if config.encoder.kind == "poses":
        raise ConfigError(
            "encoder.kind must be pictures for fla plan, but is poses.\n"
            "Try the settings: fla pretrain --limit 64 --set training.epochs=1"
        )
    local = resolve_device(device)
    gpu = {"room": gpu_bytes(vram_gb, local), "card": card or device_name(local)}
    dtype = planned_dtype(config.training, local)
    if stage == "pretrain":
        return plan_pretrain(manifest, config=config, dtype=dtype, **gpu)
    return plan_extract(manifest, config=config.encoder, dtype=dtype, **gpu)


def plan_pretrain(
    manifest: Manifest, *, config: PretrainConfig, room: int, dtype: torch.dtype, card: str | None
) -> VideoPlan:
    """Plan stage one on the training clips of a manifest. The batches are exact."""
    samples, training = manifest.split("train"), config.training.for_processes(1)
    frames = _frame_counts(samples, config.encoder)
    batches = make_batches(
        frames, max_clips=training.batch_clips, max_steps=training.batch_steps, seed=config.seed
    )
    cost, model = measure_frame(config.encoder, dtype=dtype), _stage_one(config)
    sizes = [parameter.numel() for parameter in model.parameters()]
    sums = [sum(frames[i] for i in batch) for batch in batches]
    most, chunk = max(sums), max(chunk_size(count, size=training.frame_chunk) for count in sums)
    # The backward pass computes a batch of several chunks again.
    repeated = sum(count for count in sums if chunk_size(count, size=training.frame_chunk) < count)
    clips = [([frames[i] for i in b], [samples[i].text for i in b]) for b in batches]
    translator = _translator_bytes(model, clips, dtype)
    staying, pages = moment_bytes(sizes, optimiser=training.optimiser)
    standing = {
        "CUDA context (assumed)": CONTEXT_BYTES,
        "weights, fp32": 4 * sum(sizes),
        "optimiser": staying,
    }
    if training.ema_decay is not None:
        standing |= {"average of the weights": 4 * sum(sizes)}
    kept = {f"activations of {chunk} frames": chunk * cost.saved, "activations of the translator": translator}
    copies = {"autocast's copies": sum(sizes) * dtype.itemsize if dtype != torch.float32 else 0}
    moving = {"gradients": 4 * sum(sizes), "optimiser's pages": pages}
    # Frames also exist as pixels: all in 8 bits, and those of a chunk normalised in fp32.
    pixels = {"pixels": (most + 4 * chunk) * 3 * config.encoder.image_size**2}
    return VideoPlan(
        stage="pretrain",
        parts=fullest(standing, kept | copies | pixels | moving),
        room=room,
        hours=estimate_hours(
            cost.flops * ((1 + BACKWARD) * sum(frames) + repeated), card=card,
            steps=-(-len(batches) // training.accumulate), epochs=training.epochs,
            left_out="decoding of video, the translator and evaluations",
        ),
        remedy="--set training.frame_chunk=32, or training.batch_steps and training.batch_clips lower, and "
        "training.accumulate higher.",
        unit="steps",
    )  # fmt: skip


def plan_extract(
    manifest: Manifest, *, config: EncoderConfig, room: int, dtype: torch.dtype, card: str | None
) -> VideoPlan:
    """Plan an extraction of all clips of a manifest with the frozen encoder."""
    frames, cost = sum(_frame_counts(manifest.samples, config)), measure_frame(config, dtype=dtype)
    with torch.device("meta"):
        # The encoder on the meta device takes no memory, however large the backbone is.
        weights = sum(p.numel() for p in VisualEncoder(config.without_weights).parameters())
    # Weights stay in fp32; autocast multiplies copies.
    standing = {"CUDA context (assumed)": CONTEXT_BYTES, "weights, fp32": 4 * weights}
    batch: dict[str, float] = {f"{EXTRACT_FRAMES} frames": EXTRACT_FRAMES * cost.alive}
    return VideoPlan(
        stage="extract",
        parts=fullest(standing, batch | {"autocast's copies": weights * dtype.itemsize}),
        room=room,
        hours=estimate_hours(
            cost.flops * frames, card=card, steps=frames, epochs=1,
            left_out="decoding of video, which is often slower",
        ),
        remedy="--set frame_batch=8 in fla extract.",
        unit="frames",
    )  # fmt: skip


def _frame_counts(samples: Sequence[Sample], config: EncoderConfig) -> list[int]:
    """Return the number of sampled frames of each clip."""
    sampling = config.sampling
    return [count_selected(s.num_frames, sampling=sampling, clip_fps=s.fps) for s in samples]


def _stage_one(config: PretrainConfig) -> StageOneModel:
    """Return the model on the meta device, with as many tokens as the settings allow."""
    tokens: Any = range(config.tokenizer.vocab_size)
    with torch.device("meta"):
        return StageOneModel(VisualEncoder(config.encoder.without_weights), tokens, config)


def _translator_bytes(
    model: StageOneModel, batches: Sequence[tuple[Sequence[int], Sequence[str]]], dtype: torch.dtype
) -> float:
    """Return the most bytes kept by the light translator for a batch of frames and sentences."""
    config = model.translator.config
    encoder, decoder = (
        measure_stack(config, part, quantise="none", dtype=dtype, lora=None, full=True)
        for part in ("encoder", "decoder")
    )

    def kept(frames: Sequence[int], texts: Sequence[str]) -> float:
        steps, labels = max(frames), max(text_tokens(text) + 1 for text in texts)
        layers = config.encoder_layers * encoder.layer(steps)
        layers += config.decoder_layers * decoder.layer(steps, labels)
        # Logits in bf16 and fp32, their gradients and log-probabilities.
        outside = encoder.outside(steps) + decoder.outside(steps, labels) + 12 * config.vocab_size * labels
        return len(frames) * (layers + outside)

    return max(kept(*batch) for batch in batches)
