"""Steps of protocols on a sentence before any metric. Signatures carry the names of the steps."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """Change of a sentence, in some languages."""

    name: str
    """Name in a signature."""
    change: Callable[[str], str]
    """Function from a sentence to the changed sentence."""
    languages: tuple[str, ...] | None = None
    """ISO 639 codes of the languages, or None for all."""

    def concerns(self, language: str) -> bool:
        """Return whether the step changes text in a language, given by its primary code."""
        return self.languages is None or language in self.languages


def remove_final_stop(sentence: str) -> str:
    """Remove a final full stop that is a word of its own.

    >>> remove_final_stop("morgen regen .")
    'morgen regen'
    """
    # Only a full stop after a space: "12." is an ordinal number in German.
    return sentence.removesuffix(" .")


def add_final_stop(sentence: str) -> str:
    """Append a missing full stop as a word of its own. An empty sentence stays empty.

    >>> add_final_stop("morgen regen"), add_final_stop("morgen regen .")
    ('morgen regen .', 'morgen regen .')
    """
    return sentence if not sentence.strip() or sentence.endswith(" .") else f"{sentence} ."


def glue_final_stop(sentence: str) -> str:
    """Append a missing full stop to the last word. An empty sentence stays empty.

    >>> glue_final_stop("morgen regen"), glue_final_stop("morgen regen .")
    ('morgen regen.', 'morgen regen .')
    """
    return sentence if not sentence.strip() or sentence.endswith(".") else f"{sentence}."


def space_characters(sentence: str) -> str:
    """Put a space between the characters of a sentence without spaces.

    >>> space_characters("他几岁?"), space_characters("他 几 岁?")
    ('他 几 岁 ?', '他 几 岁?')
    """
    return sentence if " " in sentence else " ".join(sentence)


def respace_characters(sentence: str) -> str:
    """Remove all spaces, then put a space between any two characters.

    >>> respace_characters("他 几 岁?")
    '他 几 岁 ?'
    """
    return " ".join(sentence.replace(" ", "").replace("\n", ""))


def halve_commas(sentence: str) -> str:
    """Write the full-width comma and question mark in half width.

    >>> halve_commas("今天，几岁？")
    '今天,几岁?'
    """
    # Uni-Sign replaces these two marks in references alone.
    return sentence.replace("，", ",").replace("？", "?")


GERMAN, CHINESE = ("de",), ("zh",)
LOWERCASED = Step(name="lowercased", change=str.lower)
FINAL_STOP_REMOVED = Step(name="final-stop-removed", change=remove_final_stop, languages=GERMAN)
FINAL_STOP_ADDED = Step(name="final-stop-added", change=add_final_stop, languages=GERMAN)
FINAL_STOP_GLUED = Step(name="final-stop-glued", change=glue_final_stop, languages=GERMAN)
CHARACTERS_SPACED = Step(name="characters-spaced", change=space_characters, languages=CHINESE)
CHARACTERS_RESPACED = Step(name="characters-respaced", change=respace_characters, languages=CHINESE)
COMMAS_HALVED = Step(name="commas-halved", change=halve_commas, languages=CHINESE)
