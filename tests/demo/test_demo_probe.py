"""bench/demo_probe.py: the linear probe that is told the grammar."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fla_llm.demo.corpus import DemoConfig, plan_clips, write_demo_corpus
from fla_llm.demo.language import LANGUAGES

BENCH = Path(__file__).parents[2] / "bench"
TEXTS = ("anna show dog ben", "ben see anna", "dog see ben call anna", "old dog see ben")


@pytest.fixture(scope="module")
def probe() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module("demo_probe")


def test_the_probe_says_sentences_and_learns_what_pictures_tell(probe: Any) -> None:
    language = LANGUAGES["order"]
    sentences = [language.read(text.split()) for text in TEXTS]
    fields = [probe.fields_of(sentence) for sentence in sentences]
    grammar = probe.Grammar(fields, language.make)
    pictures = np.eye(len(TEXTS))  # each clip has a pixel of its own
    said = probe.probe(pictures, fields, pictures, grammar=grammar, strength=1e-6)
    assert said == [sentence.text for sentence in sentences if sentence is not None]
    # Between two sentences the grammar still holds: a verb of giving has a recipient.
    mixed = (pictures[0] + 0.9 * pictures[1])[None]
    (text,) = probe.probe(pictures, fields, mixed, grammar=grammar, strength=1e-6)
    assert (" to " in text) == (" shows " in text)


@pytest.mark.parametrize("language", ["roles", "order"])
def test_a_corpus_is_measured(probe: Any, language: str, tmp_path: Path) -> None:
    sizes = DemoConfig(
        language=language, train_clips=6, single_sign_clips=2, dev_clips=2, test_clips=2, image_size=16
    )
    manifest = write_demo_corpus(tmp_path, config=sizes, seed=0, workers=1)
    strength, bleu4 = probe.measure(manifest, plan_clips(sizes, seed=0), segments=2)
    assert strength in probe.STRENGTHS
    assert 0 <= bleu4 <= 100
