"""Baselines of the demo: translators that see no order of signs, or only remember sentences."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ..scoring import score
from .corpus import ClipPlan
from .language import LANGUAGES, LanguageName

ORDERS = (1, 2, 3, 4)


def baseline_figures(plans: Sequence[ClipPlan]) -> dict[str, float]:
    """Return the BLEU-4 on test of two translators without a model.

    ``bag_of_signs`` knows the signs of each clip, but not their order, and the grammar.
    ``nearest_training_sentence`` says a sentence of the training split.
    """
    test = [plan for plan in plans if plan.split == "test"]
    references = [plan.text for plan in test]
    unordered = [best_without_order(plan.signs, language=plan.language) for plan in test]
    nearest = nearest_training_sentences(references, [plan.text for plan in plans if plan.split == "train"])
    return {
        "bag_of_signs": score(unordered, references).bleu4,
        "nearest_training_sentence": score(nearest, references).bleu4,
    }


def best_without_order(signs: Sequence[str], *, language: LanguageName) -> str:
    """Return the sentence that is most like all sentences with these signs, whatever their order.

    Likeness is the number of common n-grams, n from 1 to 4. All readings count alike, since the order of the
    same signs has no influence on the frequency of a sentence.
    """
    # Sorted: nothing of the order is left.
    texts = [reading.text for reading in LANGUAGES[language].readings(sorted(signs))]
    holders = Counter(gram for text in texts for gram in set(_grams(text)))
    return max(texts, key=lambda text: sum(holders[gram] for gram in set(_grams(text))))


def nearest_training_sentences(references: Sequence[str], training: Sequence[str]) -> list[str]:
    """Return for each reference the training sentence that is most like it: no memory can do better.

    Likeness is the share of common n-grams, n from 1 to 4.
    """
    grams = [set(_grams(text)) for text in training]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, own in enumerate(grams):
        for gram in own:
            holders[gram].append(index)
    nearest: list[str] = []
    for reference in references:
        wanted = set(_grams(reference))
        common = Counter(index for gram in wanted for index in holders.get(gram, ()))
        # The first of several is taken, and the first sentence if none shares a word.
        best = max(range(len(training)), key=lambda i: common[i] / (len(wanted) + len(grams[i])))
        nearest.append(training[best])
    return nearest


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = text.split()
    for order in ORDERS:
        for start in range(len(words) - order + 1):
            yield tuple(words[start : start + order])
