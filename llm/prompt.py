"""Prompt: text beside the features, which tells the language model its task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import ConfigError
from ..core.sample import DEFAULT_TASK, Task

LANGUAGE_NAMES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "ru": "Russian", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
DEFAULT_PROMPTS: dict[Task, str] = {
    "translate": "Translate the signed {language} sentence:",
    "recognise": "Write the glosses of the signed {language} sentence:",
    "isolated": "Name the signed {language} word:",
}
"""Prompt of each task, if the settings give none."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Templates of the prompts of a run. ``{language}`` is the language name."""

    default: str | None = None
    """Template of translations. None: the default of fla. ``""``: no text."""
    by_language: Mapping[str, str] = field(default_factory=dict[str, str])
    """Templates of translations into single languages, by ISO code, in place of ``default``."""
    by_task: Mapping[str, str] = field(default_factory=dict[str, str])
    """Templates of the other tasks. A task without an entry has the default of fla."""

    def prompt(self, language: str, task: Task = DEFAULT_TASK) -> str:
        """Return the prompt for clips of a task in ``language`` (an ISO code, for example ``de``).

        >>> Prompts().prompt("de")
        'Translate the signed German sentence:'
        >>> Prompts().prompt("xx")
        'Translate the signed sentence:'
        >>> Prompts(by_task={"recognise": "Glosses:"}).prompt("de", "recognise")
        'Glosses:'
        """
        template = self.by_task.get(task)
        if task == DEFAULT_TASK:
            template = self.by_language.get(language, self.default)
        if template is None:
            template = DEFAULT_PROMPTS[task]
        text = template.format(language=LANGUAGE_NAMES.get(language, ""))
        # An unknown language leaves two spaces in the template.
        return " ".join(text.split())

    def whole(self, language: str, task: Task = DEFAULT_TASK, *, examples: Sequence[str]) -> str:
        """Return the text beside the features: each example on a line, then the prompt.

        Args:
            language: an ISO code.
            task: task of the clip.
            examples: texts of the same language and task.

        >>> Prompts(default="{language}:").whole("de", examples=["im norden regen"])
        'im norden regen\\nGerman:'
        """
        return "".join(f"{text}\n" for text in examples) + self.prompt(language, task)


def check_prompt(prompt: str | None) -> None:
    """Refuse a prompt with a placeholder other than ``{language}``.

    Raises:
        ConfigError: the prompt holds another placeholder. The message shows the prompt.
    """
    try:
        (prompt or "").format(language="German")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"'prompt' must hold no placeholder but {{language}}, but is {prompt!r}.\n"
            "Double a brace that is meant as text: {{ or }}."
        ) from error


def examples_key(language: str, task: Task) -> str:
    """Return the key of the examples of a language and a task, as ``run.json`` has the key.

    >>> examples_key("de", "translate"), examples_key("de", "recognise")
    ('de', 'de/recognise')
    """
    # Runs from before there were tasks have the language alone.
    return language if task == DEFAULT_TASK else f"{language}/{task}"
