"""The page of ``fla app`` says what ``fla translate`` says, keeps nothing, and shows no foreign markup."""

import gc
import importlib.util
import json
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import pytest
from click.testing import Result
from headless_browser import Browser

from fla_llm.app.live import FRAMES, Limits, LiveTranslator, find_models
from fla_llm.app.web import serve
from fla_llm.core.errors import ConfigError, DataError, RunError
from fla_llm.pipeline.translator import Translator

Fla = Callable[..., Result]
HOSTILE = "<script>alert(1)</script>"
LEAKS = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""Of tests in whose process gradio leaves sockets and loops open."""
ANSWER = "document.querySelector('#fla-answer .{}')?.innerText"


@pytest.fixture(scope="module")
def model(run_fla: Fla, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of model folders."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("a", "b"):
        run_fla("export", house / "stage2", "--out", folder / name, "--ckpt", house / "stage1", "--with-llm")
    return folder


@pytest.fixture(scope="module")
def live(model: Path) -> LiveTranslator:
    return LiveTranslator(models=find_models([str(model)]), settings={"device": "cpu"}, candidates=2)


@pytest.fixture
def clip(house: Path) -> Path:
    return min((house / "corpus" / "videos" / "test").iterdir())


@pytest.fixture(scope="module")
def served(live: LiveTranslator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page."""
    if importlib.util.find_spec("gradio") is None and os.environ.get("FAIL_WITHOUT_GRADIO") != "1":
        pytest.skip("gradio is not installed")
    report = tmp_path_factory.mktemp("report") / "report.html"
    report.write_text(f"<p class='x'>a report</p>{HOSTILE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gradio's own imports
        with serve(live, report=report) as address:
            uploads = Path(os.environ["GRADIO_TEMP_DIR"])
            yield address
        gc.collect()  # of sockets and loops that gradio leaves open
    # Nothing that was uploaded outlives the page.
    assert not uploads.exists()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None and os.environ.get("FAIL_WITHOUT_CHROMIUM") != "1":
        pytest.skip("chromium is not installed")
    assert program is not None, "chromium must be installed where FAIL_WITHOUT_CHROMIUM=1"
    with Browser(program, tmp_path / "profile") as started:
        yield started


def upload(browser: Browser, path: Path) -> None:
    """Choose a video on the page, and wait until it has arrived."""
    browser.choose_file("#fla-video input[type=file]", path)
    browser.wait_for_element("#fla-video video")


@LEAKS
def test_the_page_says_what_the_command_says(
    served: str, browser: Browser, run_fla: Fla, model: Path, clip: Path
) -> None:
    expected = run_fla("translate", clip, "--model", model / "a", "--device", "cpu").stdout.strip()
    assert served.startswith("http://127.0.0.1:")
    browser("Page.navigate", url=served)
    upload(browser, clip)
    browser.evaluate("document.querySelector('#fla-translate').click()")
    assert browser.wait_for(ANSWER.format("fla-translation")) == expected
    counts = {
        name: browser.evaluate(f"document.querySelectorAll('#fla-answer {selector}').length")
        for name, selector in {
            "frames": ".fla-frames img", "words": ".fla-weights", "candidates": ".fla-candidates tbody tr"
        }.items()
    }  # fmt: skip
    # The clip is short: all of its frames are shown.
    steps = len(Translator.from_pretrained(model / "a", device="cpu").frames(clip))
    assert counts == {"frames": min(FRAMES, steps), "words": len(expected.split()), "candidates": 2}
    assert list(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*.mp4")) == []
    # The report stands in a frame of its own, where no script runs.
    # gradio keeps a second, hidden row of tabs to measure them.
    tabs = "[...document.querySelectorAll('button[role=tab]')].filter(b => b.innerText.trim() == 'Report')"
    browser.evaluate(f"{tabs}.forEach(tab => tab.click())")
    frame = browser.wait_for("document.querySelector('iframe.fla-report')?.srcdoc")
    assert "a report" in frame
    assert browser.evaluate("document.querySelector('iframe.fla-report').getAttribute('sandbox')") == ""
    elsewhere = [url for url in browser.requested if not url.startswith((served, "data:", "blob:", "about:"))]
    assert elsewhere == []


@LEAKS
def test_a_bad_file_gets_a_sentence(served: str, browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    bad.write_bytes(b"no video")
    browser("Page.navigate", url=served)
    upload(browser, bad)
    browser.evaluate("document.querySelector('#fla-translate').click()")
    said = browser.wait_for(ANSWER.format("fla-fault"))
    assert said.startswith("The video cannot be read as a video")
    assert browser.evaluate("document.querySelectorAll('#fla-answer img').length") == 0
    # A request may name any path: no file outside the folder of uploads is read.
    for path in ("/etc/hostname", quote(str(bad)), "../../etc/hostname"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{served}gradio_api/file={path}")


@LEAKS
def test_a_request_names_no_other_file(served: str, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"no video")
    events = f"{served}gradio_api/queue"
    for number, path in enumerate((str(other), "http://127.0.0.1:9/x.mp4")):
        video = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = {"data": [video, "a"], "fn_index": 0, "session_hash": f"s{number}"}
        request = urllib.request.Request(
            f"{events}/join", data=json.dumps(asked).encode(), headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).close()
        with urllib.request.urlopen(f"{events}/data?session_hash=s{number}") as answer:
            last = json.loads(answer.read().decode().strip().splitlines()[-1].removeprefix("data: "))
            said = json.dumps(last)
        assert "cannot be read as a video" not in said
        assert "fla-answer" not in said
    assert other.read_bytes() == b"no video"


@LEAKS
def test_the_command_serves_until_it_is_ended(
    run_fla: Fla, served: str, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    monkeypatch.setattr(signal, "pause", lambda: pages.append("is served"))
    # A run of stage two does not hold its encoder.
    run = (house / "stage2", "--ckpt", house / "stage1")
    done = run_fla("app", *run, "--device", "cpu", "--host", "localhost", "--max-seconds", 9)
    assert pages == ["is served"]
    address = done.stdout.strip()
    assert address.startswith("http://localhost:")
    assert address != served
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)
    gc.collect()  # of sockets and loops that gradio leaves open


def test_without_gradio_the_command_says_what_to_install(
    run_fla: Fla, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ConfigError, match=r"pip install 'fla-llm\[app\]'"):
        run_fla("app", model)


def test_everything_that_is_shown_is_escaped(
    live: LiveTranslator, clip: Path, monkeypatch: pytest.MonkeyPatch, read_page: Callable[[str], Any]
) -> None:
    translator = live.load("a")
    row = {"text": f'{HOSTILE}"><img src=x onerror=alert(2)>\x1b[2J', "score": -1.0}
    monkeypatch.setattr(translator, "candidates", lambda *_, **__: [row, row])
    for html in (live.page(clip, model="a"), live.page(clip, model=HOSTILE)):
        page = read_page(html)
        assert "script" not in page.tags
        assert page.handlers == []
        assert HOSTILE in page.text
        assert "\x1b" not in html
        assert [link for link in page.links if not link.startswith("data:image/")] == []


def test_the_answer_has_all_that_the_page_shows(live: LiveTranslator, clip: Path) -> None:
    answer = live.translate(clip, model="b")
    assert answer.text == live.load("b")(clip)
    assert [row["score"] for row in answer.candidates] == sorted(
        (row["score"] for row in answer.candidates), reverse=True
    )
    assert answer.attention is not None
    assert len(answer.attention.rows) == len(answer.text.split())
    assert answer.steps == answer.attention.steps
    assert set(answer.latency_seconds) == {"reading", "encoder", "language model"}


def test_a_video_is_bounded(
    live: LiveTranslator, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / "long.mp4"
    with av.open(str(long), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 32
        for _ in range(90):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="at most 60 s, but takes 90.0 s"):
        live.translate(long, model="a")
    translator = live.load("a")
    with monkeypatch.context() as patched:
        # Key points of a video come from a detector, which takes longer still.
        patched.setattr(type(translator.encoder.config), "medium", "poses")
        with pytest.raises(DataError, match="at most 60 s, but takes 90.0 s"):
            live.translate(long, model="a")
    small = LiveTranslator(models=live.models, settings=live.settings, limits=Limits(megabytes=0))
    with pytest.raises(DataError, match="at most 0 MB"):
        small.translate(clip, model="a")
    assert "Drop a video" in live.page(None, model="a")
    assert str(tmp_path) not in live.page(tmp_path / "long.mp4", model="a")


def test_models_are_known_by_name(model: Path, tmp_path: Path) -> None:
    assert find_models([str(model)]) == {"a": model / "a", "b": model / "b"}
    assert list(find_models([str(model / "a"), str(model)])) == ["a (1)", "a (2)", "b"]
    with pytest.raises(RunError, match="must hold a stage-two run"):
        find_models([str(tmp_path)])
