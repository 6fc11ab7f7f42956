"""Every setting of stage two changes something: what is trained, how, the loss, or what is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_two_fixtures import draw_clips, draw_pose_clips, write_clips

from fla_llm.core.config import config_from_dict, config_to_dict
from fla_llm.core.errors import ModelError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.train import build_model
from fla_llm.finetune.untranslatable import check_sentences

Observe = Callable[[dict[str, Any]], dict[str, Any]]
CPU = torch.device("cpu")
TEXTS = ["heute schneit", "heute regen", "regen", "heute"]
"""A word that the tokenizer does not know, and few of those that it knows."""
TIGHT = {"max_new_tokens": 3, "num_beams": 2}
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "quantise": ("nf4", {}),
    "train": ("projector", {}),
    "lora.rank": (8, {}),
    "lora.alpha": (64, {}),
    "lora.dropout": (0.5, {}),
    "lora.targets": ("q_proj,v_proj", {}),
    "lora.part": ("encoder", {"lora": {"part": "all"}}),
    "lora.rslora": (True, {}),
    "lora.dora": (True, {}),
    "lora.b_rate_ratio": (16.0, {}),
    "projector.kind": ("linear", {}),
    "projector.hidden_size": (8, {}),
    "projector.kernel": (3, {"projector": {"kind": "conv"}}),
    "projector.stride": (1, {"projector": {"kind": "conv"}}),
    "projector.width": (8, {"projector": {"kind": "poses"}}),
    "projector.norm": (False, {}),
    "projector.learning_rate": (0.5, {}),
    "projector_by_stream": ({"1": {"kind": "linear"}}, {}),
    "fuse": ("channels", {"fuse": "time"}),
    "prompt": ("Translate", {}),
    "prompt_place": ("before", {}),
    "prompt_by_language": ({"de": "Translate"}, {}),
    "prompt_by_task": ({"isolated": "Translate"}, {}),
    "examples": (1, {}),
    "trim_vocab": (True, {}),
    "allow_lossy_tokenizer": (True, {"allow_lossy_tokenizer": False}),
    "label_smoothing": (0.5, {}),
    "contrastive.weight": (1.0, {}),
    "contrastive.temperature": (1.0, {"contrastive": {"weight": 1.0}}),
    "contrastive.at": ("encoder", {"contrastive": {"weight": 1.0}}),
    "contrastive.translation_weight": (0.0, {"contrastive": {"weight": 1.0}, "train": "projector"}),
    "activation_checkpointing": (True, {}),
    "decoding.num_beams": (3, {}),
    "decoding.max_new_tokens": (2, {}),
    "decoding.length_penalty": (3.0, {}),
    "decoding.diversity": (5.0, {}),
    "seed": (7, {}),
}
"""Setting -> another value, and what must hold beside it for the setting to matter."""


def merged(mapping: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(mapping[key], value) if isinstance(value, dict) and isinstance(mapping.get(key), dict)
            and key != "prompt_by_language" else value for key, value in newer.items()}  # fmt: skip
    return mapping | both


def observe(config: TuneConfig, items: FeatureItems, llm: Path) -> dict[str, Any]:
    """Return all that a setting can change, of a model whose adapters change something."""
    model: StageTwoModel = build_model(items, llm=str(llm), config=config, device=CPU)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    batch = collate([items.get(number) for number in range(len(items))], codec=model.codec)
    torch.manual_seed(2)
    loss = model.train()(**batch)["loss"].item()
    model.eval()
    groups = [
        {key: value for key, value in group.items() if key != "params"} for group in model.parameter_groups()
    ]
    try:
        refused = None if check_sentences(model, items, None) else ""
    except ModelError:
        refused = "lossy"
    return {
        "weights": {name: (tuple(p.shape), p.dtype, p.requires_grad) for name, p in model.named_parameters()},
        "loss": loss,
        "groups": groups,
        "written": model.translate_n_best(batch, config.decoding, count=config.decoding.num_beams),
        "checkpointing": [getattr(m, "gradient_checkpointing", None) for m in model.modules()],
        "refused": refused,
    }


@pytest.fixture(scope="module")
def observed(
    config: TuneConfig, llm_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Observe:
    """Return a function that observes the settings of the tests with some of them changed."""
    base = config_to_dict(config) | {"quantise": "none", "allow_lossy_tokenizer": True}
    clips = [clip | {"text": text} for clip, text in zip(draw_clips(), TEXTS, strict=True)]
    clips[2]["task"] = "isolated"
    cache = write_clips(tmp_path_factory.mktemp("cache"), clips, splits=("train",))
    items = FeatureItems(open_caches([cache], "train"), view_seed=0)
    folder = write_clips(tmp_path_factory.mktemp("poses"), draw_pose_clips(), splits=("train",))
    other = write_clips(tmp_path_factory.mktemp("other"), clips, splits=("train",), encoder="f" * 64)
    poses = FeatureItems(open_caches([folder], "train"), view_seed=0)
    known: dict[str, dict[str, Any]] = {}

    def observe_changed(changed: dict[str, Any]) -> dict[str, Any]:
        mapping = merged(merged(base, {"decoding": TIGHT}), changed)
        if str(changed) not in known:
            made = config_from_dict(TuneConfig, mapping, origin="test")
            given = poses if made.projector.kind == "poses" else items
            # Only a run on several streams can join them.
            given = (
                FeatureItems(open_caches([cache, other], "train"), view_seed=0)
                if "fuse" in changed
                else given
            )
            # Only some models have an encoder.
            has_encoder = "contrastive" in changed or "part" in changed.get("lora", {})
            shape = "mbart" if has_encoder else "llama"
            known[str(changed)] = observe(made, given, llm_folder(shape))
        return known[str(changed)]

    return observe_changed


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def leaves(mapping: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in mapping.items():
        inside = isinstance(value, dict) and bool(value)
        found |= leaves(value, f"{prefix}{key}.") if inside else {f"{prefix}{key}"}
    return found


def test_every_setting_has_its_case() -> None:
    """Those of ``training`` are the engine's: tests/training/test_settings.py."""
    named = leaves(config_to_dict(TuneConfig()))
    own = {name for name in named if not name.startswith("training.")}
    assert own - {"decoding.temperature"} == CHANGES.keys()  # a run refuses it: tests/pipeline/test_n_best.py


@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_changes_something(
    setting: str, observed: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    value, beside = CHANGES[setting]
    assert observed(merged(beside, nested(setting, value))) != observed(beside)


def test_the_same_settings_change_nothing(observed: Observe) -> None:
    """Else the tests above could not fail."""
    assert observed({"quantise": "none"}) == observed({})
