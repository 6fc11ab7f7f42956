"""Laws of generation: beams, diverse beams, their scores, and what a checkpoint's own wishes count."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fla_llm.core.errors import ConfigError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.conditioned_lm import up_to_end
from fla_llm.llm.diverse_beams import DiverseGroups
from fla_llm.llm.load import load_llm
from fla_llm.training.config import DecodingConfig
from fla_llm.training.model import IGNORED

Build = Callable[..., StageTwoModel]
DRAWN = DecodingConfig(num_beams=4, max_new_tokens=5, temperature=0.8)
BEAMS = DecodingConfig(num_beams=4, max_new_tokens=5, length_penalty=0.7)
GREEDY = replace(BEAMS, num_beams=1)
DIVERSE = replace(BEAMS, diversity=1.5)


def next_log_likelihoods(model: StageTwoModel, item: dict, said: list[int]) -> Tensor:
    """Return log-likelihoods (V,) of one clip's next token, from the whole model's own logits, uncached."""
    source = model._conditioning(collate([item], codec=model.codec))
    (given,) = model.conditioned_lm.conditioning_rows(source)
    new = torch.tensor([said], dtype=torch.long)
    if model.llm.config.is_encoder_decoder:
        read = torch.cat([source.decoder_prefix_ids, new], dim=1)
        logits = model.llm(inputs_embeds=given[None], decoder_input_ids=read).logits
    else:
        logits = model.llm(
            inputs_embeds=torch.cat([given[None], model.conditioned_lm.embed_ids(new)], dim=1)
        ).logits
    return logits[0, -1].log_softmax(dim=-1)


def interleaved(model: StageTwoModel, item: dict, decoding: DecodingConfig) -> list[tuple[float, list[int]]]:
    """Search as the paper tells it: at each step a token for every beam in turn; scored, best first."""
    said: list[list[int]] = [[] for _ in range(decoding.num_beams)]
    sums = [0.0] * decoding.num_beams
    for _ in range(decoding.max_new_tokens):
        taken: list[int] = []
        for beam, tokens in enumerate(said):
            if tokens and tokens[-1] == model.codec.eos_id:
                continue
            known = next_log_likelihoods(model, item, tokens)
            told = known.tolist()
            for token in taken:
                told[token] -= decoding.diversity
            best = max(range(len(told)), key=told.__getitem__)
            taken.append(best)
            tokens.append(best)
            sums[beam] += known[best].item()
    scores = [total / len(row) ** decoding.length_penalty for total, row in zip(sums, said, strict=True)]
    return sorted(zip(scores, said, strict=True), key=lambda pair: -pair[0])


def found_ids(model: StageTwoModel, items: list, decoding: DecodingConfig) -> list[list[list[int]]]:
    with torch.no_grad():
        ids = model.conditioned_lm.search(
            model._conditioning(collate(items, codec=model.codec)), decoding
        ).ids
    labels = [up_to_end(rows, eos_id=model.codec.eos_id).tolist() for rows in ids]
    return [[[token for token in row if token != IGNORED] for row in rows] for rows in labels]


@pytest.mark.parametrize("shape", ["llama", "granite", "mbart", "t5"])
def test_a_score_is_the_one_that_beam_search_went_by(
    shape: str, build: Build, items: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(shape, quantise="none").eval()
    generate, kept = model.conditioned_lm.llm.generate, []

    def scored(**settings: object) -> Tensor:
        done = generate(**settings, return_dict_in_generate=True, output_scores=True)
        kept.append(done.sequences_scores)
        return done.sequences

    monkeypatch.setattr(model.conditioned_lm.llm, "generate", scored)
    with torch.no_grad():
        found = model.conditioned_lm.search(
            model._conditioning(collate(items, codec=model.codec)), BEAMS, n_best=3
        )
    torch.testing.assert_close(found.scores.flatten(), kept[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", ["llama", "mbart", "t5"])
def test_diverse_search_is_the_interleaved_one_of_the_paper(shape: str, build: Build, items: list) -> None:
    items = items[1:3]
    model = build(shape, quantise="none").eval()
    model.conditioned_lm.pad_id = (
        model.codec.eos_id
    )  # as many models have it: what follows an end is no choice
    with torch.no_grad():
        found = model.conditioned_lm.search(model._conditioning(collate(items, codec=model.codec)), DIVERSE)
        expected = [interleaved(model, item, DIVERSE) for item in items]
    assert found_ids(model, items, DIVERSE) == [[ids for _, ids in clip] for clip in expected]
    scores = torch.tensor([[score for score, _ in clip] for clip in expected])
    torch.testing.assert_close(found.scores, scores, atol=1e-4, rtol=0)


def test_what_follows_an_end_is_no_choice() -> None:
    penalty = DiverseGroups(groups=3, diversity=1.0, prefix_length=1, eos_id=2)
    scores = torch.tensor([[0.0, 0.9, 0.0, 0.5]]).repeat(6, 1)
    said = torch.tensor([[2, 3, 2, 0], [2, 1, 3, 3], [2, 3, 3, 3]])
    chosen = penalty(torch.cat([said, said.roll(1, dims=0)]), scores).argmax(dim=1)
    assert chosen.tolist() == [1, 1, 3, 1, 3, 3]


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_without_diversity_every_beam_is_greedy_and_with_much_none_begins_alike(
    shape: str, build: Build, items: list
) -> None:
    model = build(shape, quantise="none").eval()
    greedy = [[ids] * 4 for (ids,) in found_ids(model, items, GREEDY)]
    assert found_ids(model, items, replace(DIVERSE, diversity=1e-9)) == greedy
    for beams in found_ids(model, items, replace(DIVERSE, diversity=1e6)):
        assert len({ids[0] for ids in beams}) == 4


@pytest.mark.parametrize(
    ("shape", "decoding"),
    [
        *[(shape, BEAMS) for shape in ("llama", "qwen3", "gemma3_text", "granite", "xglm")],
        *[(shape, BEAMS) for shape in ("mbart", "m2m_100", "t5")],
        *[(shape, DIVERSE) for shape in ("llama", "mbart")],
    ],
)
def test_in_fp32_the_text_is_the_same_under_any_batching(
    shape: str, decoding: DecodingConfig, build: Build, items: list
) -> None:
    model = build(shape, quantise="none").eval()

    def said(batches: list[list[int]]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for batch in batches:
            source = model._conditioning(collate([items[i] for i in batch], codec=model.codec))
            with torch.no_grad():
                ids = model.conditioned_lm.generate(source, replace(decoding, max_new_tokens=4))
            ended = up_to_end(ids, eos_id=model.codec.eos_id).tolist()
            found.update(zip(batch, [[id for id in row if id != IGNORED] for row in ended], strict=True))
        return found

    assert said([[0], [1], [2], [3]]) == said([[2, 0, 3], [1]]) == said([[3, 1, 0, 2]])


def test_diverse_sentences_are_given_once_the_best_first(build: Build, items: list) -> None:
    model = build("llama", quantise="none").eval()
    batch = collate(items, codec=model.codec)
    for diversity in (1e-9, 1.5):
        decoding = replace(DIVERSE, diversity=diversity)
        rows = model.translate_n_best(batch, decoding, count=3)
        assert [found[0]["text"] for found in rows] == model.translate(batch, decoding)
        for found in rows:
            texts, scores = ([hypothesis[key] for hypothesis in found] for key in ("text", "score"))
            assert len(texts) == len(set(texts)) == (1 if diversity < 0.1 else len(texts)) <= 3
            assert scores == sorted(scores, reverse=True)
    assert any(len(found) > 1 for found in rows)
    with pytest.raises(ConfigError, match="num_beams must be at least 5 for --n-best 5, but is 4"):
        model.translate_n_best(batch, DIVERSE, count=5)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_tokens_are_drawn_from_the_distribution_of_the_model(shape: str, build: Build, items: list) -> None:
    model = build(shape, quantise="none").eval()
    batch = collate(items[:1], codec=model.codec)

    def drawn(temperature: float, *, seed: int) -> list[int]:
        torch.manual_seed(seed)
        decoding = replace(DRAWN, temperature=temperature, max_new_tokens=1)
        with torch.no_grad():
            source = model._conditioning(batch)
            return model.conditioned_lm._samples(source, decoding, count=1000)[0, :, 0].tolist()

    assert drawn(1.0, seed=3) == drawn(1.0, seed=3) != drawn(1.0, seed=4)
    # Near temperature 0 every draw is the greedy token; a high temperature reaches most of the vocabulary.
    assert set(drawn(1e-4, seed=0)) == {drawn(1e-4, seed=1)[0]}
    cold, hot = (Counter(drawn(temperature, seed=0)) for temperature in (0.2, 100.0))
    assert max(cold.values()) > 2 * max(hot.values())
    assert len(hot) > 0.9 * len(model.codec.tokenizer)
    torch.manual_seed(0)
    for found in model.translate_n_best(batch, DRAWN, count=4):
        scores = [hypothesis["score"] for hypothesis in found]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_a_checkpoints_own_generation_settings_count_for_nothing(
    shape: str, build: Build, items: list, llm_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "wilful"
    shutil.copytree(llm_folder(shape), folder)
    file = folder / "generation_config.json"
    wishes = {
        "do_sample": True, "temperature": 5.0, "top_k": 3, "repetition_penalty": 5.0, "num_beams": 7,
        "num_beam_groups": 7, "diversity_penalty": 1.0, "early_stopping": True, "min_length": 5,
        "max_length": 9, "length_penalty": 3.0, "no_repeat_ngram_size": 1, "forced_bos_token_id": 5,
        "forced_eos_token_id": 7, "suppress_tokens": [4, 6], "use_cache": False,
    }  # fmt: skip
    file.write_text(json.dumps(json.loads(file.read_text()) | wishes))
    plain = build(shape, quantise="none").eval()
    base = load_llm(str(folder), quantise="none", device=torch.device("cpu"), dtype=torch.float32)
    torch.manual_seed(2)
    wilful = StageTwoModel(base, config=plain.config, feature_size=8, feature_fingerprint="e" * 64).eval()
    batch = collate(items, codec=plain.codec)
    for decoding in (GREEDY, BEAMS, DIVERSE, DRAWN):
        said = []
        for model in (plain, wilful):
            torch.manual_seed(0)
            said.append(model.translate_n_best(batch, decoding, count=decoding.num_beams))
        assert said[0] == said[1]
