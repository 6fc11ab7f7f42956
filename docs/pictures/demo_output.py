"""Draw docs/pictures/demo_output.svg from a finished demo: frames, reference and translation of test clips.

Run: python docs/pictures/demo_output.py runs/demo
"""

import argparse
import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from fla_llm.core.files import read_jsonl
from fla_llm.corpora import read_manifest
from fla_llm.video import decode_all

PICTURE = Path(__file__).with_name("demo_output.svg")
FRAMES, SIDE, GAP, ROW = 8, 96, 6, 164
STYLE = """\
text { font: 15px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1a202c }
.label { fill: #4a5568; font-size: 13px } .wrong { fill: #c53030 }
@media (prefers-color-scheme: dark) {
  text { fill: #edf2f7 } .label { fill: #b3bdcb } .wrong { fill: #fc8181 }
}"""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=int, default=4)
    arguments = parser.parse_args()
    width = FRAMES * (SIDE + GAP)
    rows = "\n".join(draw_rows(arguments.run, arguments.clips))
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {arguments.clips * ROW}">\n'
        f"<style>{STYLE}</style>\n{rows}\n</svg>\n",
        encoding="utf-8",
    )


def draw_rows(run: Path, clips: int) -> Iterator[str]:
    """Yield SVG of test clips spread evenly over the split, the first wrong translation among them."""
    manifest = read_manifest(run / "manifest.jsonl", root=None, limit=None)
    samples = {sample.id: sample for sample in manifest.split("test")}
    rows = read_jsonl(run / "stage2" / "predictions-test.jsonl")
    wrong = [row for row in rows if row["prediction"] != row["reference"]]
    # A picture of right answers alone would flatter: one wrong translation is always shown.
    chosen = wrong[:1] + [row for row in rows if row not in wrong][:: max(1, len(rows) // clips)]
    for number, row in enumerate(chosen[:clips]):
        frames = decode_all(manifest.clip(samples[row["id"]]), size=SIDE)
        yield draw_clip(frames, row["reference"], row["prediction"], top=number * ROW)


def draw_clip(frames: np.ndarray, reference: str, prediction: str, *, top: int) -> str:
    """Return SVG of one clip: ``FRAMES`` frames spread over frames (T, H, W, 3), and both sentences."""
    indices = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    pictures = [
        f'<image x="{i * (SIDE + GAP)}" y="{top}" width="{SIDE}" height="{SIDE}" '
        f'href="{data_uri(frames[index])}"/>'
        for i, index in enumerate(indices)
    ]
    mark = "" if prediction == reference else ' class="wrong"'
    lines = [("reference", reference, ""), ("fla", prediction, mark)]
    texts = [
        f'<text class="label" x="0" y="{top + SIDE + 22 + 22 * i}">{label}</text>'
        f'<text{style} x="80" y="{top + SIDE + 22 + 22 * i}">{escape(text)}</text>'
        for i, (label, text, style) in enumerate(lines)
    ]
    return "\n".join([*pictures, *texts])


def data_uri(frame: np.ndarray) -> str:
    """Return a frame (H, W, 3), 8 bits, as a JPEG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


if __name__ == "__main__":
    main()
