"""Low-rank adapters of peft: added to a frozen model, saved and loaded."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.utils import get_peft_model_state_dict

from ..core.errors import ConfigError, RunError
from ..core.files import read_json, respect_umask
from ..core.weights import read_tensors
from .config import LORA_WEIGHTS, LoraSettings


def add_lora(base: Any, settings: LoraSettings) -> PeftModel:
    """Return ``base`` with new fp32 adapters. New adapters do not change the output (B = 0).

    Raises:
        ConfigError: ``settings.part`` names an encoder that ``base`` does not have.
    """
    if settings.part == "encoder" and not base.config.is_encoder_decoder:
        raise ConfigError(
            f"'lora.part' must be all for a model without an encoder, but is encoder for "
            f"{base.config.model_type!r}.\nSet lora.part=all, or give an encoder-decoder model."
        )
    names = settings.targets
    targets = names if names == "all-linear" else [name.strip() for name in names.split(",")]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        # Every model of transformers names its decoder so: what lies outside it is the encoder.
        exclude_modules=r"(.*\.)?decoder\..*" if settings.part == "encoder" else None,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        task_type=TaskType.SEQ_2_SEQ_LM if base.config.is_encoder_decoder else TaskType.CAUSAL_LM,
    )
    with _old_name_allowed():
        return get_peft_model(base, config)


def load_lora(base: Any, folder: Path) -> PeftModel:
    """Return ``base`` with the adapters of ``folder``, ready for further training.

    Raises:
        RunError: the adapters belong to another model. The message names the first mismatch.
        ModelError: the file of weights is damaged.
        DataError: the adapters' settings are no JSON.
    """
    read_json(folder / "adapter_config.json")
    # peft ignores tensors of other names, so the names are compared after loading.
    saved = read_tensors(folder / LORA_WEIGHTS).keys()
    try:
        with _old_name_allowed():
            model = PeftModel.from_pretrained(base, str(folder), is_trainable=True)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:  # other shapes, layers or settings
        raise _of_another_model(base, folder, " ".join(str(error).split())) from error
    if differ := sorted(saved ^ get_peft_model_state_dict(model, save_embedding_layers=False).keys()):
        lacking = "this model" if differ[0] in saved else "the folder"
        raise _of_another_model(base, folder, f"{lacking} has no {differ[0]}")
    return model


def save_lora(model: PeftModel, folder: Path) -> None:
    """Write the adapters in the format of peft."""
    # "auto" would ask the Hub whether the embeddings were resized.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    respect_umask(folder.iterdir())


def lora_groups(model: PeftModel, settings: LoraSettings) -> list[dict[str, Any]]:
    """Return the parameter groups of the adapters: A and B together, or apart for LoRA+."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if settings.b_rate_ratio == 1.0:
        return [{"name": "lora", "params": [p for _, p in named]}]
    return [
        {"name": "lora", "params": [p for name, p in named if "lora_B" not in name]},
        {
            "name": "lora_b",
            "params": [p for name, p in named if "lora_B" in name],
            "lr_scale": settings.b_rate_ratio,
        },
    ]


def _of_another_model(base: Any, folder: Path, reason: str) -> RunError:
    return RunError(
        f"{folder} must hold the adapters of this {base.config.model_type!r}, but holds another model's: "
        f"{reason}.\nPut back the lora/ that was tuned with it, or tune again."
    )


@contextmanager
def _old_name_allowed() -> Iterator[None]:
    """Suppress two warnings of peft: the old name ``is_gradient_checkpointing``, and missing adapters."""
    # transformers 5 removed the old name. load_lora refuses missing adapters.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        yield
