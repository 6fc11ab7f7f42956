"""Every setting of a diffusion run changes something: weights, losses, rates, or what is drawn."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_fixtures import STREAM
from stage_two_fixtures import TEXTS

from fla_llm.core.config import config_from_dict, config_to_dict
from fla_llm.diffusion.batching import collate_clips
from fla_llm.diffusion.config import DiffusionConfig
from fla_llm.diffusion.store import build_diffusion

CPU = torch.device("cpu")
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "quantise": ("nf4", {}),
    "autoencoder.latents": (3, {}),
    "autoencoder.latent_size": (8, {}),
    "autoencoder.layers": (2, {}),
    "autoencoder.dropout": (0.5, {}),
    "autoencoder.latent_noise": (1.0, {}),
    "projector.kind": ("linear", {}),
    "projector.hidden_size": (8, {}),
    "projector.kernel": (3, {"projector": {"kind": "conv"}}),
    "projector.stride": (1, {"projector": {"kind": "conv"}}),
    "projector.norm": (False, {}),
    "projector.learning_rate": (0.5, {}),
    "denoiser.layers": (1, {}),
    "denoiser.hidden_size": (16, {}),
    "denoiser.fusion_layers": (0, {}),
    "denoiser.pseudo_glosses": (3, {}),
    "denoiser.dropout": (0.5, {}),
    "denoiser.condition_dropout": (0.9, {}),
    "denoiser.self_condition": (1.0, {"denoiser": {"self_condition": 0.0}}),
    "decoding.num_beams": (3, {"decoding": {"seed": 1, "max_new_tokens": 2}}),
    "decoding.max_new_tokens": (2, {}),
    "decoding.length_penalty": (3.0, {}),
    "decoding.sampler": ("dpm", {}),
    "decoding.steps": (9, {}),
    "decoding.guidance": (5.0, {}),
    "decoding.noise": (1.5, {}),
    "decoding.seed": (7, {}),
    "seed": (7, {}),
}
"""Setting -> another value, and what must hold beside it for the setting to matter."""
ELSEWHERE = {
    "autoencoder.text", "autoencoder.min_bleu4",  # test_autoencoder.py, test_train.py
    "projector.width",  # of the projector of poses: tests/finetune/test_settings.py
    "decoding.temperature", "decoding.diversity",  # refused: test_noise.py
}  # fmt: skip


def merged(mapping: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    inner = {
        key: merged(mapping[key], value) if isinstance(value, dict) else value for key, value in newer.items()
    }
    return mapping | inner


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def leaves(mapping: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in mapping.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


@pytest.fixture(scope="module")
def observed(
    diffusion_config: DiffusionConfig, copying_llm: Path
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that observes the settings of the tests with some of them changed."""
    from stage_two_fixtures import draw_clips

    known: dict[str, dict[str, Any]] = {}

    def observe(changed: dict[str, Any]) -> dict[str, Any]:
        if str(changed) not in known:
            mapping = merged(config_to_dict(diffusion_config), changed)
            config = config_from_dict(DiffusionConfig, mapping, origin="test")
            model = build_diffusion(str(copying_llm), [STREAM], config=config, device=CPU, texts=TEXTS)
            # A new denoiser predicts nothing, whatever it sees.
            torch.manual_seed(1)
            torch.nn.init.normal_(model.denoiser.out.weight, std=0.3)
            batch = collate_clips(draw_clips(), codec=model.codec)
            sentences = {"labels": batch["sentence_ids"], "decoder_prefix_ids": batch["decoder_prefix_ids"]}
            torch.manual_seed(2)
            losses = [
                model.train()(**batch)["loss"].item(),
                model.autoencoder.train()(**sentences)["loss"].item(),
            ]
            model.eval()
            with torch.no_grad():
                noise = model._noise(batch, config.decoding, 0)
                latents = model.sample(model._condition(batch), noise, config.decoding)
            known[str(changed)] = {
                "weights": {name: (tuple(p.shape), str(p.dtype)) for name, p in model.named_parameters()},
                "losses": losses,
                "rates": [group.get("lr") for group in model.parameter_groups()],
                "latents": latents.tolist(),
                "written": model.translate_n_best(batch, config.decoding, count=2),
            }
        return known[str(changed)]

    return observe


def test_every_setting_has_its_case() -> None:
    """Those of both trainings are the engine's: tests/training/test_settings.py."""
    named = leaves(asdict(DiffusionConfig()))
    own = {name for name in named if "training." not in name}
    assert own - ELSEWHERE == CHANGES.keys()


@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_changes_something(
    setting: str, observed: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    value, beside = CHANGES[setting]
    assert observed(merged(nested_all(beside), nested(setting, value))) != observed(nested_all(beside))


def nested_all(beside: dict[str, Any]) -> dict[str, Any]:
    """Return the settings beside, with a group for every setting of the tests."""
    groups = {group: {} for group in ("autoencoder", "projector", "denoiser", "decoding")}
    return groups | beside


def test_the_same_settings_change_nothing(observed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Else the tests above could not fail."""
    assert observed({}) == observed(nested_all({}))
