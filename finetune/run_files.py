"""File names of a stage-two run, and the check for missing files, without torch.

::

    run.json                base model and revision, quantisation, prompt, encoder
    config.yaml             every setting
    lora/                   adapters in the format of peft, if adapters are trained
    llm/                    whole language model with tokenizer, if fully trained or merged
    projector.safetensors   projector, or all projectors for several streams
    kept_ids.json           token ids of a trimmed vocabulary
    mapper-2/               mapper of a stream that fla map made, here the second

A missing file is refused by name.
"""

from pathlib import Path
from typing import Any

from ..core.config import load_config
from ..core.errors import CacheError, ConfigError, ModelError, RunError
from ..core.files import read_json
from ..core.hub import looks_like_path
from ..core.weights import check_file
from ..llm.config import KEPT_IDS, LORA_PARTS
from .config import Train, TuneConfig

RUN_FORMAT = 1
DIFFUSION = "diffusion"
"""Entry ``decoder`` in ``run.json`` of a run of :mod:`fla_llm.diffusion`. Other runs have no such entry."""
CONFIG, RUN, PROJECTOR, LORA, LLM = "config.yaml", "run.json", "projector.safetensors", "lora", "llm"
SHARED_PARTS = (RUN, CONFIG, PROJECTOR)
PARTS = (*SHARED_PARTS, *(f"{LORA}/{part}" for part in LORA_PARTS))
"""Files of a run with adapters."""
_NEEDED: dict[str, type] = {
    "llm": str, "llm_revision": str, "feature_fingerprint": str, "feature_size": int, "languages": list,
}  # fmt: skip
"""Entries of ``run.json`` without which a run cannot be loaded."""


def parts_of(train: Train) -> tuple[str, ...]:
    """Return the necessary files of a run."""
    if train == "full":
        return (*SHARED_PARTS, f"{LLM}/config.json")
    return SHARED_PARTS if train == "projector" else PARTS


def check_parts(run: Path) -> dict[str, Any]:
    """Check the files of a finished stage-two run, and return the content of ``run.json``.

    Raises:
        RunError: a part is missing, or the directory is of another kind, such as a diffusion run.
        ModelError: a file of weights is cut, empty, or a Git LFS pointer.
        DataError: ``run.json`` is no JSON.
    """
    described = read_json(run / RUN) if (run / RUN).is_file() else {}
    if not isinstance(described, dict):
        raise RunError(f"{run / RUN} must describe a stage-two run, but holds {type(described).__name__}.")
    if described.get("decoder") == DIFFUSION:
        raise RunError(
            f"{run} draws its sentences by diffusion, which this command cannot do.\nRun: fla evaluate {run}"
        )
    parts = [
        *parts_of(described.get("train", "lora+projector")),
        *[KEPT_IDS] * bool(described.get("trimmed_to")),
    ]
    # All missing files are named at once, before a library stops at the first.
    missing = [part for part in parts if not (run / part).is_file()]
    if missing:
        raise RunError(
            f"{run} must hold a stage-two run, but lacks {', '.join(missing)}.\n"
            "Run: fla tune, with --resume if it was interrupted."
        )
    if described.get("stage") != 2 or described.get("format") != RUN_FORMAT:
        raise RunError(f"{run / RUN} must describe a stage-two run of format {RUN_FORMAT}, but does not.")
    lacking = [name for name, kind in _NEEDED.items() if not isinstance(described.get(name), kind)]
    if lacking:
        raise RunError(f"{run / RUN} must say {', '.join(lacking)}, but does not.\nPut the run's own back.")
    for part in parts:
        if part.endswith(".safetensors"):
            # A cut file is found here, before the language model is loaded for minutes.
            check_file(run / part)
    return described


def reads_key_points(described: dict[str, Any]) -> bool:
    """Return whether a stream of the run has normalised key points as features."""
    made_by = [made for stream in described.get("streams", ()) for made in stream["made_by"]]
    return any(made["level"] == "frame" and "poses" in made["preprocessing"] for made in made_by)


def check_fingerprint(found: str, *, tuned_on: str) -> None:
    """Refuse features of another encoder than the run was tuned on.

    Raises:
        CacheError: the fingerprints differ. The error names both.
    """
    if found != tuned_on:
        raise CacheError(
            f"The features must come from encoder {tuned_on}, on which the run was tuned, but come from "
            f"{found}.\nGive the cache or the --ckpt that belongs to the run."
        )


def read_settings(run: Path) -> TuneConfig:
    """Return the settings of a run.

    Raises:
        ConfigError: ``config.yaml`` holds other settings than stage two has.
    """
    return load_config(TuneConfig, source=str(run / CONFIG))


def base_of(run: Path, described: dict[str, Any], *, llm: str | None) -> str:
    """Return id or directory of the language model of a run.

    Args:
        run: the run directory, the base of a relative path in ``run.json``.
        described: content of ``run.json``.
        llm: the language model by the user, for a moved model. None takes the model in ``run.json``.

    Raises:
        ConfigError: ``llm`` is given, but the run holds a whole language model.
        ModelError: the directory in ``run.json`` does not exist.
    """
    if described.get("train") == "full":
        if llm is not None:
            raise ConfigError(
                f"--llm must be left out for {run}, which holds its whole language model, but is {llm}."
            )
        return str(run / LLM)
    if llm is not None:
        return llm
    return recorded_base(run, described["llm"])


def recorded_base(run: Path, llm: str) -> str:
    """Return the recorded model of a run: an id, or an existing folder.

    Raises:
        ModelError: the recorded folder does not exist.
    """
    if (run / llm).is_dir():  # of an absolute path that is the path itself
        return str(run / llm)
    # An id of the hub is no path, and the loader fetches the model.
    if looks_like_path(llm):
        raise ModelError(
            f"{run} was tuned on the language model {llm}, but there is no such directory.\n"
            "Say by --llm where the model lies now."
        )
    return llm


def relative_to(run: Path, source: str) -> str:
    """Return the name of a model for ``run.json``: a relative path if the model lies inside the run.

    A run with its model inside can then be moved as a whole.
    """
    path = Path(source)
    if path.is_absolute() and path.is_relative_to(run.resolve()):
        return path.relative_to(run.resolve()).as_posix()
    return source


def initial_llm(init: Path | None, llm: str | None) -> str:
    """Return the language model of a run that begins from ``init``.

    Args:
        init: an earlier run. None: new projectors.
        llm: the language model by the user. None takes the whole language model of ``init``.

    Raises:
        ConfigError: neither is given, or ``init`` holds its whole language model and another is given.
        RunError: ``init`` is no finished run, or has adapters or a trimmed vocabulary.
        ModelError: a file of ``init`` is damaged.
    """
    if init is None:
        if llm is None:
            raise ConfigError("--llm must be given, unless --init names a run that holds its language model.")
        return llm
    described = check_parts(init)
    if described["train"].startswith("lora"):
        raise RunError(
            f"{init} must hold a whole language model, or projectors alone, to begin a run, but holds "
            f"adapters.\nRun: fla export {init} --merge"
        )
    if described.get("trimmed_to"):
        raise RunError(
            f"{init} must have the whole vocabulary to begin a run, but keeps {described['trimmed_to']} "
            "tokens.\nTune the earlier run without --trim-vocab."
        )
    return base_of(init, described, llm=llm)
