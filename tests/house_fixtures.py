"""One run of everything, through the real commands, on a demo corpus of a few clips: for several rooms."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla

TINY_CORPUS = (
    "demo={train_clips: 12, single_sign_clips: 4, dev_clips: 2, test_clips: 4, image_size: 32}",
)  # fmt: skip
TINY_ENCODER = (
    "encoder.backbone=test_resnet", "encoder.output_stride=16",
    "encoder.image_size=32", "encoder.resize_size=32", "encoder.pool=grid-2",
    "encoder.hidden_size=16", "encoder.sampling={stride: 4, max_frames: 40}",
)  # fmt: skip
TINY_TRANSLATOR = (
    "translator={encoder_layers: 1, decoder_layers: 1, heads: 2, hidden_size: 16}",
    "translator.ffn_size=32",
    "translator.positions=64",
)
TINY_TRAINING = (
    "training={epochs: 1, batch_clips: 4, learning_rate: 1e-3}",
    "training.weight_decay=0",
    "training.warmup_share=0",
    "decoding={num_beams: 2, max_new_tokens: 8}",
)

Fla = Callable[..., Result]


def settings(*groups: tuple[str, ...]) -> list[str]:
    """Return ``--set`` for every setting."""
    return [part for group in groups for setting in group for part in ("--set", setting)]


@pytest.fixture(scope="session")
def run_fla() -> Fla:
    """Call ``fla`` in this process; a failure shows its own exception."""

    def call(*arguments: str | Path, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(fla, [str(argument) for argument in arguments])
        if result.exit_code != exit_code and result.exception is not None:
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    return call


@pytest.fixture(scope="session")
def parse_fla() -> Callable[[str], None]:
    """Parse a line that begins with ``fla`` as the command line does, without running the command."""

    def parse(line: str) -> None:
        name, *words = shlex.split(line)
        assert name == "fla"
        command: click.Command = fla
        # The settings of the group reach the commands through the context.
        context = click.Context(fla, info_name="fla", **fla.context_settings)
        while isinstance(command, click.Group):
            child = command.get_command(context, name := words.pop(0))
            assert child is not None, name
            command = child
        command.make_context(name, words, parent=context)

    return parse


@pytest.fixture(scope="session")
def house(run_fla: Fla, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with manifest, stage one, cache, small LLM and stage two, each made by its command."""
    from fla_llm.demo.config import SmallLlmConfig
    from fla_llm.demo.small_llm import make_small_llm

    folder = tmp_path_factory.mktemp("house")
    manifest, stage_one, cache = folder / "manifest.jsonl", folder / "stage1", folder / "cache"
    run_fla("prepare", "demo", folder / "corpus", "--out", manifest, *settings(TINY_CORPUS))
    run_fla(
        "pretrain", "--manifest", manifest, "--out", stage_one,
        *settings(TINY_ENCODER, TINY_TRANSLATOR, TINY_TRAINING, ("training.batch_steps=80",)),
    )  # fmt: skip
    run_fla("extract", "--ckpt", stage_one, "--manifest", manifest, "--out", cache, "--set", "workers=0")
    sentences = [json.loads(line)["text"] for line in manifest.read_text().splitlines()[1:]]
    make_small_llm(sentences, folder / "llm", config=SmallLlmConfig(hidden_size=64, layers=1, steps=2))
    run_fla(
        "tune", "--features", cache, "--llm", folder / "llm", "--out", folder / "stage2",
        "--set", "projector.hidden_size=16", "--set", "lora.rank=2",
        *settings(TINY_TRAINING, ("training.batch_tokens=160",)),
    )  # fmt: skip
    return folder
