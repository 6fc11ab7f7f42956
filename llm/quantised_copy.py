"""``fla quantise``: a language model's 4-bit copy, made once and loaded as it is ever after.

A standard Hugging Face directory (safetensors, with its tokenizer) and ``quantised.json``, which names the
model it was made from. What is not quantised is in the format it was loaded in.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bitsandbytes
import transformers

from ..core.device import Precision, resolve_device, resolve_dtype
from ..core.errors import ModelError
from ..core.files import respect_umask, write_json
from ..core.run import new_folder
from .load import QUANTISED, load_llm


@dataclass(frozen=True, kw_only=True)
class QuantisedCopy:
    """What ``fla quantise`` made."""

    out: Path
    llm: str
    """The model it was made from: an id, or a directory."""
    revision: str
    """Of that model."""
    dtype: str
    """Format of what is not quantised, and of what was."""
    size_bytes: int
    """Of the copy's weights."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self) | {"out": str(self.out)}


def quantise_llm(
    llm: str, out: Path, *, precision: Precision = "auto", device: str = "auto"
) -> QuantisedCopy:
    """Write a copy of a language model with its linear layers in NF4.

    Weights are rounded to ``precision`` before they are quantised, as ``fla tune`` does with the setting
    ``training.precision``: where both agree, tuning the copy is tuning the original.

    Args:
        llm: a Hugging Face id, or a model's directory.
        out: a new or empty folder.
        precision: format of what is not quantised; ``auto`` as ``fla tune`` takes it on this device.
        device: where the weights are quantised; the model must fit there once it is in 4 bits.

    Raises:
        ModelError: there is no such model, it takes no features, or is quantised already.
        RunError: ``out`` is not empty.
    """
    new_folder(out)
    torch_device = resolve_device(device)
    loaded = load_llm(llm, quantise="nf4", device=torch_device, dtype=resolve_dtype(precision, torch_device))
    if loaded.was_quantised:
        raise ModelError(f"{llm} is in NF4 already.\nGive it to fla tune as it is.")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    loaded.model.save_pretrained(str(partial))
    loaded.tokenizer.save_pretrained(str(partial))
    respect_umask(partial.iterdir())
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    made_from = {
        "llm": loaded.source,
        "revision": loaded.revision,
        "quantise": "nf4",
        "dtype": dtype,
        "versions": {"bitsandbytes": bitsandbytes.__version__, "transformers": transformers.__version__},
    }
    write_json(partial / QUANTISED, made_from)
    partial.replace(out)  # whole or not there: an empty folder may be replaced
    return QuantisedCopy(
        out=out,
        llm=loaded.source,
        revision=loaded.revision,
        dtype=dtype,
        size_bytes=sum(file.stat().st_size for file in out.glob("*.safetensors")),
    )
