"""Entry points: packets from which decoding gives every later picture.

A key frame alone does not promise that. After a key frame of an open group of pictures (HEVC: CRA, H.264:
recovery point) come pictures that refer to the group before, and no decoder gives these pictures where that
group was cut away. A stream with gradual refresh becomes whole only many pictures after a key frame.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

IDR_UNITS = {"h264": "5", "hevc": "19-20"}
"""NAL unit types of an IDR picture, which nothing after it refers past (table 7-1 of H.264 and H.265)."""
REFRESH_SECONDS = 12.0
"""With gradual refresh (x264's intra-refresh) a picture is whole at the latest a key interval after a key
frame: by x264's default 250 frames, which are 10 s at 25 frames per second."""


def refreshes_gradually(stream: "VideoStream") -> bool:
    """Return whether a key frame of this codec may be a picture that is refreshed only in part."""
    return stream.codec_context.name == "h264"


def is_entry_point(packet: "Packet[VideoStream]", stream: "VideoStream") -> bool:
    """Return whether a packet is a key frame that no later picture in decoding order refers past.

    H.264 and HEVC key frames must be IDR pictures for that; other codecs are believed.
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
    except FFmpegError:  # a damaged packet: decoding will tell what it gives
        return False
