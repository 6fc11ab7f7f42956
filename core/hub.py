"""Loading of pretrained models by name: from the local disk first, then once from the Hugging Face hub.

A name that looks like a path is never sent to the hub. Python code in a model's folder is never run.
"""

import logging
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from .errors import ModelError

logger = logging.getLogger(__name__)

T = TypeVar("T")
PATIENCE_SECONDS = 10
"""Timeout for the first answer of the hub, including name resolution and connection."""
_FILE_SUFFIXES = (".json", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".yaml", ".yml", ".h5")


def find_source(name: str, *, named: str = "--llm {}") -> str:
    """Return the absolute path of a model's directory, or ``name`` for an id on the hub.

    Args:
        name: a path or an id, from the user.
        named: names the model in errors; ``{}`` stands for ``name``.

    Raises:
        ModelError: ``name`` is a path and no model's directory.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{named.format(name)} must be a model's directory, but holds no config.json.")
        return str(path.resolve())
    if path.is_file():
        raise ModelError(f"{named.format(name)} must be a model's directory or an id, but is a file.")
    if looks_like_path(name):
        raise ModelError(f"{named.format(name)}: there is no such directory.")
    return name


def looks_like_path(name: str) -> bool:
    """Return whether ``name`` is not valid as an id on the hub, or names a local file or folder."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    path = Path(name).expanduser()
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name.lower().endswith(_FILE_SUFFIXES):
        return True
    # "runs/llm" would be a valid id too: where there is a folder runs, it is a path that does not exist.
    if path.exists() or (path.parent != Path() and path.parent.is_dir()):
        return True
    try:
        validate_repo_id(name)
    except HFValidationError:
        return True
    return False


def load_pretrained(
    load: Callable[..., T], source: str, *, named: str = "--llm {}", may_fetch: bool = True, **settings: Any
) -> T:
    """Load a model or a tokenizer, from the local disk first.

    Args:
        load: a ``from_pretrained`` function.
        source: a path or an id, from :func:`find_source`.
        named: names the model in errors; ``{}`` stands for ``source``.
        may_fetch: whether files may be fetched from the hub.
        settings: arguments of ``load``.

    Raises:
        ModelError: the model is damaged, needs code of its own, or is neither on this disk nor on a hub that
            answers.
    """
    try:
        # Without the network first: a complete copy must load on a machine that is offline.
        return load(source, local_files_only=True, trust_remote_code=False, **settings)
    except Exception as error:  # tokenizers and pickle raise what they like
        # A model on the hub whose files are not all here raises one of these two.
        if Path(source).exists() or not isinstance(error, (OSError, ValueError)) or _needs_code(error):
            raise _unusable(source, error, named=named) from error
        refuse_offline(source, named=named, may_fetch=may_fetch)
    logger.info(f"{source} is not on this disk: fetching what is missing")
    check_reachable(source, named=named)
    try:
        return load(source, trust_remote_code=False, **settings)
    except Exception as error:
        raise _unusable(source, error, named=named) from error


def refuse_offline(name: str, *, named: str, may_fetch: bool = True, remedy: str = "") -> None:
    """Refuse a model outside the local disk if fetching is forbidden.

    Raises:
        ModelError: ``HF_HUB_OFFLINE`` is set, or ``may_fetch`` is false.
    """
    from huggingface_hub import constants

    if may_fetch and not constants.HF_HUB_OFFLINE:
        return
    what = "HF_HUB_OFFLINE forbids" if constants.HF_HUB_OFFLINE else "the settings forbid"
    way = "Unset HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else "Allow fetching"
    raise ModelError(
        f"{named.format(name)} is not on this disk, and {what} fetching it.\n"
        + (remedy or f"{way}, or give a directory that holds the model.")
    )


def check_reachable(
    repo: str, *, named: str = "--llm {}", remedy: str = "", file: str = "config.json"
) -> None:
    """Ask the hub once for a model, before a library sends many requests.

    huggingface_hub repeats failed requests for each file, for up to 75 seconds.

    Args:
        repo: the id.
        named: names the model in the error; ``{}`` stands for ``repo``.
        remedy: advice if the hub does not answer. Empty: advice to give a directory.
        file: a file that the model has.

    Raises:
        ModelError: the hub has no such model, or does not answer within ten seconds.
    """
    from huggingface_hub import hf_hub_url

    reason = _hub_fault(hf_hub_url(repo, file))
    if reason is not None:
        raise ModelError(
            f"{named.format(repo)} is not on this disk and cannot be fetched: {reason}\n"
            + (remedy or "Check the id and the connection, or give a directory that holds the model.")
        )


@cache
def _hub_fault(url: str) -> str | None:
    """Return why a file cannot be fetched, or None. A process asks for each file once."""
    from huggingface_hub import get_hf_file_metadata

    faults: list[str | None] = [f"no answer within {PATIENCE_SECONDS} seconds."]

    def ask() -> None:
        try:
            get_hf_file_metadata(url, timeout=2 * PATIENCE_SECONDS)
            faults.append(None)
        except Exception as error:  # any fault of the network, proxy or hub is the answer
            faults.append(first_line(error) or type(error).__name__)

    # The timeout of a request covers neither name resolution nor a second address: the thread is the bound.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    return faults[-1]


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, and the list after a line with a colon at the end."""
    first, _, rest = str(error).strip().partition("\n")
    return " ".join([first, *rest.split()]) if first.rstrip().endswith(":") else first


def _unusable(source: str, error: Exception, *, named: str) -> Exception:
    """Return the error to raise in place of a library's error."""
    if isinstance(error, (ModelError, MemoryError)) or "out of memory" in str(error):
        return error
    if _needs_code(error):
        return ModelError(
            f"{named.format(source)} needs Python code of its own, but code that comes with a model is never "
            "run here.\nGive a model whose architecture is part of transformers."
        )
    return ModelError(f"{named.format(source)} cannot be loaded: {type(error).__name__}: {first_line(error)}")


def _needs_code(error: Exception) -> bool:
    return "trust_remote_code" in str(error)
