"""A model that is not on this disk is asked for once; what looks like a path is never asked for."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

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
        self.is_closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            connection, _ = self.server.accept()
            if self.is_closing:
                connection.close()
                return
            self.connections += 1
            if self.answer is None:
                self.held.append(connection)
                continue
            with connection:
                self.answer(connection)

    def close(self) -> None:
        """End the thread. Closing the socket alone would leave ``accept`` waiting for ever."""
        self.is_closing = True
        socket.create_connection(self.server.getsockname()).close()
        self.thread.join(timeout=10)
        for connection in (*self.held, self.server):
            connection.close()


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
    made.close()
    assert not made.thread.is_alive()


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
        "./no-llm",
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


def load_model(name: str) -> None:
    from fla_llm.llm.load import load_llm

    load_llm(name, quantise="none", device=torch.device("cpu"), dtype=torch.float32)


def plan(name: str) -> None:
    from fla_llm.planning.model_shapes import read_config

    read_config(name)


def encode_clips(name: str) -> None:
    from fla_llm.encoder.hf_video import hf_video_encoder

    hf_video_encoder(name)


def encode_frames(name: str) -> None:
    from fla_llm.encoder.timm_source import timm_encoder

    timm_encoder(name)


def begin_stage_one(name: str) -> None:
    from fla_llm.encoder.config import EncoderConfig
    from fla_llm.encoder.model import VisualEncoder

    VisualEncoder(EncoderConfig(backbone=name, pretrained=True))


def learn_words(name: str) -> None:
    from fla_llm.pretrain.config import TokenizerConfig
    from fla_llm.pretrain.tokenizer import make_tokenizer

    make_tokenizer(["a"], TokenizerConfig(llm=name))


USERS: dict[str, tuple[Callable[[str], None], str, str]] = {
    "fla tune": (load_model, "some/llm", "Check the id and the connection, or give a directory"),
    "fla plan": (plan, "some/llm", "Check the id and the connection, or give a directory"),
    "hf-video": (encode_clips, "some/clips", "Check the id and the connection, or give a directory"),
    "timm": (encode_frames, "test_resnet", "by --set timm.weights=PATH, or set timm.pretrained=false"),
    "fla pretrain": (begin_stage_one, "test_resnet", "or set encoder.pretrained=false"),
    "tokenizer.llm": (learn_words, "some/llm", "Check the id and the connection, or give a directory"),
}


@pytest.mark.parametrize("user", USERS)
def test_every_user_of_the_hub_asks_once_and_says_what_to_do(user: str, endpoint: Endpoint) -> None:
    load, name, remedy = USERS[user]
    with pytest.raises(ModelError, match=f"{name}.* is not on this disk and cannot be .*\n.*{remedy}"):
        load(name)
    assert endpoint.connections == 1


@pytest.mark.parametrize("name", ["nope.json", "./no-llm", "a/b/c"])
@pytest.mark.parametrize("user", USERS)
def test_no_user_of_the_hub_asks_for_a_path(user: str, name: str, endpoint: Endpoint) -> None:
    with pytest.raises(ModelError, match=name):
        USERS[user][0](name)
    assert endpoint.connections == 0
