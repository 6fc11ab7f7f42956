"""Model folders on the Hugging Face hub: push one, or fetch one by its name.

A model folder is data: only files of an allow-list go to the hub, and no others are fetched from it.
"""

import fnmatch
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ModelError
from ..core.hub import check_reachable, first_line, looks_like_path, refuse_offline
from ..finetune.run_files import RUN, check_parts

logger = logging.getLogger(__name__)

ALLOWED = ("*.safetensors", "*.json", "*.yaml", "*.md", "*.model", "*.txt")
"""Files of a model folder: weights, settings, the card, and tokenizers. Sentences of the corpus, which
predictions hold (``.jsonl``), are not among these: the terms of most corpora forbid passing them on."""
NAMED = "--model {}"
_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*(@[\w.\-]+)?")


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """Result of ``fla push``."""

    address: str
    """Address of the model on the hub."""
    files: list[str]
    """Paths inside the folder that were sent."""
    left_out: list[str]
    """Paths inside the folder that are not on the allow-list, and were not sent."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """Return the result as text for people."""
        lines = [f"{self.address}: {len(self.files)} files"]
        if self.left_out:
            lines.append(f"not sent: {', '.join(self.left_out)}")
        return "\n".join(lines)


def push(folder: Path, repo: str, *, private: bool = True, message: str | None = None) -> PushResult:
    """Send a model folder to the hub, and make the repository if there is none.

    Args:
        folder: a folder of ``fla export``.
        repo: ``user/name``.
        private: whether a new repository is private. An existing repository stays as it is.
        message: message of the commit.

    Raises:
        RunError: the folder is no model folder.
        ModelError: ``repo`` is no id, the folder holds a link, or the hub refuses or does not answer.
    """
    from huggingface_hub import HfApi

    check_parts(folder)
    if not _ID.fullmatch(repo) or "@" in repo:
        raise ModelError(f"A model on the hub must be named user/name, but is {repo!r}.")
    files, left_out = _files(folder)
    try:
        api = HfApi()
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=files,
            commit_message=message or f"Model folder {folder.resolve().name}, by fla",
        )  # fmt: skip
    except Exception as error:  # any fault of the network, the login or the hub
        raise ModelError(
            f"{folder} cannot be sent to {repo}: {first_line(error) or type(error).__name__}\n"
            "Log in by: hf auth login, with a token that may write."
        ) from error
    return PushResult(address=str(address), files=files, left_out=left_out)


def find_model(name: str) -> Path:
    """Return the folder of a model: a local folder, or the files of a model on the hub, fetched once.

    Args:
        name: path of a folder, or ``user/name``, where ``user/name@revision`` names a branch, tag or commit.

    Raises:
        ModelError: there is no such folder, and ``name`` is no id. Or the model is neither on this disk nor
            on a hub that answers.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    repo, _, revision = name.partition("@")
    if not _ID.fullmatch(name) or looks_like_path(repo):
        raise ModelError(
            f"{NAMED.format(name)} must be a folder of fla export, or user/name of a model on the hub, but "
            "there is no such folder."
        )
    return _fetched(repo, revision or None)


def _fetched(repo: str, revision: str | None) -> Path:
    """Return the folder of a model on the hub. Without the network a copy on this disk serves."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    given: dict[str, Any] = {"revision": revision, "allow_patterns": list(ALLOWED)}
    named = NAMED.format(repo)
    try:
        refuse_offline(repo, named=named)
        check_reachable(repo, named=named, file=RUN)
        # Asked each time: that completes an interrupted fetch, and takes a newer commit.
        return Path(snapshot_download(repo, **given))
    except Exception as error:  # any fault of the network or the hub
        try:
            copy = Path(snapshot_download(repo, local_files_only=True, **given))
        except LocalEntryNotFoundError:
            if isinstance(error, ModelError):
                raise error from None
            reason = first_line(error) or type(error).__name__
            raise ModelError(f"{named} cannot be fetched: {reason}") from error
        logger.info(f"{repo}: the hub does not answer, so the copy on this disk is used")
        return copy


def _files(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths of the files to send, and of the others."""
    found, left_out = list[str](), list[str]()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        # A link may lead to a file that nobody meant to publish.
        if path.is_symlink():
            raise ModelError(f"{path} must be a file of the model, but is a link.\nExport the run again.")
        if path.is_file():
            is_hidden = any(part.startswith(".") for part in Path(name).parts)
            allowed = any(fnmatch.fnmatch(path.name, pattern) for pattern in ALLOWED)
            (left_out if is_hidden or not allowed else found).append(name)
    return found, left_out
