"""Baseline of extraction, the loop of other toolkits: clip by clip, in fp32.

Open a clip, decode all of its frames, thin and transform them, run the backbone once over them, save a .npy.
"""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.video import Clip


def naive(
    manifest: Manifest, encoder: VisualEncoder, *, out: Path, device: torch.device
) -> tuple[int, float, float]:
    """Extract all clips to ``out``. Return encoded frames, seconds in the encoder, and total seconds."""
    encoder.to(device, memory_format=torch.contiguous_format)
    config, begin, inside, count = encoder.config, time.perf_counter(), 0.0, 0
    for sample in manifest.samples:
        frames = decode_all_frames(manifest.clip(sample))[:: config.sampling.stride]
        seen = torch.from_numpy(np.stack([to_square(frame, config.image_size) for frame in frames]))
        start = time.perf_counter()
        with torch.no_grad():
            features = encoder.sign_features(
                encoder.frame_features(seen.permute(0, 3, 1, 2).to(device))
            ).cpu()
        inside += time.perf_counter() - start
        count += len(frames)
        np.save(out / f"{sample.id.replace('/', '_')}.npy", features.numpy())
    return count, inside, time.perf_counter() - begin


def decode_all_frames(clip: Clip) -> list[np.ndarray]:
    if clip.path.is_dir():
        return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(clip.path.iterdir())]
    import av

    with av.open(clip.path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def to_square(frame: np.ndarray, size: int) -> np.ndarray:
    side = round(size * 8 / 7)
    picture = torch.from_numpy(frame.copy()).permute(2, 0, 1)
    picture = functional.center_crop(picture, [min(picture.shape[1:])] * 2)
    picture = functional.center_crop(functional.resize(picture, [side, side], antialias=True), [size, size])
    return picture.permute(1, 2, 0).numpy()
