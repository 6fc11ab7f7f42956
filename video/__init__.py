"""Open clips (video files, frame folders), select frames and transform them."""

from .arrays import select_from_arrays
from .clip import Clip, ClipInfo
from .container import DamagedVideoError
from .frames import decode_all, read_frames
from .geometry import ResizeMode
from .listing import list_clips
from .probing import count_frames, probe, read_timeline
from .sampling import FrameSampling, count_selected, select_at_times, select_frames
from .timeline import Timeline, choose_frames

__all__ = [
    "Clip",
    "ClipInfo",
    "DamagedVideoError",
    "ResizeMode",
    "FrameSampling",
    "Timeline",
    "choose_frames",
    "count_frames",
    "count_selected",
    "decode_all",
    "list_clips",
    "probe",
    "read_frames",
    "read_timeline",
    "select_at_times",
    "select_from_arrays",
    "select_frames",
]
