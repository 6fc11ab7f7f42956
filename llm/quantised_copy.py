"""``fla quantise``: write a 4-bit copy of a language model, for runs without a quantisation step.

The copy is a standard Hugging Face directory (safetensors and tokenizer) with a file ``quantised.json``, and
the file names the original model. Weights that are not quantised keep the precision of loading.
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
    """Result of ``fla quantise``."""

    out: Path
    llm: str
    """Original model: an id, or a directory."""
    revision: str
    """Revision of the original model."""
    dtype: str
    """Dtype of the weights before quantisation, and of weights that are not quantised."""
    size_bytes: int
    """Size of the weights of the copy."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"out": str(self.out)}


def quantise_llm(
    llm: str, out: Path, *, precision: Precision = "auto", device: str = "auto"
) -> QuantisedCopy:
    """Write a copy of a language model with linear layers in NF4.

    Weights are rounded to ``precision`` before they are quantised, as ``fla tune`` does with the setting
    ``training.precision``: where both agree, tuning the copy is tuning the original.

    Args:
        llm: a Hugging Face id, or a model's directory.
        out: a new or empty folder.
        precision: precision of weights that are not quantised. ``auto`` chooses by device, as ``fla tune``.
        device: device of the quantisation. The model must fit there in 4 bits.

    Raises:
        ModelError: the model does not exist, takes no features, or is quantised.
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
