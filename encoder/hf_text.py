"""Frozen text encoder of transformers: a vector for each text, such as the description of a frame.

Weights are read from safetensors alone. Code in a model directory is never run.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from ..core.errors import ConfigError, ModelError
from ..core.hub import find_source, load_pretrained
from ..core.sample import Source
from ..core.weights import check_folder, describe_misfit
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling
from .windows import Windows

TextPool = Literal["cls", "mean"]
PADDING = -1
"""Token id of padding, whatever the tokenizer pads with."""
_NAMED = "hf-text:{}"
_NOT_ARCHITECTURE = ("transformers_version", "architectures", "dtype", "_name_or_path")


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Settings of a text encoder. There are no pictures: their sizes are 0."""

    name: str
    """Name: the last part of the id, or the name of the directory."""
    pool: TextPool = "cls"
    """``cls``: vector of the first token, ``mean``: mean over all tokens."""
    max_tokens: int = 512
    """Largest number of tokens. The end of a longer text is cut off."""
    sampling: FrameSampling
    """Sampling of the described frames of a clip."""
    medium: Source = "descriptions"
    poses: None = None
    image_size: int = 0
    resize_size: int = 0
    fit: ResizeMode = "crop"


class TextTokens:
    """Converts texts to token ids. Worker processes get a copy of this object, without the model."""

    def __init__(self, tokenizer: Any, *, max_tokens: int) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the ids of texts, with ``PADDING`` behind the ends: N texts -> (N, L), int64."""
        # Padding of the tokenizer's own could be a token with a meaning.
        rows = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
        ids = np.full((len(rows), max(1, *map(len, rows))), PADDING, np.int64)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = tokens
        return ids


class TextEncoder(nn.Module):
    """Frozen text encoder as a :class:`~.frozen.FrozenEncoder` of level "frame": a unit is a text.

    Shapes: N texts, L tokens of the longest, F = ``frame_size``.
    """

    windows = Windows()
    temporal = None

    def __init__(self, model: PreTrainedModel, tokens: TextTokens, config: TextEncoderConfig) -> None:
        super().__init__()
        self.model, self.tokens, self.config = model, tokens, config
        self.frame_size = self.output_size = int(model.config.hidden_size)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values, with the architecture of the model."""
        own = {
            key: value for key, value in asdict(self.config).items() if key in ("name", "pool", "max_tokens")
        }
        described = json.loads(self.model.config.to_json_string(use_diff=False))
        architecture = {key: value for key, value in described.items() if key not in _NOT_ARCHITECTURE}
        return {"kind": "hf-text", **own, "architecture": architecture}

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode."""
        self.eval().to(device)

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return a vector for each text: token ids (N, L), ``PADDING`` behind the ends -> (N, F)."""
        # A batch of short texts need not be as long as the longest text of the clip.
        longest = int((frames != PADDING).sum(dim=1).max())
        ids = frames[:, : max(1, longest)]
        mask = ids != PADDING
        hidden = self.model(input_ids=ids.clamp(min=0), attention_mask=mask.long()).last_hidden_state.float()
        if self.config.pool == "cls":
            return hidden[:, 0]
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return hidden.masked_fill(~mask[..., None], 0.0).sum(dim=1) / counts

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Refuse level "sign" (see :meth:`require_temporal`)."""
        return self.require_temporal()(frame_features)

    def require_temporal(self) -> nn.Module:
        """Refuse level "sign".

        Raises:
            ModelError: always: a text encoder has no temporal module.
        """
        raise ModelError("level must be frame for a text encoder, which has no temporal module, but is sign.")


def hf_text_encoder(
    source: str,
    *,
    pool: TextPool = "cls",
    max_tokens: int = 512,
    sampling: FrameSampling,
    fetch: bool = True,
) -> TextEncoder:
    """Load a frozen text encoder. Of an encoder-decoder the encoder is taken.

    Args:
        source: a directory, or an id on the hub such as ``bert-base-cased``.
        pool: pooling of a text's tokens into a vector.
        max_tokens: largest number of tokens of a text. The model may limit it further.
        sampling: sampling of the described frames.
        fetch: fetch missing files from the hub.

    Raises:
        ModelError: the model does not exist, its weights are incomplete or pickled, or it is no text encoder.
        ConfigError: the pool is ``cls``, and the tokenizer has no such token.
    """
    given, source = source, find_source(source, named=_NAMED)
    is_local = Path(source).is_dir()
    if is_local:
        check_folder(Path(source))
    load = partial(load_pretrained, source=source, named=_NAMED, may_fetch=fetch)
    tokenizer: Any = load(AutoTokenizer.from_pretrained)
    if pool == "cls" and tokenizer.cls_token is None:
        raise ConfigError(
            f"hf_text.pool must be mean for hf-text:{given}, whose tokenizer has no class token, but is cls."
        )
    model = _weights(load, given)
    config = TextEncoderConfig(
        name=Path(source).name if is_local else source.rpartition("/")[2],
        pool=pool,
        max_tokens=_largest(max_tokens, tokenizer, model),
        sampling=sampling,
    )
    tokens = TextTokens(tokenizer, max_tokens=config.max_tokens)
    return TextEncoder(model, tokens, config).requires_grad_(False).eval()


def _largest(wanted: int, tokenizer: Any, model: PreTrainedModel) -> int:
    """Return the largest number of tokens that tokenizer and model allow."""
    # A tokenizer that was saved without a limit declares 1e30.
    positions = getattr(model.config, "max_position_embeddings", wanted)
    return int(min(wanted, tokenizer.model_max_length, positions))


def _weights(load: Any, source: str) -> PreTrainedModel:
    """Return the encoder with all weights from the file."""
    # transformers gives missing weights random values, and only tells so in the loading info.
    model, info = load(AutoModel.from_pretrained, use_safetensors=True, output_loading_info=True)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # last_hidden_state does not need it, and many checkpoints lack it
    missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
    if misfit := describe_misfit(missing=missing, mismatched=info["mismatched_keys"]):
        raise ModelError(
            f"hf-text:{source} must hold all weights of a {model.config.model_type}, but {misfit}."
        )
    if model.get_input_embeddings() is None or not hasattr(model.config, "hidden_size"):
        raise ModelError(f"hf-text:{source} must be a text encoder, but is a {model.config.model_type}.")
    return (model.get_encoder() if model.config.is_encoder_decoder else model).float()
