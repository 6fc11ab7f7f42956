"""Overlap of splits: by hand, against a search over all pairs, and on the sentences of a real corpus."""

import gzip
import io
import json
import pickle
import random
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core.sample import Sample, Split
from fla_llm.corpora import Manifest, read_manifest, write_manifest
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.overlap import SHORTEST, Overlap, find_near, find_overlaps
from fla_llm.corpora.prepare import prepare
from fla_llm.corpora.report import describe, report
from fla_llm.scoring.word_errors import count_edits

_NUMBERS = count()


def sample(split: Split, text: str, signer: str | None = None) -> Sample:
    return Sample(
        id=f"clip {next(_NUMBERS)}", split=split, video="a.mp4", text=text, language="de", num_frames=8,
        fps=25.0, signer=signer,
    )  # fmt: skip


def overlap(train: list[str], test: list[str]) -> tuple[int, int]:
    """Return equal sentences and near-duplicates of test in train."""
    samples = [*(sample("train", text) for text in train), *(sample("test", text) for text in test)]
    (found,) = find_overlaps(samples)
    return found.sentences, found.near_duplicates


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ("am tag regnet es im norden .", "am tag regnet es im norden .", (1, 0)),
        # White space and the Unicode form of a letter make no other sentence.
        ("im s\u00fcden  regen", "im su\u0308den regen", (1, 0)),
        # Case and punctuation do, and leave a near-duplicate.
        ("Am Tag, Regen im Norden!", "am tag regen im norden", (0, 1)),
        ("heute regnet es im norden", "morgen regnet es im norden", (0, 1)),
        ("am tag regnet es im hohen norden", "am tag regnet es im norden", (0, 1)),
        ("am tag regnet es im norden", "am tag regnet es im hohen norden", (0, 1)),
        # Two words differ, or one word moves.
        ("heute regnet es im norden", "morgen schneit es im norden", (0, 0)),
        ("heute regnet es im norden", "es regnet heute im norden", (0, 0)),
        # Another word is another sentence where there are few words.
        ("guten morgen", "guten abend", (0, 0)),
        ("Guten Abend!", "guten abend", (0, 1)),
        # Scripts without spaces: by character.
        ("今天星期几？", "今天星期六。", (0, 1)),
        ("今天星期几？", "明天星期六。", (0, 0)),
        # Marks alone have no words in common.
        ("...", "!", (0, 0)),
    ],
)
def test_sentences_by_hand(train: str, test: str, expected: tuple[int, int]) -> None:
    assert overlap([train, "etwas ganz anderes steht hier"], [test]) == expected


def test_near_duplicates_are_those_of_a_search_over_all_pairs() -> None:
    draw = random.Random(0)
    sentences, others = (
        {tuple(draw.choices("abc", k=draw.randint(1, 7))) for _ in range(150)} for _ in range(2)
    )
    expected = {
        words
        for words in sentences
        for other in others
        if sum(count_edits(words, other)) <= (1 if len(words) >= SHORTEST else 0)
    }
    assert find_near(sentences, others) == expected
    assert 0 < len(expected) < len(sentences)


def test_every_clip_counts_and_pairs_without_clips_are_left_out() -> None:
    samples = [sample("train", "a"), *(sample("dev", "a") for _ in range(3)), sample("dev", "b")]
    (found,) = find_overlaps(samples)
    assert (found.split, found.other, found.clips, found.sentences) == ("dev", "train", 4, 3)
    assert find_overlaps(samples[:1]) == []


def test_signers_are_counted_where_they_are_known() -> None:
    samples = [
        sample("train", "a", "ada"), sample("train", "b", "ben"),
        sample("dev", "c", "ada"), sample("dev", "d", "cem"),
        sample("test", "e", "dora"), sample("test", "f"),
    ]  # fmt: skip
    found = {(each.split, each.other): (each.signers, each.all_signers) for each in find_overlaps(samples)}
    assert found == {("dev", "train"): (1, 2), ("test", "train"): (0, 1), ("test", "dev"): (0, 1)}


@pytest.mark.parametrize("corpus", ["phoenix", "csl", "how2sign", "table"])
def test_header_screen_and_json_tell_the_same(
    corpus: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(corpus)
    name = {"phoenix": "phoenix14t", "csl": "csl-daily"}.get(corpus, corpus)
    prepared = prepare(name, source, config=PrepareConfig())
    write_manifest(tmp_path / "manifest.jsonl", prepared.manifest)
    header = json.loads((tmp_path / "manifest.jsonl").read_text().split("\n")[0])
    assert header["overlaps"] == describe(prepared)["overlaps"]
    assert [Overlap(**each) for each in header["overlaps"]] == prepared.manifest.overlaps != []
    for each in prepared.manifest.overlaps:
        line = next(
            row for row in report(prepared).splitlines() if row.startswith(f"{each.split} in {each.other}")
        )
        assert f" {each.sentences} (" in line
    assert read_manifest(tmp_path / "manifest.jsonl").overlaps == prepared.manifest.overlaps


def test_a_manifest_without_the_count_is_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, Manifest(corpus="table", root=tmp_path, samples=(sample("train", "a"),)))
    header, *rows = path.read_text().split("\n")
    older = {key: value for key, value in json.loads(header).items() if key != "overlaps"}
    path.write_text("\n".join([json.dumps(older), *rows]))
    assert len(read_manifest(path).samples) == 1


def read_annotations(path: Path) -> list[dict[str, Any]]:
    """Read a pickle of plain lists, dicts and texts. Anything else in the file is refused."""

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            raise pickle.UnpicklingError(f"{module}.{name} is no plain content")

    return Plain(io.BytesIO(gzip.decompress(path.read_bytes()))).load()


def test_phoenix_shares_sentences_and_signers(shared_data: Path) -> None:
    splits: tuple[Split, ...] = ("train", "dev", "test")
    samples = [
        sample(split, row["text"], row["signer"])
        for split in splits
        for row in read_annotations(shared_data / f"phoenix14t/{split}.annotations_only")
    ]
    found = {(each.split, each.other): each for each in find_overlaps(samples)}
    in_train = found["test", "train"]
    # 32 test sentences stand letter for letter in train (docs/scoring.md).
    assert (in_train.clips, in_train.sentences) == (642, 32)
    assert in_train.near_duplicates > 0
    assert in_train.signers == in_train.all_signers == 9
