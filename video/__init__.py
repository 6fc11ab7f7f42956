"""Opening clips (video files, frame folders), choosing frames, and transforming them."""

from .clip import Clip, ClipInfo
from .fit import Fit
from .frames import decode_all, read_frames
from .probing import count_frames, probe
from .sampling import FrameSampling, select_frames

__all__ = [
    "Clip",
    "ClipInfo",
    "Fit",
    "FrameSampling",
    "count_frames",
    "decode_all",
    "probe",
    "read_frames",
    "select_frames",
]
