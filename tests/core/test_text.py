"""Text that is stored and text that is shown: every character that harms a file or a terminal is found."""

import json
import unicodedata

import pytest

from fla_llm.core.text import find_unstorable, one_line, printable, printable_json

OVERRIDES = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
HARMFUL = [
    chr(code)
    for code in range(0x11000)
    if unicodedata.category(chr(code)) in ("Cc", "Cs") or chr(code) in OVERRIDES
]


def test_no_control_character_is_printed_and_no_other_is_touched() -> None:
    harmful = "".join(set(HARMFUL) - {"\n", "\t"})
    shown = printable(f"a{harmful}z")
    assert not set(shown) & set(harmful)
    shown.encode()
    assert printable("größe 天气 \u200fעברית\n\tend") == "größe 天气 \u200fעברית\n\tend"
    assert one_line("a\nb\r") == r"a\nb\r"


def test_printable_json_has_the_same_content() -> None:
    content = {"id": "-".join(HARMFUL), "天": ["\U0001f600"]}
    shown = printable_json(json.dumps(content, ensure_ascii=False, indent=2))
    assert not set(shown) & (set(HARMFUL) - {"\n"})
    assert json.loads(shown) == content


@pytest.mark.parametrize(
    ("text", "found"),
    [("wind \udc80", "U+DC80, half of a surrogate pair, at character 6"), ("\x00", "U+0000 at character 1")],
)
def test_a_character_that_no_file_holds_is_named(text: str, found: str) -> None:
    assert find_unstorable(text) == found
    assert find_unstorable("größe \U0001f600\x1b") is None
