"""A tiny autoencoder and models over it, trained once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_two_fixtures import FEATURE_SIZE, TEXTS, draw_clips
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from fla_llm.diffusion.autoencoder import TextAutoencoder
from fla_llm.diffusion.batching import collate_clips
from fla_llm.diffusion.config import AutoencoderConfig, DenoiserConfig, DiffusionConfig, DiffusionDecoding
from fla_llm.diffusion.model import DiffusionModel
from fla_llm.diffusion.pseudo_glosses import content_words
from fla_llm.finetune.collate import collate_sentences
from fla_llm.finetune.config import FeatureTraining, ProjectorConfig
from fla_llm.finetune.streams import StreamRecord
from fla_llm.llm.load import load_llm
from fla_llm.training.model import IGNORED

CPU = torch.device("cpu")
STREAM = StreamRecord(fingerprint="e" * 64, feature_size=FEATURE_SIZE)
TRAINING = FeatureTraining(
    epochs=2, batch_clips=2, batch_tokens=256, learning_rate=1e-2, weight_decay=0.0, warmup_share=0.0,
    schedule="constant", precision="fp32",
)  # fmt: skip


@pytest.fixture(scope="session")
def diffusion_config() -> DiffusionConfig:
    """Settings for tiny models, without dropout and without a bound on the reconstruction."""
    return DiffusionConfig(
        autoencoder=AutoencoderConfig(
            latents=4, latent_size=16, layers=1, dropout=0.0, latent_noise=0.0, min_bleu4=0.0,
            training=TRAINING,
        ),
        projector=ProjectorConfig(hidden_size=16, learning_rate=1e-2),
        denoiser=DenoiserConfig(layers=2, hidden_size=32, fusion_layers=1, dropout=0.0),
        training=TRAINING,
        decoding=DiffusionDecoding(num_beams=1, max_new_tokens=8, steps=3),
    )  # fmt: skip


@pytest.fixture(scope="session")
def copying_llm(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 that repeats the sentences of the clips: a model of random weights can write nothing."""
    torch.manual_seed(1)
    size = {"d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0}
    ids = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **size, **ids)).train()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimiser.step()
    folder = tmp_path_factory.mktemp("copying")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_autoencoder(copying_llm: Path, diffusion_config: DiffusionConfig) -> Callable[..., TextAutoencoder]:
    """Return a function that builds an untrained autoencoder, over the copying model by default."""

    def make(llm: Path = copying_llm, config: DiffusionConfig = diffusion_config) -> TextAutoencoder:
        base = load_llm(str(llm), quantise="none", device=CPU, dtype=torch.float32)
        torch.manual_seed(3)
        return TextAutoencoder(base, config=config)

    return make


@pytest.fixture(scope="session")
def sentence_batch(make_autoencoder: Callable[..., TextAutoencoder]) -> dict[str, Any]:
    """The sentences of all clips as a batch."""
    return collate_sentences(draw_clips(), codec=make_autoencoder().codec)


@pytest.fixture(scope="session")
def trained_autoencoder(
    make_autoencoder: Callable[..., TextAutoencoder], sentence_batch: dict[str, Any]
) -> TextAutoencoder:
    """An autoencoder that reconstructs every sentence of the clips."""
    model = make_autoencoder().train()
    model.calibrate(sentence_batch["labels"])
    fitted(model, sentence_batch, steps=30, rate=3e-3)
    model.zero_grad(set_to_none=True)
    return model.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def make_model(trained_autoencoder: TextAutoencoder) -> Callable[..., DiffusionModel]:
    """Return a function that builds a model whose denoiser predicts something, over the autoencoder."""

    def make(*, streams: int = 1, **denoiser: Any) -> DiffusionModel:
        config = trained_autoencoder.config
        trained_autoencoder.config = replace(config, denoiser=replace(config.denoiser, **denoiser))
        torch.manual_seed(4)
        words = content_words(TEXTS, codec=trained_autoencoder.codec)
        model = DiffusionModel(trained_autoencoder, streams=[STREAM] * streams, words=words)
        trained_autoencoder.config = config
        # A new denoiser predicts nothing, whatever it sees.
        torch.nn.init.normal_(model.denoiser.out.weight, std=0.3)
        return model.eval()

    return make


@pytest.fixture
def clip_batch(trained_autoencoder: TextAutoencoder, items: list[dict[str, Any]]) -> dict[str, Any]:
    """All clips as a batch."""
    return collate_clips(items, codec=trained_autoencoder.codec)


def fitted(model: Any, batch: dict[str, Any], *, steps: int, rate: float) -> list[float]:
    """Train on one batch, and return the losses."""
    optimiser = torch.optim.AdamW(
        [parameter for group in model.parameter_groups() for parameter in group["params"]], lr=rate
    )
    losses = []
    for _ in range(steps):
        loss = model(**batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def small(config: DiffusionConfig, *, epochs: int) -> DiffusionConfig:
    """Return the settings with another number of epochs in both trainings."""
    return replace(
        config,
        training=replace(config.training, epochs=epochs, batch_clips=8),
        autoencoder=replace(
            config.autoencoder, training=replace(config.autoencoder.training, epochs=epochs, batch_clips=8)
        ),
    )
