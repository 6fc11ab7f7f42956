"""A trimmed model is the whole one with fewer tokens: in its logits, in what it says, and once loaded."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import MBartConfig, PreTrainedTokenizerFast

from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.errors import ModelError, RunError
from fla_llm.finetune.batching import feature_evaluation_set
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import describe_run, load_stage_two, save_stage_two
from fla_llm.finetune.train import plan
from fla_llm.llm.load import LanguageModel, load_llm
from fla_llm.llm.prompt import Prompts
from fla_llm.llm.quantised_copy import quantise_llm
from fla_llm.llm.text_codec import TextCodec
from fla_llm.llm.trim import trim
from fla_llm.llm.vocabulary import TrimmedTokenizer, keep_ids, needed_ids, read_kept_ids
from fla_llm.training.evaluation import predict

CPU = torch.device("cpu")
Folder = Callable[[str], Path]
KEPT = [0, 1, 2, 3, 5, 6, 11, 12, 13, 14, 15, 18]  # of 19: without sonne, morgen, heute, im, norden ...
CONFIG = TuneConfig(trim_vocab=True)


def load(folder: Path, quantise: str = "none") -> LanguageModel:
    return load_llm(str(folder), quantise=quantise, device=CPU, dtype=torch.float32)  # type: ignore[arg-type]


def logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    row = torch.tensor([ids])
    inputs = {"input_ids": row} | ({"decoder_input_ids": row} if model.config.is_encoder_decoder else {})
    with torch.no_grad():
        return model(**inputs).logits


def num_weights(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def tied(model: torch.nn.Module) -> bool:
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("shape", "quantise"),
    [
        *[(name, "none") for name in ("llama", "qwen3", "gemma3_text", "phi", "xglm")],
        *[(name, "none") for name in ("mbart", "m2m_100", "t5", "t5-untied", "granite")],
        *[(name, "nf4") for name in ("mbart", "t5-untied")],
        ("llama", "int8"),
    ],
)
def test_the_logits_are_those_of_the_whole_model(shape: str, quantise: str, llm_folder: Folder) -> None:
    llm = load(llm_folder(shape), quantise)
    model = llm.model
    is_tied, weights = tied(model), num_weights(model)
    expected = logits(model, [5, 2, 12])[..., KEPT]
    trim(llm, KEPT)
    assert torch.allclose(logits(model, [4, 2, 7]), expected, atol=1e-6)
    model.tie_weights(recompute_mapping=False)  # as the library does on its own, when it loads or resizes
    assert torch.allclose(logits(model, [4, 2, 7]), expected, atol=1e-6)
    assert tied(model) == is_tied
    bias = getattr(model.get_output_embeddings(), "bias", None)
    numbers = 64 * (1 if is_tied else 2) + (bias is not None)
    assert weights - num_weights(model) == (19 - len(KEPT)) * numbers


def test_the_tokenizer_is_as_it_was_and_its_text_comes_back(llm_folder: Folder) -> None:
    llm = load(llm_folder("mbart"))
    before = llm.tokenizer.backend_tokenizer.to_str()
    config = llm.model.config
    ids = needed_ids(
        llm.tokenizer,
        config,
        prompts=Prompts(),
        texts=["wind regen"],
        languages=["de"],
        tasks=["translate"],
        examples={"de": ["kommt"]},
    )
    assert {llm.tokenizer.convert_ids_to_tokens(i) for i in range(19) if i not in ids} == {
        "sonne", "morgen", "heute", "im", "norden"
    }  # fmt: skip
    trimmed = trim(llm, ids)
    codec = TextCodec(trimmed.tokenizer, config, prompts=Prompts())
    assert max(codec.target_ids("wind regen")) < len(ids) == config.vocab_size
    assert codec.decode(codec.target_ids("wind regen")) == "wind regen"
    assert trimmed.tokenizer.has_all_of("regen wind")
    assert not trimmed.tokenizer.has_all_of("regen heute")
    assert codec.target_ids("heute") == [trimmed.tokenizer.unk_token_id, codec.eos_id]
    assert llm.tokenizer.backend_tokenizer.to_str() == before


def test_language_codes_are_kept_and_mapped(tokenizer: PreTrainedTokenizerFast) -> None:
    own = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer._tokenizer.to_str()),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    own.add_tokens(["de_DE", "zh_CN"], special_tokens=True)
    config = MBartConfig(vocab_size=21, decoder_start_token_id=2)
    ids = needed_ids(
        own, config, prompts=Prompts(), texts=["wind"], languages=["de"], tasks=["translate"], examples={}
    )
    assert {19, 20} <= set(ids)
    assert ids == sorted(ids)
    trimmed = TrimmedTokenizer(own, ids)
    codec = TextCodec(trimmed, config, prompts=Prompts())
    assert [ids[i] for i in codec.decoder_prefix_ids("zh")] == [2, 20]
    codec.prompt_ids("zh")
    assert own.src_lang == trimmed.src_lang == "zh_CN"


def test_single_characters_and_bytes_are_kept() -> None:
    names = ["</s>", "▁", "a", "▁a", "雨", "<0xE4>", "regen", "▁im", "ab"]
    raw = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    own = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    config = MBartConfig(
        vocab_size=9, pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0,
        forced_eos_token_id=0,
    )  # fmt: skip
    ids = needed_ids(own, config, prompts=Prompts(), texts=[], languages=[], tasks=[], examples={})
    assert [names[i] for i in ids] == names[:6]


def test_a_character_of_several_bytes_is_kept() -> None:
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters, rain = sorted(in_bytes.alphabet()), in_bytes.pre_tokenize_str("ä")[0][0]
    names = ["</s>", *letters, rain, "Ġ" + rain, "ab", rain + rain]
    merges = [tuple(rain), ("Ġ", rain), ("a", "b"), (rain, rain)]
    raw = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    raw.pre_tokenizer, raw.decoder = in_bytes, decoders.ByteLevel()
    own = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    config = MBartConfig(vocab_size=len(names), forced_eos_token_id=None)
    ids = needed_ids(own, config, prompts=Prompts(default=""), texts=[], languages=[], tasks=[], examples={})
    assert {names[i] for i in range(len(names)) if i not in ids} == {"ab", rain + rain}


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_what_was_kept_is_said_as_by_the_whole_model(
    shape: str, build: Callable[..., StageTwoModel], llm_folder: Folder, items: list
) -> None:
    whole, llm = build(shape, quantise="none").eval(), load(llm_folder(shape))
    for model in (whole.language_model.model, llm.model):  # which would say special tokens alone
        model.get_input_embeddings().weight[:4] = 0
        model.get_output_embeddings().weight[:4] = 0
    greedy = replace(whole.config.decoding, num_beams=1)
    said = whole.translate(collate(items, codec=whole.codec), greedy)
    assert any(said)
    ids = needed_ids(
        llm.tokenizer,
        llm.model.config,
        prompts=Prompts(),
        texts=said,
        languages=["de"],
        tasks=["translate"],
        examples={},
    )
    assert len(ids) < 19
    torch.manual_seed(2)
    trimmed = StageTwoModel(
        trim(llm, ids), config=whole.config, feature_size=8, feature_fingerprint="e" * 64
    ).eval()
    assert trimmed.translate(collate(items, codec=trimmed.codec), greedy) == said


def test_a_loaded_run_translates_as_the_model_that_was_tuned(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable, items: list, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cache, run, settings = tmp_path / "cache", tmp_path / "run", tmp_path / "settings.yaml"
    for item in items[1:]:
        item["text"] = "wind kommt heute"
    write_cache(cache, splits=("train",))
    items[1]["text"] = "sonne im norden"
    write_cache(cache, splits=("dev",))
    write_config(config, settings)
    CliRunner().invoke(
        fla,
        [
            "tune", "--features", str(cache), "--llm", str(llm_folder("mbart")), "--out", str(run),
            "--config", str(settings), "--device", "cpu", "--trim-vocab", "--set", "training.epochs=1",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    rows = [json.loads(line) for line in (run / "predictions-dev.jsonl").read_text().splitlines()]
    kept = read_kept_ids(run)
    assert json.loads((run / "run.json").read_text())["trimmed_to"] == len(kept) < 19
    model = load_stage_two(run, device=CPU)
    assert "trimmed to 15 of 19 tokens" in capsys.readouterr().err
    dev = feature_evaluation_set(
        FeatureItems(open_caches([cache], "dev")), model=model, max_clips=2, max_tokens=64
    )
    said = predict(model, dev, decoding=config.decoding, device=CPU)
    assert {row["id"]: row["prediction"] for row in rows} == dict(zip(said.ids, said.hypotheses, strict=True))
    assert "sonne im norden" in dev.references
    (run / "kept_ids.json").unlink()
    with pytest.raises(RunError, match=r"lacks kept_ids\.json"):
        load_stage_two(run, device=CPU)


def test_dev_sentences_outside_are_counted(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable, items: list, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    items[0]["text"] = "wind"
    cache = write_cache(tmp_path / "cache", splits=("dev",))
    for item in items:
        item["text"] = "wind kommt"
    write_cache(cache, splits=("train",))
    own = replace(config, trim_vocab=True)
    plan([cache], llm=str(llm_folder("t5")), config=own, device="cpu")
    assert "2 of 4 dev sentences have tokens that were not kept" in capsys.readouterr().err


def test_a_run_goes_on_with_the_tokens_it_was_begun_with(tmp_path: Path) -> None:
    keep_ids(tmp_path, [0, 2])
    keep_ids(tmp_path, [0, 2])
    with pytest.raises(RunError, match="must be resumed with the sentences it was begun with"):
        keep_ids(tmp_path, [0, 2, 5])


@pytest.mark.parametrize("shape", ["llama", "t5-untied"])
def test_a_trimmed_model_that_is_trained_whole_is_saved_trimmed(
    shape: str, llm_folder: Folder, config: TuneConfig, items: list, tmp_path: Path
) -> None:
    full = replace(config, train="full", quantise="none", trim_vocab=True)
    model = StageTwoModel(
        trim(load(llm_folder(shape)), KEPT), config=full, feature_size=8, feature_fingerprint="e" * 64
    ).eval()
    batch = collate(items, codec=model.codec)
    model(**batch)["loss"].backward()
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=0.1).step()
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    loaded = load_stage_two(tmp_path, device=CPU)
    assert loaded.language_model.model.get_input_embeddings().weight.shape[0] == len(KEPT)
    with torch.no_grad():
        assert torch.equal(loaded(**batch)["loss"], model(**batch)["loss"])
    assert loaded.translate(batch, config.decoding) == model.translate(batch, config.decoding)


def test_a_quantised_copy_is_trimmed_as_its_original(llm_folder: Folder, tmp_path: Path) -> None:
    quantise_llm(str(llm_folder("mbart")), tmp_path / "copy", precision="fp32", device="cpu")
    copy, original = (
        trim(load(folder, "nf4"), KEPT).model for folder in (tmp_path / "copy", llm_folder("mbart"))
    )
    assert torch.equal(logits(copy, [4, 2, 7]), logits(original, [4, 2, 7]))


def test_every_id_of_the_config_is_mapped(llm_folder: Folder) -> None:
    llm = load(llm_folder("mbart"))
    llm.model.config.eos_token_id = [2, 5]
    llm.model.config.forced_bos_token_id = 6
    model = trim(llm, [0, 1, 2, 5, 6]).model
    assert (model.config.eos_token_id, model.config.forced_bos_token_id) == ([2, 3], 4)
    assert model.generation_config.decoder_start_token_id == model.config.decoder_start_token_id == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pad_token_id", -1, "'pad_token_id' must be a token that is kept, but is -1"),
        ("forced_bos_token_id", 4, "'forced_bos_token_id' must be a token that is kept, but is 4"),
        ("eos_token_id", [2, 4], "'eos_token_id' must be a token that is kept, but is 4"),
        ("suppress_tokens", [5], r"'suppress_tokens' must be empty .*, but is \[5\]"),
    ],
)
def test_an_id_that_cannot_be_mapped_is_refused(
    name: str, value: object, message: str, llm_folder: Folder
) -> None:
    llm = load(llm_folder("mbart"))
    setattr(llm.model.config, name, value)
    with pytest.raises(ModelError, match=message):
        trim(llm, KEPT)


def test_ids_beyond_the_model_are_refused(llm_folder: Folder) -> None:
    with pytest.raises(ModelError, match="must be below 19, the model's vocabulary, but reach 40"):
        trim(load(llm_folder("llama")), [*KEPT, 40])


def test_a_model_whose_logits_do_not_follow_is_refused(llm_folder: Folder) -> None:
    llm = load(llm_folder("llama"))

    def depend_on_size(module: object, given: object, found: Any) -> None:
        found.logits.mul_(found.logits.shape[-1])

    llm.model.register_forward_hook(depend_on_size)
    with pytest.raises(ModelError, match="logits of a trimmed 'llama' must be those of the whole model, but"):
        trim(llm, KEPT)


@pytest.mark.parametrize("content", [{"ids": [1]}, [2, 1], [1, 1], [-1, 2], ["a"]])
def test_a_damaged_list_of_kept_ids_is_refused(content: object, tmp_path: Path) -> None:
    keep_ids(tmp_path, [1, 2])
    assert read_kept_ids(tmp_path) == [1, 2]
    (tmp_path / "kept_ids.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"kept_ids.json must be a list of ascending token ids"):
        read_kept_ids(tmp_path)


def test_prompts_of_the_tasks_of_the_training_are_kept(llm_folder: Folder) -> None:
    llm = load(llm_folder("mbart"))
    prompts, found = Prompts(by_task={"isolated": "sonne", "recognise": "norden"}), {}
    for task in ("translate", "isolated"):
        found[task] = needed_ids(
            llm.tokenizer, llm.model.config, prompts=prompts, texts=["wind"], languages=["de"], tasks=[task],
            examples={},
        )  # fmt: skip
    more = set(found["isolated"]) - set(found["translate"])
    assert llm.tokenizer.convert_ids_to_tokens(sorted(more)) == ["sonne"]
    # A run may be asked for its task in any language: names of languages are kept too.
    named = Prompts(default="", by_task={"isolated": "{language}"})
    ids = needed_ids(
        llm.tokenizer, llm.model.config, prompts=named, texts=["wind"], languages=["de"], tasks=["isolated"],
        examples={},
    )  # fmt: skip
    assert llm.tokenizer.convert_tokens_to_ids("Chinese") in ids
