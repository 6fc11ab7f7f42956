"""Small language model from a list of sentences, for demonstrations without a download.

The result is a standard Hugging Face directory with a decoder-only (Llama) or encoder-decoder (mBART) model
and a tokenizer. ``fla tune`` loads the model in 4 bits like any other. Training takes about a minute on two
cores.
"""

import logging
import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MBartConfig,
    MBartForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from ..core.device import resolve_device
from ..core.errors import DataError
from ..core.files import respect_umask
from ..core.progress import progress
from ..core.run import new_folder
from ..core.seeds import derive_seed
from ..training.model import IGNORED
from .config import HEAD_SIZE, Kind, SmallLlmConfig
from .text_batches import TextBatches, denoising_batch

logger = logging.getLogger(__name__)

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
MAX_POSITIONS = 1024
HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 200


def make_small_llm(
    sentences: Sequence[str],
    out: Path,
    *,
    config: SmallLlmConfig | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Train a tokenizer and a language model on ``sentences`` alone, and write both to ``out``.

    Args:
        sentences: at least two different sentences. Some are held out to measure the perplexity.
        out: an empty or new folder.
        config: shape of the model and length of the training. None: the defaults.
        seed: seed of all random choices.
        device: a name for ``resolve_device``.

    Raises:
        DataError: there are fewer than two different sentences.
        RunError: ``out`` is not empty.
    """
    config = config or SmallLlmConfig()
    train, held_out = _split(sentences, seed=seed)
    folder = new_folder(out)
    tokenizer = _train_tokenizer(train, kind=config.kind, vocabulary=config.vocabulary)
    set_seed(derive_seed(seed, "small-llm") % 2**32)
    model = _new_model(config, tokenizer)
    texts = TextBatches(
        train,
        tokenizer,
        kind=config.kind,
        keep_order=config.keep_order,
        steps=config.steps,
        batch_tokens=config.batch_tokens,
        seed=seed,
    )
    _train(model, texts, config=config, device=resolve_device(device), seed=seed)
    perplexity = math.exp(
        held_out_loss(model, tokenizer, held_out, kind=config.kind, keep_order=config.keep_order)
    )
    logger.info(
        f"{out}: {model.num_parameters():,} parameters, "
        f"perplexity {perplexity:.2f} on {len(held_out)} held-out sentences"
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    respect_umask(folder.iterdir())  # safetensors writes files that only the owner may read
    return folder


@torch.no_grad()
def held_out_loss(
    model: Any, tokenizer: Any, sentences: Sequence[str], *, kind: Kind, keep_order: bool = False
) -> float:
    """Return the mean cross-entropy per token in nats. An encoder-decoder reads noisy sentences."""
    model.eval()
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in sentences]
    if kind == "seq2seq":
        batch = denoising_batch(rows, tokenizer, draw=random.Random(0), keep_order=keep_order)
    else:
        whole = [torch.tensor([tokenizer.bos_token_id, *row, tokenizer.eos_token_id]) for row in rows]
        ids = pad_sequence(whole, batch_first=True, padding_value=tokenizer.pad_token_id)
        labels = pad_sequence(whole, batch_first=True, padding_value=IGNORED)
        batch = {"input_ids": ids, "attention_mask": (labels != IGNORED).long(), "labels": labels}
    return model(**{name: value.to(model.device) for name, value in batch.items()}).loss.item()


def _split(sentences: Sequence[str], *, seed: int) -> tuple[list[str], list[str]]:
    """Return distinct sentences for training, and held-out sentences."""
    # Sorted: the order of a set of strings changes from process to process.
    different = sorted(set(sentences))
    if len(different) < 2:
        raise DataError(f"A language model needs at least 2 different sentences, but got {len(different)}.")
    random.Random(derive_seed(seed, "held-out")).shuffle(different)
    count = min(MAX_HELD_OUT, max(1, round(HELD_OUT_SHARE * len(different))))
    return different[count:], different[:count]


def _train_tokenizer(sentences: Sequence[str], *, kind: Kind, vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer, which encodes every text without loss."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END],
        # All 256 bytes, so that no text is unknown.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    # Both conventions are those of the real models: Llama begins with a token, mBART's encoder ends with one.
    template = f"{BEGIN} $A" if kind == "causal" else f"$A {END}"
    ids = [(token, tokenizer.token_to_id(token)) for token in (BEGIN, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, bos_token=BEGIN, eos_token=END)


def _new_model(config: SmallLlmConfig, tokenizer: Any) -> PreTrainedModel:
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    width, layers, heads = config.hidden_size, config.layers, config.hidden_size // HEAD_SIZE
    # 8/3 of the width as in LLaMA, rounded down to whole blocks of NF4.
    ffn_size = 8 * width // 3 // HEAD_SIZE * HEAD_SIZE
    if config.kind == "causal":
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=width,
                intermediate_size=ffn_size,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                max_position_embeddings=MAX_POSITIONS,
                tie_word_embeddings=True,
                **ids,
            )
        )
    return MBartForConditionalGeneration(
        MBartConfig(
            vocab_size=len(tokenizer),
            d_model=width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=ffn_size,
            decoder_ffn_dim=ffn_size,
            max_position_embeddings=MAX_POSITIONS,
            scale_embedding=True,
            init_std=width**-0.5,  # mBART's 0.02 suits a width of 1024
            decoder_start_token_id=tokenizer.eos_token_id,
            forced_eos_token_id=None,
            **ids,
        )
    )


def _train(
    model: PreTrainedModel, texts: TextBatches, *, config: SmallLlmConfig, device: torch.device, seed: int
) -> None:
    # The Trainer needs a folder even if nothing is saved.
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=len(texts),
            per_device_train_batch_size=1,  # an item of our dataset is a whole batch
            learning_rate=config.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=len(texts) // 20,
            weight_decay=0.01,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type == "cuda",
            remove_unused_columns=False,
            seed=seed,
        )
        trainer = Trainer(
            model, arguments, train_dataset=texts, data_collator=_only, callbacks=[_Bar(len(texts))]
        )
        trainer.remove_callback(PrinterCallback)  # it writes to standard output
        trainer.train()


class _Bar(TrainerCallback):
    """Progress bar of the training, on standard error."""

    def __init__(self, steps: int) -> None:
        self.bar = progress(desc="small language model", total=steps, unit="step")

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Count a step."""
        self.bar.update()

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Finish the bar."""
        self.bar.close()


def _only(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return batches[0]
