"""What is trained is what the settings say, and a saved run answers as it did, in every mode."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer

from fla_llm.configs import TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.core.errors import ConfigError, RunError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import LoraSettings, TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import describe_run, load_stage_two, save_stage_two
from fla_llm.finetune.train import tune
from fla_llm.llm.load import load_llm
from fla_llm.training.checkpoints import load_weights

CPU = torch.device("cpu")
Build = Callable[..., StageTwoModel]
TRAINED = {
    "lora+projector": {"lora", "projector"},
    "lora": {"lora"},
    "projector": {"projector"},
    "full": {"llm", "projector"},
}


def part_of(name: str) -> str:
    if name.startswith("projector."):
        return "projector"
    return "lora" if "lora_" in name else "llm"


def step(model: StageTwoModel, batch: dict[str, torch.Tensor]) -> None:
    optimiser = torch.optim.SGD([{"params": group["params"]} for group in model.parameter_groups()], lr=0.1)
    model(**batch)["loss"].backward()
    optimiser.step()


@pytest.mark.parametrize("train", TRAINED)
@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_what_is_not_trained_has_no_gradient_and_does_not_change(
    shape: str, train: str, build: Build, items: list
) -> None:
    model = build(shape, quantise="none", train=train).eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step(model, collate(items, codec=model.codec))
    changed = {part_of(n) for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    with_gradient = {part_of(name) for name, p in model.named_parameters() if p.grad is not None}
    assert changed == with_gradient == TRAINED[train]
    assert {part_of(name) for name in model.checkpoint_state()} == TRAINED[train] | {"projector"}


@pytest.mark.parametrize("train", TRAINED)
@pytest.mark.parametrize("shape", ["llama", "mbart", "t5"])
def test_a_saved_run_answers_as_it_did(
    shape: str, train: str, build: Build, config: TuneConfig, items: list, tmp_path: Path,
    other_modes: Callable[[Path], dict[str, str]],
) -> None:  # fmt: skip
    quantise = "none" if train == "full" else "nf4"
    decoding = replace(config.decoding, max_new_tokens=3)
    model = build(shape, quantise=quantise, train=train).eval()
    batch = collate(items, codec=model.codec)
    step(model, batch)
    save_stage_two(model, tmp_path / "run", description=describe_run(model, languages=["de"]))
    assert other_modes(tmp_path / "run") == {}
    loaded = load_stage_two(tmp_path / "run", device=CPU)
    with torch.no_grad():
        assert torch.equal(loaded(**batch)["loss"], model(**batch)["loss"])
    assert loaded.translate(batch, decoding) == model.translate(batch, decoding)


def test_a_loaded_run_starts_the_decoder_as_its_file_says(build: Build, tmp_path: Path) -> None:
    model = build("mbart", quantise="none", train="projector")
    model.codec.restore_decoder_prefixes({"de": [2, 5]})
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    assert load_stage_two(tmp_path, device=CPU).codec.decoder_prefix_ids("de") == [2, 5]


@pytest.mark.parametrize(("train", "part"), [("full", "llm/config.json"), ("projector", "run.json")])
def test_each_mode_has_its_own_parts(train: str, part: str, build: Build, tmp_path: Path) -> None:
    model = build("llama", quantise="none", train=train)
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    assert not (tmp_path / "lora").exists()
    (tmp_path / part).unlink()
    with pytest.raises(RunError, match=f"lacks {part}"):
        load_stage_two(tmp_path, device=CPU)


def test_a_run_whose_parts_are_being_replaced_is_not_whole(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llama", quantise="none")
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    monkeypatch.setattr(
        "fla_llm.finetune.store.save_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    with pytest.raises(RunError, match=r"lacks run.json"):
        load_stage_two(tmp_path, device=CPU)


def test_a_checkpoint_of_everything_restores_everything(build: Build, items: list) -> None:
    model, other = (build("mbart", quantise="none", train="full").eval() for _ in range(2))
    step(model, collate(items, codec=model.codec))
    other.load_checkpoint_state({name: t.clone() for name, t in model.checkpoint_state().items()})
    with torch.no_grad():
        assert torch.equal(
            model(**collate(items, codec=model.codec))["loss"],
            other(**collate(items, codec=model.codec))["loss"],
        )


def test_weights_in_few_bits_cannot_be_trained() -> None:
    with pytest.raises(ConfigError, match="'quantise' must be none where 'train' is full, but is nf4"):
        TuneConfig(train="full")


@pytest.mark.parametrize("settings", [{"dora": True}, {"rslora": True}, {"b_rate_ratio": 16.0}])
def test_variants_of_lora_train_and_are_loaded_as_they_were_saved(
    settings: dict, build: Build, items: list, tmp_path: Path
) -> None:
    model = build("llama", lora=LoraSettings(rank=4, alpha=8, dropout=0.0, **settings)).eval()
    batch = collate(items, codec=model.codec)
    step(model, batch)
    trained = [p for group in model.parameter_groups() for p in group["params"]]
    assert len({id(p) for p in trained}) == len(trained) == sum(p.requires_grad for p in model.parameters())
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    with torch.no_grad():
        assert torch.equal(load_stage_two(tmp_path, device=CPU)(**batch)["loss"], model(**batch)["loss"])


def test_rank_stabilised_adapters_are_scaled_by_the_root_of_the_rank(build: Build) -> None:
    model = build("llama", lora=LoraSettings(rank=16, alpha=8, rslora=True))
    scales = {layer.scaling["default"] for layer in model.modules() if isinstance(layer, LoraLayer)}
    assert scales == {8 / 16**0.5}


def test_lora_plus_gives_b_a_rate_of_its_own(build: Build) -> None:
    model = build("llama", lora=LoraSettings(rank=4, b_rate_ratio=16.0))
    groups = {group["name"]: group for group in model.parameter_groups()}
    names = {id(p): name for name, p in model.named_parameters()}
    assert groups["lora_b"]["lr_scale"] == 16.0
    assert all("lora_B" in names[id(p)] for p in groups["lora_b"]["params"])
    assert not any("lora_B" in names[id(p)] for p in groups["lora"]["params"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"b_rate_ratio": 0.0}, "'lora.b_rate_ratio' must be above 0"), ({"rank": 0}, "'lora.rank' must be at")],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoraSettings(**settings)


def test_the_papers_setting_trains_everything() -> None:
    paper = load_config(TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source="paper")
    assert (paper.train, paper.quantise, paper.label_smoothing) == ("full", "none", 0.2)
    assert (paper.training.learning_rate, paper.projector.learning_rate) == (1e-5, 1e-3)
    assert (paper.training.batch_clips, paper.training.schedule) == (16, "cosine")
    assert (paper.training.optimiser, paper.training.weight_decay) == ("adamw", 0.0)


def test_a_run_that_trains_everything_leaves_a_whole_language_model(
    llm_folder: Callable[[str], Path], config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache, run = write_cache(tmp_path / "cache", splits=("train",)), tmp_path / "run"
    training = replace(config.training, epochs=1, select="last", precision="bf16")
    own = replace(config, train="full", quantise="none", training=training)
    tune([cache], llm=str(llm_folder("mbart")), config=own, out=run, device="cpu")
    loaded = load_stage_two(run, device=CPU)
    weights = load_weights(run / "checkpoints/checkpoint-1")
    state = loaded.checkpoint_state()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in state)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}  # computed in bf16, kept whole
    llm = load_llm(str(run / "llm"), quantise="none", device=CPU, dtype=torch.float32)
    assert llm.tokenizer.eos_token_id == 2
