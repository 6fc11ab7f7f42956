"""Tiny language models, each shaped like a real one, and a cache of features that say what was signed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GraniteConfig,
    LlamaConfig,
    M2M100Config,
    MBartConfig,
    MistralConfig,
    MT5Config,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    T5Config,
    XGLMConfig,
)

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.writer import ShardWriter
from fla_llm.finetune.config import LoraSettings, ProjectorConfig, TuneConfig, TuneTraining
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.load import load_llm
from fla_llm.training.config import DecodingConfig

WORDS = ["sonne", "regen", "wind", "morgen", "heute", "im", "norden", "kommt"]
TEXTS = ["heute regen", "morgen sonne im norden", "wind kommt", "im norden regen heute"]
FEATURE_SIZE = 8
CPU = torch.device("cpu")
INIT = 0.1  # wide enough for a frozen random head to tell words apart

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "max_position_embeddings": 64, **_IDS,
}  # fmt: skip
_T5 = {
    "d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
_BART = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_position_embeddings": 64, "init_std": INIT, "scale_embedding": True, "decoder_start_token_id": 2,
    "forced_eos_token_id": None, **_IDS,
}  # fmt: skip
_CONFIGS: dict[str, Callable[[int], PretrainedConfig]] = {
    "llama": lambda v: LlamaConfig(
        vocab_size=v, tie_word_embeddings=True, initializer_range=INIT, **_DECODER
    ),
    "mistral": lambda v: MistralConfig(vocab_size=v, head_dim=32, **_DECODER),
    "qwen2": lambda v: Qwen2Config(vocab_size=v, **_DECODER),
    "qwen3": lambda v: Qwen3Config(vocab_size=v, head_dim=32, **_DECODER),
    "gemma": lambda v: GemmaConfig(vocab_size=v, head_dim=32, initializer_range=INIT, **_DECODER),
    "gemma2": lambda v: Gemma2Config(
        vocab_size=v, head_dim=32, final_logit_softcapping=0.2, attn_implementation="eager", **_DECODER
    ),
    "gemma3_text": lambda v: Gemma3TextConfig(
        vocab_size=v, head_dim=32, final_logit_softcapping=0.2, **_DECODER
    ),
    "phi": lambda v: PhiConfig(vocab_size=v, initializer_range=INIT, **_DECODER),
    "phi3": lambda v: Phi3Config(vocab_size=v, initializer_range=INIT, **_DECODER),
    "xglm": lambda v: XGLMConfig(
        vocab_size=v, d_model=64, ffn_dim=64, num_layers=2, attention_heads=2, max_position_embeddings=64,
        init_std=INIT, **_IDS,
    ),
    "granite": lambda v: GraniteConfig(vocab_size=v, logits_scaling=2.0, **_DECODER),
    "bart": lambda v: BartConfig(vocab_size=v, **_BART),
    "mbart": lambda v: MBartConfig(vocab_size=v, **_BART),
    "m2m_100": lambda v: M2M100Config(vocab_size=v, **_BART),
    "t5": lambda v: T5Config(vocab_size=v, **_T5),
    "t5-untied": lambda v: T5Config(vocab_size=v, tie_word_embeddings=False, **_T5),
    "mt5": lambda v: MT5Config(vocab_size=v, **_T5),
}  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A word is a token; pads with an id of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = [*WORDS, *["Translate", "the", "signed", "German", "Chinese", "English", "sentence:"]]
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _byte_level() -> PreTrainedTokenizerFast:
    """Return what a Qwen 2 directory must hold: transformers makes nothing of whole words for it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def llm_folder(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Write a tiny model shaped like ``kind`` once, and return its directory."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            own = _byte_level() if kind == "qwen2" else tokenizer
            config = _CONFIGS[kind](len(own))
            auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            torch.manual_seed(1)
            model = auto.from_config(config)
            if kind in ("bart", "mbart"):
                model.final_logits_bias = torch.nn.Buffer(torch.randn(1, len(tokenizer)) / 4)
            if kind == "t5-untied":
                model.lm_head.weight = torch.nn.Parameter(torch.randn(len(tokenizer), 64) / 8)
            model.save_pretrained(made[kind])
            own.save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def config() -> TuneConfig:
    """Settings for tiny models: no dropout, greedy search, no smoothing."""
    return TuneConfig(
        lora=LoraSettings(rank=4, alpha=8, dropout=0.0),
        projector=ProjectorConfig(hidden_size=16, learning_rate=1e-2),
        label_smoothing=0.0,
        activation_checkpointing=False,
        training=TuneTraining(
            epochs=2, batch_clips=4, batch_tokens=128, learning_rate=1e-2, weight_decay=0.0, warmup_share=0.0,
            schedule="constant", precision="fp32",
        ),
        decoding=DecodingConfig(num_beams=2, max_new_tokens=8),
    )  # fmt: skip


@pytest.fixture
def build(llm_folder: Callable[[str], Path], config: TuneConfig) -> Callable[..., StageTwoModel]:
    """Return a function that builds a model, of a shape or a folder: ``build("llama", quantise="none")``."""

    def build(kind: str | Path, **settings: object) -> StageTwoModel:
        own = replace(config, **settings)
        folder = kind if isinstance(kind, Path) else llm_folder(kind)
        base = load_llm(str(folder), quantise=own.quantise, device=CPU, dtype=torch.float32)
        torch.manual_seed(2)
        return StageTwoModel(base, config=own, feature_size=FEATURE_SIZE, feature_fingerprint="e" * 64)

    return build


def draw_clips() -> list[dict[str, object]]:
    """Return clips of different lengths."""
    draw = np.random.default_rng(3)
    return [
        {
            "id": f"clip-{i}",
            "features": draw.standard_normal((3 + 2 * i, FEATURE_SIZE)).astype(np.float16),
            "text": text,
            "language": "de",
        }
        for i, text in enumerate(TEXTS)
    ]


def draw_pose_clips() -> list[dict[str, object]]:
    """Return clips of normalised key points (T, 207): the hands move as the words of the sentence say."""
    clips = []
    for number, text in enumerate(TEXTS):
        draw = np.random.default_rng([5, number])
        poses = np.full((4 + 2 * number, 69, 3), 0.9, np.float16)
        poses[..., :2] = draw.uniform(-0.05, 0.05, (*poses.shape[:2], 2))
        for step, row in enumerate(poses):
            word = WORDS.index(text.split()[step * len(text.split()) // len(poses)])
            row[9:51, :2] += (word % 3 - 1, word // 3 - 1)
        clips.append({"id": f"clip-{number}", "features": poses.reshape(len(poses), -1), "text": text})
    return clips


def write_clips(
    folder: Path,
    items: list[dict[str, object]],
    *,
    splits: tuple[str, ...] = ("train", "dev"),
    encoder: str = "e" * 64,
    prefix: str = "",
    level: str = "sign",
) -> Path:
    """Write clips as a cache, the same in every split."""
    for split in splits:
        made_by = Provenance(
            encoder_fingerprint=encoder, encoder_config={}, level=level, preprocessing={}, frame_batch=1,
            compute_dtype="float32", device_kind="cpu", corpus="toy", split=split,
            feature_size=np.asarray(items[0]["features"]).shape[1], step_seconds=0.16, versions={},
        )  # fmt: skip
        rows = [
            CacheRow(
                id=f"{prefix}{item['id']}",
                text=str(item["text"]),
                language="de",
                signer="",
                num_frames=9,
                task=str(item.get("task", "translate")),
            )  # fmt: skip
            for item in items
        ]
        features = {f"{prefix}{item['id']}": item["features"] for item in items}
        with ShardWriter(folder, split=split, index=0, count=1, rows=rows, provenance=made_by) as writer:
            for row in list(writer.pending):
                writer.append(row, features[row.id])
            writer.finish()
    return folder


@pytest.fixture
def items() -> list[dict[str, object]]:
    """Clips of different lengths, to be changed at will."""
    return draw_clips()


@pytest.fixture
def write_cache(items: list[dict[str, object]]) -> Callable[..., Path]:
    """Return a function that writes the clips as a cache, in the splits and from the encoder asked for."""
    return partial(write_clips, items=items)


@pytest.fixture(scope="session")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips as a cache that nobody changes."""
    return write_clips(tmp_path_factory.mktemp("cached"), draw_clips(), splits=("train", "test"))
