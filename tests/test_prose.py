"""The English of the package, counted: openers of docstrings, pronouns, semicolons and comments.

Docstrings are short main clauses with nouns, and comments give the reason of a line.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
OPENERS = {
    "what", "how", "which", "where", "who", "whose", "when", "why", "those", "of", "so", "as", "in", "by",
}  # fmt: skip
PRONOUNS = {
    "it", "they", "them", "one", "ones", "what", "its", "their", "others", "those", "that", "such",
}  # fmt: skip
FOR_TOOLS = re.compile(r"#\s*(fmt:|type:|noqa|pyright:|!)")
WORD = re.compile(r"[A-Za-z']+")


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Yield every docstring, of attributes too."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for entry in body if isinstance(body, list) else []:
            match entry:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield text.strip()


def count(text: str) -> Counter[str]:
    """Return the counts of a source file."""
    counts: Counter[str] = Counter(lines=sum(bool(line.strip()) for line in text.splitlines()))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        counts["comments"] += token.type == tokenize.COMMENT and not FOR_TOOLS.match(token.string)
    for docstring in docstrings(ast.parse(text)):
        words = [word.lower() for word in WORD.findall(docstring.split("\n\n")[0])]
        first = WORD.match(docstring)
        counts.update(docstrings=1, words=len(words), semicolons=docstring.count(";"))
        counts["openers"] += first is not None and first[0].lower() in OPENERS
        counts["pronouns"] += sum(word in PRONOUNS for word in words)
    return counts


def faults(counts: Counter[str]) -> list[str]:
    """Return a line for each goal that the counts miss."""
    goals = [
        (100 * counts["openers"] <= counts["docstrings"], "openers: more than 1 % of the docstrings"),
        (40 * counts["pronouns"] <= counts["words"], "pronouns: more than 2.5 % of the first paragraphs"),
        (10 * counts["semicolons"] <= counts["docstrings"], "semicolons: more than 0.1 a docstring"),
        (round(100 * counts["comments"] / counts["lines"], 1) >= 4, "comments: fewer than 4 in 100 lines"),
    ]
    return [f"{fault} ({dict(counts)})" for is_met, fault in goals if not is_met]


def test_the_package_is_written_in_short_main_clauses_with_reasons() -> None:
    rooms = {
        room: sum((count(path.read_text(encoding="utf-8")) for path in (ROOT / room).glob("*.py")), Counter())
        for room in ROOMS
    }
    behind = {room: found for room, counts in rooms.items() if (found := faults(counts))}
    assert faults(sum(rooms.values(), Counter())) == [], f"rooms that pull the whole down: {behind}"


def test_each_kind_of_fault_is_counted() -> None:
    good = '"""Return the sum."""\n# The order matters: the cache is filled from the left.\nx = 1\n'
    assert faults(count(good)) == []
    poor = '"""What it gives; see below."""\n' + "x = 1\n" * 50
    assert [fault.split(":")[0] for fault in faults(count(poor))] == [
        "openers",
        "pronouns",
        "semicolons",
        "comments",
    ]
