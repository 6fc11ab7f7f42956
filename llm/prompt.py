"""Prompt: text between the features and the sentence."""

from collections.abc import Mapping, Sequence

from ..core.errors import ConfigError

LANGUAGE_NAMES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "ru": "Russian", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
DEFAULT_PROMPT = "Translate the signed {language} sentence:"


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


def prompt_for(language: str, prompt: str | None = None) -> str:
    """Return the prompt for sentences in ``language`` (an ISO code, for example ``de``).

    >>> prompt_for("de")
    'Translate the signed German sentence:'
    >>> prompt_for("xx")
    'Translate the signed sentence:'
    """
    template = DEFAULT_PROMPT if prompt is None else prompt
    text = template.format(language=LANGUAGE_NAMES.get(language, ""))
    # An unknown language leaves two spaces in the template.
    return " ".join(text.split())


def whole_prompt(
    language: str, *, prompt: str | None, prompts: Mapping[str, str], examples: Sequence[str]
) -> str:
    """Return the text after the features of clips in ``language``: each example on a line, then the prompt.

    Args:
        language: an ISO code.
        prompt: a template. None takes the default.
        prompts: templates of single languages, by code, in place of ``prompt``.
        examples: sentences in ``language``.

    >>> whole_prompt("de", prompt="{language}:", prompts={}, examples=["im norden regen"])
    'im norden regen\\nGerman:'
    """
    lines = "".join(f"{text}\n" for text in examples)
    return lines + prompt_for(language, prompts.get(language, prompt))
