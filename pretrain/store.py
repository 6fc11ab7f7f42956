"""Files of a stage-one run: ``encoder/`` for later stages, ``translator/`` for translation with stage one."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..core.config import config_to_dict
from ..core.errors import ModelError
from ..core.files import atomic_write, write_json
from ..core.weights import read_tensors
from ..encoder.store import load_encoder, save_encoder
from .model import StageOneModel
from .run_files import CONFIG_FILE, FORMAT, TRANSLATOR, WEIGHTS_FILE, read_settings
from .tokenizer import load_tokenizer


def save_stage_one(model: StageOneModel, run: Path) -> None:
    """Write a trained model into a run directory."""
    save_encoder(model.encoder, run / "encoder")
    folder = run / TRANSLATOR
    folder.mkdir(exist_ok=True)
    model.tokenizer.save(folder)
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in _translator_state(model).items()}, temporary)
    write_json(folder / CONFIG_FILE, {"format": FORMAT, **config_to_dict(model.config)})


def load_stage_one(run: Path, *, device: torch.device) -> StageOneModel:
    """Read a trained model, in evaluation mode.

    Raises:
        RunError: the run has not been finished, or is of something else.
        ModelError: a part is missing or damaged.
    """
    config, folder = read_settings(run), run / TRANSLATOR
    # Compiling takes longer than translating, and pays off in a training alone.
    config = replace(config, training=replace(config.training, compile=False))
    model = StageOneModel(load_encoder(run), load_tokenizer(folder), config)
    _load_translator(model, read_tensors(folder / WEIGHTS_FILE), folder)
    return model.to(device).eval()


def _translator_state(model: StageOneModel) -> dict[str, Tensor]:
    state = model.checkpoint_state()
    return {name: tensor for name, tensor in state.items() if not name.startswith("encoder.")}


def _load_translator(model: StageOneModel, state: dict[str, Tensor], folder: Path) -> None:
    try:
        encoder = {name: t for name, t in model.checkpoint_state().items() if name.startswith("encoder.")}
        model.load_checkpoint_state(state | encoder)
    except ModelError as error:
        raise ModelError(f"{folder / 'model.safetensors'} does not fit its config.json: {error}") from error
