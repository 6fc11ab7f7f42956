"""Headless Chromium, driven by its DevTools protocol over two pipes: no driver has to be installed."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_SECONDS = 60


class Browser:
    """One page of a browser."""

    def __init__(self, program: str, profile: Path) -> None:
        """Start the browser with an empty page."""
        (commands, self._write), (self._read, events) = os.pipe(), os.pipe()

        def as_3_and_4() -> None:
            # Higher numbers first: one of the ends may be 3 or 4 itself.
            high = [os.dup(end) + 0 for end in (commands, events)]
            for end, number in zip(high, (3, 4), strict=True):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            close_fds=False, preexec_fn=as_3_and_4, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(events)
        self._rest, self._number, self._session = b"", 0, ""
        self.requested: list[str] = []
        """Addresses of all requests."""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "DOM"):
            self(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return the result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def evaluate(self, code: str) -> Any:
        """Return the value of a JavaScript expression."""
        return self("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def wait_for(self, code: str) -> Any:
        """Return the value of a JavaScript expression as soon as it is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (value := self.evaluate(code)):
            assert time.monotonic() < end, f"{code}: {self.evaluate('document.body.innerText')}"
            time.sleep(0.1)
        return value

    def wait_for_element(self, selector: str) -> None:
        """Wait until an element of the page fits a selector."""
        self.wait_for(f"document.querySelector({json.dumps(selector)}) !== null")

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file for an input of a form, as a person does."""
        self.wait_for_element(selector)
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._read, 1 << 16)
            assert block, "the browser has ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
