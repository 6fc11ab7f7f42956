"""Low-rank adapters, through peft: added to a frozen model, saved, and put back."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, TaskType, get_peft_model

from .config import LoraSettings

PARTS = ("adapter_config.json", "adapter_model.safetensors")


def add_lora(base: Any, settings: LoraSettings) -> PeftModel:
    """Return ``base`` with new adapters, which change nothing yet (B = 0); adapters are fp32."""
    names = settings.targets
    targets = names if names == "all-linear" else [name.strip() for name in names.split(",")]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        task_type=TaskType.SEQ_2_SEQ_LM if base.config.is_encoder_decoder else TaskType.CAUSAL_LM,
    )
    with _old_name_allowed():
        return get_peft_model(base, config)


def load_lora(base: Any, folder: Path) -> PeftModel:
    """Return ``base`` with the adapters of ``folder``, which may be trained on."""
    with _old_name_allowed():
        return PeftModel.from_pretrained(base, str(folder), is_trainable=True)


def save_lora(model: PeftModel, folder: Path) -> None:
    """Write the adapters in PEFT's format."""
    # "auto" would ask the Hub whether the embeddings were resized.
    model.save_pretrained(str(folder), save_embedding_layers=False)


def lora_groups(model: PeftModel, settings: LoraSettings) -> list[dict[str, Any]]:
    """Return the adapters as parameter groups: one, or two where B learns faster than A (LoRA+)."""
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


@contextmanager
def _old_name_allowed() -> Iterator[None]:
    """Be quiet about peft asking for ``is_gradient_checkpointing``, a name that transformers 5 gave up."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
