"""Save and load a diffusion run. :mod:`.run_files` names the files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..core.config import write_config
from ..core.device import resolve_device, resolve_dtype
from ..core.files import atomic_write, write_json
from ..core.sample import DEFAULT_TASK
from ..core.weights import load_into
from ..finetune.run_files import CONFIG, DIFFUSION, RUN, RUN_FORMAT, base_of, relative_to
from ..finetune.store import evaluation_bounds
from ..finetune.streams import StreamRecord
from ..llm.load import load_llm
from .autoencoder import TextAutoencoder
from .config import DiffusionConfig
from .model import DiffusionModel
from .pseudo_glosses import content_words
from .run_files import AUTOENCODER, DENOISER, check_diffusion_parts, read_diffusion_settings


def describe_diffusion_run(
    model: DiffusionModel, *, languages: list[str], reconstruction: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Args:
        model: the trained model.
        languages: language codes of the training clips.
        reconstruction: split, number of sentences and scores of the autoencoder.
    """
    base, config = model.language_model, model.config
    return {
        "format": RUN_FORMAT,
        "stage": 2,
        "decoder": DIFFUSION,
        "llm": base.source,
        "llm_revision": base.revision,
        "llm_type": base.model.config.model_type,
        "quantise": config.quantise,
        "languages": languages,
        "tasks": [DEFAULT_TASK],
        "decoder_prefix_ids": {name: model.codec.decoder_prefix_ids(name) for name in languages},
        "feature_fingerprint": model.streams[0].fingerprint,
        "feature_size": model.streams[0].feature_size,
        "streams": [stream.to_dict() for stream in model.streams],
        "pseudo_glosses": model.words,
        "reconstruction": reconstruction,
        "decoding": vars(config.decoding),
        "evaluation_batches": evaluation_bounds(config),
    }


def save_autoencoder(model: TextAutoencoder, run: Path) -> None:
    """Write resampler and expander into a run."""
    _save(model.checkpoint_state(), run / AUTOENCODER)


def save_diffusion(model: DiffusionModel, run: Path, *, description: dict[str, Any]) -> None:
    """Write all parts of a run into ``run``, with ``run.json`` as the last file."""
    (run / RUN).unlink(missing_ok=True)  # of a finished run that went on
    write_config(model.config, run / CONFIG)
    save_autoencoder(model.autoencoder, run)
    _save(model.checkpoint_state(), run / DENOISER)
    # Last, so that a run with run.json is whole.
    write_json(run / RUN, description | {"llm": relative_to(run, description["llm"])})


def load_autoencoder(model: TextAutoencoder, run: Path) -> None:
    """Load resampler and expander of a run.

    Raises:
        ModelError: the file is damaged, or has tensors of other settings.
    """
    load_into(model.trained, run / AUTOENCODER, of=f"{run / CONFIG} and its language model")


def load_diffusion(
    run: Path, *, device: torch.device | str = "auto", llm: str | None = None
) -> DiffusionModel:
    """Load a run of ``fla tune --decoder diffusion``, in eval mode.

    Args:
        run: the run directory.
        device: device of the model.
        llm: present id or directory of a moved language model.

    Raises:
        RunError: a part is missing.
        ModelError: a file of weights is damaged, or the language model does not exist or has changed.
    """
    described, config = check_diffusion_parts(run), read_diffusion_settings(run)
    torch_device = resolve_device(device) if isinstance(device, str) else device
    source, revision = base_of(run, described, llm=llm), described["llm_revision"]
    model = build_diffusion(
        source, [StreamRecord.from_dict(stream) for stream in described["streams"]], config=config,
        device=torch_device, revision=revision, words=described.get("pseudo_glosses", ()),
    )  # fmt: skip
    load_autoencoder(model.autoencoder, run)
    load_into(model.trained, run / DENOISER, of=f"{run / CONFIG} and its streams")
    # Files of the tokenizer may have changed, but the model knows the prefixes of training alone.
    model.codec.restore_decoder_prefixes(described["decoder_prefix_ids"])
    return model.requires_grad_(False).eval()


def build_diffusion(
    llm: str,
    streams: list[StreamRecord],
    *,
    config: DiffusionConfig,
    device: torch.device,
    revision: str | None = None,
    words: Sequence[int] | None = None,
    texts: Sequence[str] = (),
) -> DiffusionModel:
    """Return an untrained model. The seed of the config draws the weights.

    Args:
        llm: a Hugging Face id, or the directory of a model.
        streams: record of each stream.
        config: settings of the run.
        device: device of the model.
        revision: commit or digest that the language model must have. None accepts every revision.
        words: token ids of the pseudo-glosses. None finds the words of ``texts``, where settings need words.
        texts: sentences of the training clips.

    Raises:
        ModelError: the language model is missing, damaged, or has no encoder.
        ConfigError: the package ``diffusers`` is not installed, or ``texts`` have no pseudo-glosses.
    """
    # Nothing of the language model is trained, so its weights may have the format of the computation.
    dtype = resolve_dtype(config.training.precision, device)
    base = load_llm(llm, quantise=config.quantise, device=device, dtype=dtype, revision=revision)
    # Just before the new weights: loading a model may draw random numbers too.
    torch.manual_seed(config.seed)
    autoencoder = TextAutoencoder(base, config=config)
    if words is None:
        words = content_words(texts, codec=autoencoder.codec) if config.denoiser.pseudo_glosses else ()
    return DiffusionModel(autoencoder, streams=streams, words=words)


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    with atomic_write(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
