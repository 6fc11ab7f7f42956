"""``fla doctor``: checks of this machine for all commands.

Each check does the real work on a small scale, and returns a finding or raises with a remedy.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("torch", "torchvision", "timm", "transformers", "peft", "bitsandbytes", "h5py", "av", "sacrebleu")
LEAST_FREE_GIB = 10.0
"""Space for environment, run and cache. The cache of PHOENIX14T takes 0.3 GB, a 4-bit 8 B model 6 GB."""
GRADIENT_TOLERANCE = 1e-3
"""Relative tolerance for a matrix product in two orders of summation."""


@dataclass(frozen=True)
class Check:
    """Result of a check."""

    name: str
    ok: bool
    found: str
    fix: str = ""


class CheckFailed(Exception):
    """Negative result of a check: finding and remedy."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.fix = found, fix


def examine(folder: Path, *, device: str, only: Collection[str] | None = None) -> list[Check]:
    """Run checks, and continue after a failed check.

    Args:
        folder: folder of the user's work. A temporary file is written and removed.
        device: a name for :func:`resolve_device`.
        only: names of checks. None: all checks.
    """
    checks: dict[str, tuple[Callable[[], str], str]] = {
        "packages": (_packages, "pip install -U fla-llm"),
        "torchvision": (_torchvision, _TORCHVISION_FIX),
        "device": (lambda: _device(device), "give --device cpu, or install the CUDA build of torch"),
        "4-bit training": (lambda: _four_bit(device), "pip install -U bitsandbytes"),
        "video decoding": (_video, "pip install -U av"),
        "feature cache": (lambda: _hdf5(folder), f"work in a folder on a local disk, not {folder}"),
        "free disk": (lambda: _disk(folder), f"free some space on the disk that holds {folder}"),
    }
    chosen = {name: checks[name] for name in checks if only is None or name in only}
    return [_run(name, check, fix) for name, (check, fix) in chosen.items()]


def _run(name: str, check: Callable[[], str], fix: str) -> Check:
    try:
        # A failed check must not hide the findings of later checks.
        return Check(name, True, check())
    except CheckFailed as verdict:
        return Check(name, False, verdict.found, verdict.fix)
    except Exception as error:  # any error of a library is a finding, with the remedy of the check
        return Check(name, False, f"{type(error).__name__}: {error}", fix)


def _packages() -> str:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    python = ".".join(map(str, sys.version_info[:3]))
    return f"python {python}, " + ", ".join(f"{name} {version}" for name, version in versions.items())


_TORCHVISION_FIX = (
    "torch and torchvision must be of one build (both CUDA or both CPU):\n"
    "pip install --force-reinstall torch torchvision\n"
    "For a CPU alone, add: --index-url https://download.pytorch.org/whl/cpu"
)


def _torchvision() -> str:
    """Import torchvision in a separate process."""
    # Builds that do not match can kill the process that imports them.
    code = "import torchvision.ops, timm; print(torchvision.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckFailed((done.stderr.strip().splitlines() or ["it did not load"])[-1], _TORCHVISION_FIX)
    return f"{done.stdout.strip()} loads beside torch"


def _device(name: str) -> str:
    import torch

    from ..core.device import has_fast_bf16, resolve_device

    device = resolve_device(name)
    bf16 = "bf16 in hardware" if has_fast_bf16(device) else "bf16 is not quicker here: fp32 is used"
    if device.type != "cuda":
        return f"{device.type}, {torch.get_num_threads()} threads, {bf16}"
    free, total = torch.cuda.mem_get_info(device)
    return f"{torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, {bf16}"


def _four_bit(name: str) -> str:
    """Compare the gradient through a 4-bit layer before and after an evaluation pass."""
    # On some CPUs bitsandbytes repacks the weights in evaluation, and loses gradients afterwards.
    import torch
    from bitsandbytes.nn.modules import Linear4bit

    from ..core.device import resolve_device
    from ..llm.quantisation import stop_repacking

    device = resolve_device(name)
    layer = Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32).to(device)
    stop_repacking(layer)
    inputs = torch.linspace(-1, 1, 64 * 4, device=device).reshape(4, 64)

    def gradient() -> torch.Tensor:
        # The gradient of the input tells whether the frozen layer passes gradients back.
        leaf = inputs.clone().requires_grad_()
        layer.train()(leaf).square().sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    before = gradient()
    with torch.no_grad():
        layer.eval()(inputs)
    after = gradient()
    if not torch.allclose(before, after, rtol=GRADIENT_TOLERANCE, atol=GRADIENT_TOLERANCE):
        raise CheckFailed("the gradient changes after an evaluation pass", "pip install -U bitsandbytes")
    return f"forward and backward on {device.type}, unchanged by an evaluation pass"


def _video() -> str:
    import av
    import numpy as np

    from ..video import Clip, probe

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        # Builds of PyAV may lack an encoder or decoder of H.264: a real clip shows both.
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = 64
            for value in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 * value, np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return f"H.264 written and read, {probe(Clip(path=path)).num_frames} frames, av {av.__version__}"


def _hdf5(folder: Path) -> str:
    import h5py
    import numpy as np

    from ..core.files import atomic_write

    # Network file systems often refuse locks or renames, so the check writes into the folder itself.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fla-doctor-") as place:
        path = Path(place) / "whole.h5"
        with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
            file["features"] = np.arange(6, dtype=np.float16)
        with h5py.File(path, "r", locking=False) as file:
            count = file["features"].shape[0]  # type: ignore[union-attr]  # h5py's item type is a union
    return f"an HDF5 file of {count} values written, renamed and read in {folder}"


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free / 2**30
    if free < LEAST_FREE_GIB:
        raise CheckFailed(
            f"{free:.1f} GiB free", f"free at least {LEAST_FREE_GIB:.0f} GiB on the disk of {folder}"
        )
    return f"{free:.0f} GiB free"
