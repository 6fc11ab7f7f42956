"""Stage two over a language model of a real shape with random weights, without its 28 GB on the host.

The loader is the project's own (``load_llm``), from a folder with a config and a small tokenizer: only what
it would read from files is drawn on the device instead, one tensor at a time, each when its turn comes.
So what lies in memory afterwards, and how the allocator came there, is what a checkpoint would leave.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerFast, set_seed

from fla_llm.core.seeds import derive_seed
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.projector import embedding_rms
from fla_llm.llm.config import Quantise
from fla_llm.llm.load import LanguageModel, load_llm
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.model_shapes import build_on_meta, config_from
from fla_llm.planning.tune_plan import FEATURE_SIZE

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
LANGUAGE = "de"
GAIN = 0.1
"""Of every matrix but the embeddings: what layers add stays small beside them, so that rounding does too."""


class Drawn:
    """A tensor that is drawn when it is asked for, the same each time."""

    def __init__(self, name: str, like: Tensor, *, spread: float, device: torch.device) -> None:
        self.name, self.shape, self.dtype = name, like.shape, like.dtype
        self.spread = spread
        self.device = device

    def __getitem__(self, whole: Any) -> Tensor:
        if len(self.shape) == 1:  # a norm's scale, or a bias
            return torch.full(
                self.shape, float(self.name.endswith("weight")), dtype=self.dtype, device=self.device
            )
        draw = torch.Generator(self.device).manual_seed(derive_seed(0, self.name))
        tensor = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        return tensor.normal_(std=self.spread, generator=draw)


def random_weights(config: PretrainedConfig, *, dtype: torch.dtype, device: torch.device) -> dict[str, Drawn]:
    """Return what a checkpoint of this config would hold, by name; nothing is drawn yet."""
    model = build_on_meta(config, dtype=dtype)
    kept = model.state_dict().keys()
    tensors = dict(model.named_parameters())  # a tied one once, under its first name, as in a file
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name in kept}
    words = model.get_input_embeddings().weight
    return {
        name: Drawn(
            name, tensor, spread=1.0 if tensor is words else GAIN * tensor.shape[-1] ** -0.5, device=device
        )
        for name, tensor in tensors.items()
    }


def load_random(
    shape: dict[str, Any], *, quantise: Quantise, dtype: torch.dtype, device: torch.device
) -> LanguageModel:
    """Return the language model of a shape as ``load_llm`` leaves it."""
    config = config_from(shape, name=shape["model_type"])
    weights = random_weights(config, dtype=dtype, device=device)
    with tempfile.TemporaryDirectory() as folder:
        write_frame(config, Path(folder))
        return load_llm(folder, quantise=quantise, device=device, dtype=dtype, weights=weights)


def write_frame(config: PretrainedConfig, folder: Path) -> None:
    """Write what a model's directory holds besides weights."""
    config.save_pretrained(folder)
    small_tokenizer(config).save_pretrained(folder)


def small_tokenizer(config: PretrainedConfig) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are bytes; mBART's names a language too."""
    words = [PAD, BEGIN, END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    template = f"$A {END}" if config.is_encoder_decoder else f"{BEGIN} $A"
    ids = [(token, words.index(token)) for token in (BEGIN, END)]
    raw.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, bos_token=BEGIN, eos_token=END)
    if config.model_type == "mbart":
        tokenizer.add_tokens([f"{LANGUAGE}_DE"])
    return tokenizer


def stage_two(language_model: LanguageModel, *, settings: TuneConfig, device: torch.device) -> StageTwoModel:
    """Return an untrained model of stage two, in train mode, as ``fla tune`` would build it."""
    set_seed(settings.seed)
    model = StageTwoModel(
        language_model, config=settings, feature_size=FEATURE_SIZE, feature_fingerprint="0" * 64
    )
    magnitude = embedding_rms(model.conditioned_lm.embed, model.codec.prompt_ids(LANGUAGE), device=device)
    for projector in model.projectors:
        projector.calibrate(magnitude)
    model.conditioned_lm.eos_id = None  # type: ignore[assignment]  # a search goes on to its last token
    return model.train()


def make_batch(model: StageTwoModel, shape: BatchShape) -> dict[str, Tensor]:
    """Return random clips and sentences, as ``collate`` would make them of cached features."""
    clips, prompt = shape.clips, shape.source - shape.projected - len(model.conditioned_lm.lead_ids)

    def ids(count: int) -> Tensor:
        return torch.randint(model.language_model.model.config.vocab_size, (clips, count))

    def lengths(count: int) -> Tensor:
        return torch.full((clips,), count)

    return {
        "features": torch.randn(clips, shape.steps[0], FEATURE_SIZE).half(),
        "feature_lengths": lengths(shape.steps[0]),
        "prompt_ids": ids(prompt),
        "prompt_lengths": lengths(prompt),
        "decoder_prefix_ids": torch.tensor([model.codec.decoder_prefix_ids(LANGUAGE)] * clips).long(),
        "labels": ids(shape.labels),
    }
