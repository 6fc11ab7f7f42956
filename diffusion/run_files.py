"""File names of a diffusion run, and the check for missing files, without torch.

::

    run.json                  language model and revision, streams, reconstruction of the autoencoder
    config.yaml               every setting
    autoencoder.safetensors   resampler and expander
    denoiser.safetensors      denoiser and fusion
    autoencoder/              log, checkpoints and reconstructions of the autoencoder's training
"""

from pathlib import Path
from typing import Any

from ..core.config import load_config
from ..core.errors import RunError
from ..core.files import read_json
from ..core.weights import check_file
from ..finetune.run_files import CONFIG, DIFFUSION, RUN, RUN_FORMAT
from .config import DiffusionConfig

AUTOENCODER, DENOISER = "autoencoder.safetensors", "denoiser.safetensors"
PARTS = (RUN, CONFIG, AUTOENCODER, DENOISER)


def is_diffusion_run(run: Path) -> bool:
    """Return whether ``run.json`` of a directory names diffusion as the decoder.

    Raises:
        DataError: ``run.json`` is no JSON.
    """
    described: Any = read_json(run / RUN) if (run / RUN).is_file() else None
    return isinstance(described, dict) and described.get("decoder") == DIFFUSION


def check_diffusion_parts(run: Path) -> dict[str, Any]:
    """Check the files of a finished diffusion run, and return the content of ``run.json``.

    Raises:
        RunError: a part is missing, or ``run.json`` lacks an entry.
        ModelError: a file of weights is cut, empty, or a Git LFS pointer.
    """
    missing = [part for part in PARTS if not (run / part).is_file()]
    described: Any = read_json(run / RUN) if RUN not in missing else {}
    if missing:
        raise RunError(
            f"{run} must hold a diffusion run, but lacks {', '.join(missing)}.\n"
            "Run: fla tune --decoder diffusion, with --resume if it was interrupted."
        )
    needed = {"llm": str, "llm_revision": str, "streams": list, "decoder_prefix_ids": dict}
    lacking = [name for name, kind in needed.items() if not isinstance(described.get(name), kind)]
    # Earlier runs have no words. The weights are loaded into tables as long as this list.
    words = described.get("pseudo_glosses", [])
    if not isinstance(words, list) or not all(type(word) is int and 0 <= word < 2**31 for word in words):
        lacking.append("pseudo_glosses")
    if lacking or described.get("format") != RUN_FORMAT:
        raise RunError(
            f"{run / RUN} must say {', '.join(lacking) or f'format {RUN_FORMAT}'}, but does not.\n"
            "Put the run's own back."
        )
    # A cut file is found here, before the language model is loaded for minutes.
    for part in (AUTOENCODER, DENOISER):
        check_file(run / part)
    return described


def read_diffusion_settings(run: Path) -> DiffusionConfig:
    """Return the settings of a run.

    Raises:
        ConfigError: ``config.yaml`` holds other settings than a diffusion run has.
    """
    return load_config(DiffusionConfig, source=str(run / CONFIG))
