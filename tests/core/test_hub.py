"""A model that is not on this disk is asked for once; what looks like a path is never asked for."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core import hub
from fla_llm.core.errors import ModelError

Answer = Callable[[socket.socket], None]


def unavailable(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


class Endpoint:
    """A hub that counts connections and answers each in the same way."""

    def __init__(self) -> None:
        self.connections = 0
        self.answer: Answer | None = unavailable
        self.held: list[socket.socket] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:  # closed
                return
            self.connections += 1
            if self.answer is None:
                self.held.append(connection)
                continue
            with connection:
                self.answer(connection)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    """A hub in this process; nothing is on the disk."""
    made = Endpoint()
    template = f"{made.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)  # as cli.main does
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield made
    made.server.close()


def load(source: str, *, local_files_only: bool = False, **_: Any) -> str:
    if local_files_only:
        raise OSError("not here")
    return source


@pytest.mark.parametrize("answer", [unavailable, hang_up])
def test_a_hub_that_fails_is_asked_once(endpoint: Endpoint, answer: Answer) -> None:
    endpoint.answer = answer
    for _ in range(2):  # nor a second time for another file of the same model
        with pytest.raises(ModelError, match="--llm some/llm is not on this disk and cannot be fetched: "):
            hub.load_pretrained(load, "some/llm")
    assert endpoint.connections == 1


def test_a_hub_that_is_silent_is_given_up(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.PATIENCE_SECONDS <= 10
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.1)
    endpoint.answer = None
    with pytest.raises(ModelError, match=r"cannot be fetched: no answer within 0.1 seconds"):
        hub.load_pretrained(load, "some/llm")
    assert endpoint.connections <= 1


@pytest.mark.parametrize(
    "name",
    [
        "nope.json",
        "llm/model.safetensors",
        "./llm",
        "~/llm",
        "/a/llm",
        "a/b/c",
        "a llm",
        "x--y",
        "Model.GGUF",
    ],
)
def test_a_path_is_never_asked_for(name: str, endpoint: Endpoint) -> None:
    with pytest.raises(ModelError, match="there is no such directory"):
        hub.find_source(name)
    assert endpoint.connections == 0


@pytest.mark.parametrize("name", ["gpt2", "Qwen/Qwen2.5-0.5B", "google/mt5-base", "meta-llama/Llama-3.2-1B"])
def test_ids_of_the_hub_are_no_paths(name: str) -> None:
    assert hub.find_source(name) == name


def test_code_of_a_model_is_refused_by_name() -> None:
    def wants_code(source: str, **settings: Any) -> None:
        raise ValueError(f"Please pass trust_remote_code=True to load {source}, not {settings}")

    with pytest.raises(ModelError, match="--llm some/llm needs Python code of its own, but .* never run"):
        hub.load_pretrained(wants_code, "some/llm")


def test_memory_that_runs_out_is_no_damage() -> None:
    def too_large(source: str, **_: Any) -> None:
        raise RuntimeError("CUDA out of memory.")

    with pytest.raises(RuntimeError, match="out of memory"):
        hub.load_pretrained(too_large, "some/llm")
