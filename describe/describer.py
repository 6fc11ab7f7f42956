"""Describer: a frozen image-text-to-text model of transformers, with its processor, asked about pictures.

Code in a model's folder is never run, and weights are read from safetensors alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from ..core.device import resolve_dtype
from ..core.errors import ConfigError, ModelError
from ..core.hub import find_source, load_pretrained
from ..core.weights import check_folder, describe_misfit
from ..llm.quantisation import quantisation_config, stop_repacking
from .config import DescribeConfig

NAMED = "--model {}"


class Describer:
    """Answers a prompt about pictures, greedily.

    ::

        describer = Describer("llava-hf/llava-onevision-qwen2-7b-ov-hf", config=config, device=device)
        texts = describer(pictures)
    """

    def __init__(self, model: str, *, config: DescribeConfig, device: torch.device) -> None:
        """Load the model and its processor.

        Args:
            model: an id on the hub, or a directory.
            config: prompt, quantisation, number format and largest number of tokens.
            device: device of all weights.

        Raises:
            ModelError: the model does not exist, is damaged or incomplete, needs code of its own, or has no
                processor of pictures.
        """
        source = find_source(model, named=NAMED)
        if Path(source).is_dir():
            # A cut-off file would fail only after minutes of loading.
            check_folder(Path(source))
        self._config = config
        self._processor: Any = load_pretrained(AutoProcessor.from_pretrained, source, named=NAMED)
        if getattr(self._processor, "image_processor", None) is None:
            raise ModelError(f"--model {model} must have a processor of pictures, but has none.")
        # New tokens follow the prompt, so padding must stand before it.
        self._processor.tokenizer.padding_side = "left"
        self._model = _load_weights(source, config=config, device=device)
        self._generation = self._greedy()

    @torch.no_grad()
    def __call__(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """Return a description of each picture (H, W, 3), uint8, RGB. Line ends become spaces.

        Raises:
            ConfigError: a CUDA device has too little memory for the batch.
        """
        inputs = self._inputs([Image.fromarray(picture) for picture in pictures])
        inputs = inputs.to(self._model.device, self._model.dtype)
        try:
            tokens = self._model.generate(**inputs, generation_config=self._generation)
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"batch must fit the memory of {self._model.device}, but is {len(pictures)}: "
                f"{str(error).partition('. ')[0]}.\n"
                "Set a smaller batch, or --set quantise=nf4. What is done is kept for the old batch alone."
            ) from error
        begin = 0 if self._model.config.is_encoder_decoder else _prompt_length(tokens, inputs["input_ids"])
        texts = self._processor.batch_decode(tokens[:, begin:], skip_special_tokens=True)
        # One line of a file for each frame, and nothing else of the text is changed.
        return [" ".join(text.split()) for text in texts]

    def _inputs(self, pictures: Sequence[Image.Image]) -> Any:
        """Return the tensors of a batch: the prompt in the model's own chat format, and the pictures."""
        padded = {"padding": True, "return_tensors": "pt"}
        prompt = self._config.prompt
        if getattr(self._processor, "chat_template", None) is None:
            # Captioners have no chat format: the prompt is the beginning of the text.
            return self._processor(images=list(pictures), text=[prompt] * len(pictures), **padded)
        # Chat templates know where a model expects pictures, and which tokens stand for one.
        conversations = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": picture}, {"type": "text", "text": prompt}],
                }
            ]
            for picture in pictures
        ]
        return self._processor.apply_chat_template(
            conversations, add_generation_prompt=True, tokenize=True, return_dict=True,
            processor_kwargs=padded,
        )  # fmt: skip

    def _greedy(self) -> GenerationConfig:
        """Return settings of a greedy search, with the ids of the checkpoint and nothing else of it."""
        # Temperatures and penalties of a checkpoint would change the search without a warning.
        own, tokenizer = self._model.generation_config, self._processor.tokenizer
        names = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        ids = {name: getattr(own, name, None) for name in names}
        for name in ("eos_token_id", "pad_token_id"):
            ids[name] = getattr(tokenizer, name, None) if ids[name] is None else ids[name]
        # Models of the Llama family have no padding of their own.
        if ids["pad_token_id"] is None:
            ends = ids["eos_token_id"]
            ids["pad_token_id"] = ends[0] if isinstance(ends, list) else ends
        return GenerationConfig(max_new_tokens=self._config.max_tokens, do_sample=False, num_beams=1, **ids)


def _prompt_length(tokens: Tensor, prompt: Tensor) -> int:
    """Return the number of tokens of the prompt (B, L) at the beginning of the answers (B, L')."""
    # Most decoder-only models return the whole prompt. BLIP leaves out the last token, others return none.
    shorter = min(tokens.shape[1], prompt.shape[1])
    is_same = (tokens[:, :shorter] == prompt[:, :shorter]).all(dim=0)
    return int(is_same.long().cumprod(dim=0).sum())


def _load_weights(source: str, *, config: DescribeConfig, device: torch.device) -> Any:
    """Return the model with all weights from its files, frozen and in evaluation mode."""
    dtype = resolve_dtype(config.precision, device)
    # With the loading info a pair comes back, which the signature does not tell.
    loaded: Any = load_pretrained(
        AutoModelForImageTextToText.from_pretrained,
        source,
        named=NAMED,
        dtype=dtype,
        quantization_config=quantisation_config(config.quantise, compute_dtype=dtype),
        device_map={"": str(device)},
        use_safetensors=True,
        output_loading_info=True,
    )
    model, info = loaded
    # transformers gives missing weights random values, and only tells so in the loading info.
    if misfit := describe_misfit(missing=info["missing_keys"], mismatched=info["mismatched_keys"]):
        raise ModelError(f"--model {source} must hold all weights of its architecture, but {misfit}.")
    # Repacked weights fail at some widths of vision towers, on CPUs with AVX512-BF16 alone.
    stop_repacking(model)
    return model.requires_grad_(False).eval()
