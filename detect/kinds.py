"""Kinds of detectors: packages, points and settings."""

from dataclasses import dataclass

from ..poses import layouts
from ..poses.layouts import Layout

Version = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class DetectorKind:
    """A detector that ``fla poses`` can install and run."""

    name: str
    """Name on the command line, and of the package."""
    layout: Layout
    """Points of a picture."""
    version: str
    """Version of the package, which is installed without its dependencies."""
    packages: tuple[str, ...]
    """Imports of the package, with versions."""
    last_python: Version
    """Last version of Python with wheels of all packages."""
    megabytes: int
    """Size of the environment."""
    settings: tuple[str, ...] = ()
    """Settings that only this detector has."""
    needs_weights: bool = False
    """Whether the user gives the weights. Else they are part of the package."""

    @property
    def requirement(self) -> str:
        """The package as pip takes it."""
        return f"{self.name}=={self.version}"


FIRST_PYTHON: Version = (3, 11)
MEDIAPIPE = DetectorKind(
    name="mediapipe",
    layout=layouts.MEDIAPIPE,
    # The last release with ``solutions`` and with models in the wheel. Later releases (0.10.30) download
    # models.
    version="0.10.21",
    # The wheel also asks for jax and sounddevice, which are not used, and for OpenCV with windows, which
    # needs libraries of a desktop.
    packages=(
        "numpy==1.26.4",
        "protobuf==4.25.9",
        "opencv-python-headless==4.11.0.86",
        "matplotlib==3.11.2",
        "absl-py==2.5.1",
        "attrs==26.1.0",
        "flatbuffers==25.12.19",
    ),
    last_python=(3, 12),
    megabytes=400,
    settings=("min_detection_confidence", "min_tracking_confidence"),
)
RTMLIB = DetectorKind(
    name="rtmlib",
    layout=layouts.COCO_WHOLEBODY,
    version="0.0.16",
    # The wheel asks for two kinds of OpenCV with windows.
    packages=(
        "numpy==2.4.6",
        "onnxruntime==1.32.0",
        "opencv-python-headless==5.0.0.93",
        "tqdm==4.70.1",
    ),
    last_python=(3, 13),
    megabytes=300,
    needs_weights=True,
)
KINDS = {kind.name: kind for kind in (MEDIAPIPE, RTMLIB)}
"""All kinds by name."""
