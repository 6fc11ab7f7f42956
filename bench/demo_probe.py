"""What a linear model reads from the demo's pictures, told the grammar: a bound for a corpus without order.

    python bench/demo_probe.py runs/demo                 # a finished folder of fla demo

Each clip becomes grey pictures of 24 x 24 pixels, averaged over 1 or 4 segments of time. A ridge regression,
trained on the sentences of the training split, scores each word for each role (subject, verb, object, ...).
The probe is told the grammar: it takes the best scored sentence of all combinations of roles that occur in
training, and the English of that sentence. The strength of the ridge is the best of dev. Beside the BLEU-4 on
test stand the baselines of the demo.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fla_llm.corpora.manifest import Manifest, read_manifest
from fla_llm.demo.baselines import baseline_figures
from fla_llm.demo.config import load_demo_config
from fla_llm.demo.corpus import ClipPlan, plan_clips
from fla_llm.demo.language import LANGUAGES, SignedSentence
from fla_llm.scoring import score
from fla_llm.video.frames import read_frames
from fla_llm.video.sampling import FrameSampling

SIDE, SEGMENTS, STRENGTHS = 24, (1, 4), (0.01, 0.1, 1.0, 10.0, 100.0)
Fields = dict[str, Any]
"""Word of each field of a sentence, or None."""
Structure = tuple[str, ...]
"""Names of the fields with a value."""


class Grammar:
    """Combinations of fields in training, and the words of each field in each combination."""

    def __init__(self, sentences: Sequence[Fields], make: Callable[..., SignedSentence]) -> None:
        """Collect from ``sentences``. ``make`` makes a sentence of its fields."""
        self.make = make
        self.words: dict[Structure, dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
        for sentence in sentences:
            structure = tuple(name for name, word in sentence.items() if word)
            for name in structure:
                self.words[structure][name].add(sentence[name])

    def best(self, scores: Mapping[str, Mapping[Any, float]]) -> Fields:
        """Return the fields of the best sentence.

        Args:
            scores: score of each word by field. The word None stands for an empty field.
        """
        best, best_total = {}, -np.inf
        for structure, words in self.words.items():
            chosen: Fields = {name: None for name in scores}
            for name in structure:
                chosen[name] = max(sorted(words[name], key=str), key=lambda word, own=scores[name]: own[word])
            total = sum(scores[name].get(word, 0.0) for name, word in chosen.items())
            if total > best_total:
                best, best_total = chosen, total
        return best


def fields_of(sentence: Any) -> Fields:
    """Return the fields of a sentence, None for each field without a sign."""
    return {name: word or None for name, word in asdict(sentence).items()}


def describe(manifest: Manifest, split: str, *, segments: int) -> np.ndarray:
    """Return the clips of a split as rows: mean grey pictures of ``segments`` equal parts of the time."""
    rows = []
    for sample in manifest.split(split):
        frames = read_frames(manifest.clip(sample), sampling=FrameSampling(stride=1), size=SIDE)
        parts = np.array_split(frames.mean(axis=3) / 255, segments)
        rows.append(np.concatenate([part.mean(axis=0).ravel() for part in parts]))
    return np.stack(rows)


def ridge(train: np.ndarray, targets: np.ndarray, other: np.ndarray, *, strength: float) -> np.ndarray:
    """Return the predictions for ``other`` of a ridge regression on ``train``, both centred."""
    middle, level = train.mean(axis=0), targets.mean(axis=0)
    centred = train - middle
    gram = centred.T @ centred + strength * np.eye(centred.shape[1])
    return (other - middle) @ np.linalg.solve(gram, centred.T @ (targets - level)) + level


def probe(
    train: np.ndarray, sentences: Sequence[Fields], other: np.ndarray, *, grammar: Grammar, strength: float
) -> list[str]:
    """Return a sentence for each row of ``other``."""
    columns = sorted({(n, w) for s in sentences for n, w in s.items()}, key=str)
    targets = np.array([[float(sentence[name] == word) for name, word in columns] for sentence in sentences])
    texts = []
    for row in ridge(train, targets, other, strength=strength):
        scores: dict[str, dict[Any, float]] = defaultdict(dict)
        for (name, word), value in zip(columns, row, strict=True):
            scores[name][word] = float(value)
        texts.append(grammar.make(**grammar.best(scores)).text)
    return texts


def measure(manifest: Manifest, plans: Sequence[ClipPlan], *, segments: int) -> tuple[float, float]:
    """Return the best strength on dev and the BLEU-4 on test."""
    language = LANGUAGES[plans[0].language]
    own = {split: [plan for plan in plans if plan.split == split] for split in ("train", "dev", "test")}
    # A single sign has no role.
    whole = [index for index, plan in enumerate(own["train"]) if len(plan.signs) > 1]
    sentences = [fields_of(language.read(own["train"][index].signs)) for index in whole]
    grammar = Grammar(sentences, language.make)
    pixels = {split: describe(manifest, split, segments=segments) for split in own}

    def bleu4(split: str, strength: float) -> float:
        train = pixels["train"][whole]
        said = probe(train, sentences, pixels[split], grammar=grammar, strength=strength)
        return score(said, [plan.text for plan in own[split]]).bleu4

    best = max(STRENGTHS, key=lambda strength: bleu4("dev", strength))
    return best, bleu4("test", best)


def main() -> None:
    """Print the probe's scores and the baselines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="a finished folder of fla demo")
    demo = parser.parse_args().demo
    config = load_demo_config(str(demo / "config.yaml"))
    plans, manifest = plan_clips(config.corpus, seed=config.seed), read_manifest(demo / "manifest.jsonl")
    for segments in SEGMENTS:
        strength, bleu4 = measure(manifest, plans, segments=segments)
        print(f"ridge on mean grey pixels, {segments} segment(s), strength {strength:g}: BLEU-4 {bleu4:.1f}")
    for name, bleu4 in baseline_figures(plans).items():
        print(f"{name.replace('_', ' ')}: BLEU-4 {bleu4:.1f}")


if __name__ == "__main__":
    main()
