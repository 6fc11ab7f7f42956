"""Descriptions of a clip for people: as lines, or as a page with the pictures."""

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError, did_you_mean
from ..core.files import atomic_write
from ..core.sample import Sample
from ..corpora.descriptions import Descriptions
from ..corpora.manifest import Manifest
from ..video.pictures import read_pictures
from .config import DescribeConfig

_PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.4 sans-serif;max-width:60em;margin:2em auto}}
td{{padding:.4em;vertical-align:top}}</style>
<h1>{title}</h1><p>{sentence}</p><p>{origin}</p><table>{rows}</table>
"""
_THUMBNAIL = 160
"""Longer side of a picture on the page, in pixels."""


def find_clip(descriptions: Descriptions, id: str) -> tuple[str, dict[int, str]]:
    """Return the split of a clip and its descriptions by frame number.

    Raises:
        DataError: no split has the clip, or the clip could not be read.
    """
    for split, known in descriptions.clips:
        if known == id:
            return split, descriptions.read(split, id)
    # Ids of corpora are long, and a wrong digit is hard to see.
    hint = did_you_mean(id, [known for _, known in descriptions.clips])
    raise DataError(f"{descriptions.folder} must hold the clip {id!r}, but does not.{hint}")


def describe_clip(
    descriptions: Descriptions, id: str, *, sample: Sample | None
) -> tuple[dict[str, Any], str]:
    """Return the descriptions of a clip as JSON values, and as lines.

    Args:
        descriptions: a folder of descriptions.
        id: the clip.
        sample: the clip in the manifest, for the times of frames. None: no times are shown.

    Raises:
        DataError: as :func:`find_clip`.
    """
    split, texts = find_clip(descriptions, id)
    header = descriptions.header
    rows = [{"frame": frame, "text": text} for frame, text in texts.items()]
    # Times need the frame rate, which only the manifest has.
    if sample is not None:
        rows = [{"frame": row["frame"], "seconds": row["frame"] / sample.fps, **row} for row in rows]
    content = {"id": id, "split": split, "header": header, "frames": rows}
    return content, "\n".join([f"{split} {id}", _origin(header), *map(_line, rows)])


def write_page(path: Path, descriptions: Descriptions, id: str, *, manifest: Manifest) -> None:
    """Write an HTML page with the picture and the description of each frame of a clip.

    Raises:
        DataError: as :func:`find_clip`, or the clip cannot be read.
    """
    split, texts = find_clip(descriptions, id)
    sample = find_sample(manifest, split, id)
    sampling = DescribeConfig(frame_stride=descriptions.header["settings"]["frame_stride"]).sampling
    pictures = read_pictures(manifest.clip(sample), sampling=sampling, longest_side=_THUMBNAIL)
    rows = "".join(
        f"<tr><td>{frame}<br>{frame / sample.fps:.2f} s</td>"
        f'<td><img src="{_as_url(pictures[frame])}" alt=""></td>'
        f"<td>{html.escape(text)}</td></tr>"
        for frame, text in texts.items()
        if frame in pictures
    )
    page = _PAGE.format(
        title=html.escape(f"{split} {id}"), sentence=html.escape(sample.text),
        origin=html.escape(_origin(descriptions.header)), rows=rows,
    )  # fmt: skip
    # Pictures inside the page: it can be sent to people without the videos.
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def find_sample(manifest: Manifest, split: str, id: str) -> Sample:
    """Return the sample of a clip.

    Raises:
        DataError: the manifest has no such clip.
    """
    for sample in manifest.split(split):
        if sample.id == id:
            return sample
    raise DataError(f"{manifest.source} must hold the {split} clip {id!r}, but does not.")


def _line(row: Mapping[str, Any]) -> str:
    seconds = f"{row['seconds']:8.2f} s" if "seconds" in row else ""
    return f"{row['frame']:6}{seconds}  {row['text']}"


def _origin(header: Mapping[str, Any]) -> str:
    trial = f", a trial of {header['limit']} clips per split" if header.get("limit") else ""
    return f"{header['model']} (revision {header['revision'][:12]}{trial}): {header['prompt']}"


def _as_url(picture: Any) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
