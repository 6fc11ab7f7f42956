"""Random access points: packets from which every later frame can be decoded.

Not every key frame is a random access point. After a key frame of an open group of pictures (HEVC: CRA,
H.264: recovery point), leading frames refer to the group before. Decoders drop leading frames if that group
is missing. With gradual refresh, frames are complete only some time after a key frame.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

IDR_UNITS = {"h264": "5", "hevc": "19-20"}
"""NAL unit types of IDR pictures (tables 7-1 of H.264 and H.265)."""
REFRESH_SECONDS = 12.0
"""Longest gradual refresh. x264 (intra-refresh) takes at most a key interval, by default 250 frames: 10 s at
25 frames per second."""


def refreshes_gradually(stream: "VideoStream") -> bool:
    """Return whether a key frame of this codec may be the start of a gradual refresh."""
    return stream.codec_context.name == "h264"


def is_random_access_point(packet: "Packet[VideoStream]", stream: "VideoStream") -> bool:
    """Return whether no later frame refers to a frame before this packet.

    In H.264 and HEVC this means an IDR picture. In other codecs every key frame counts.
    """
    from av.bitstream import BitStreamFilterContext
    from av.error import FFmpegError
    from av.packet import Packet

    units = IDR_UNITS.get(stream.codec_context.name)
    if units is None or not packet.is_keyframe:
        return packet.is_keyframe
    # The filter empties the packet that it is given, so a copy goes in.
    copy = Packet(bytes(packet))
    try:
        return bool(BitStreamFilterContext(f"filter_units=pass_types={units}", stream).filter(copy))
    except FFmpegError:
        # The packet is damaged. The caller decodes the video and reports the damage.
        return False
