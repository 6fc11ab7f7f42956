"""``fla score``: score a file of hypotheses, or compare two."""

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.sample import SPLITS
from .options import emit, json_option, protocol_option

if TYPE_CHECKING:
    from ..scoring.sentences import Sentences

FILE = click.Path(path_type=Path)  # not exists=True: a path that is not there is input refused, exit code 1


@click.command()
@click.argument("hyps", type=FILE)
@click.argument("hyps_b", type=FILE, required=False)
@click.option(
    "--refs",
    multiple=True,
    type=FILE,
    help="References, or a manifest; a predictions file has its own. Repeated: several references.",
)
@click.option("--manifest", type=FILE, help="Check that the references are this manifest's sentences.")
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Of a manifest.")
@click.option("--language", metavar="CODE", help="de, en, zh, ...; else what the files say, else en.")
@protocol_option
@click.option("--intervals", is_flag=True, help="95 % intervals by bootstrap.")
@click.option(
    "--resamples",
    type=click.IntRange(min=2),
    metavar="N",
    default=1000,
    show_default=True,
    help="Test sets drawn for intervals and comparisons.",
)
@click.option("--train", type=FILE, help="Training sentences: counts those that the test repeats.")
@click.option("--baselines", is_flag=True, help="Score what sees no video too; needs --train.")
@click.option("--allow-missing", is_flag=True, help="Score the ids all files have, and count the others.")
@click.option("--export", type=FILE, metavar="DIR", help="Write what BLEURT, BERTScore and the like need.")
@json_option
@click.pass_context
def command(
    context: click.Context, hyps: Path, hyps_b: Path | None, refs: tuple[Path, ...], manifest: Path | None,
    split: str, language: str | None, protocol: str, intervals: bool, resamples: int, train: Path | None,
    baselines: bool, allow_missing: bool, export: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score HYPS, or compare it with HYPS_B: BLEU-1 to BLEU-4, ROUGE-L, chrF2, WER and exact match.

    A file holds plain lines, or TSV, CSV or JSON Lines with the columns id and prediction (or text). Where
    both sides have ids they are matched by id, else line by line. Two systems are compared by paired
    bootstrap. Exit code 1: references differ from those of --manifest; they are shown.
    """
    from ..scoring.score_files import ScoreRequest, score_files

    card = score_files(
        ScoreRequest(
            hypotheses=[path for path in (hyps, hyps_b) if path is not None],
            refs=_read_sentences(refs[0] if refs else None, split),
            further=[one for i, path in enumerate(refs) for one in _further(path, split, is_first=i == 0)],
            manifest=_read_sentences(manifest, split),
            language=language,
            protocol=protocol,
            intervals=intervals,
            resamples=resamples,
            train=_read_sentences(train, "train"),
            baselines=baselines,
            allow_missing=allow_missing,
            export=export,
        )
    )
    emit(as_json, card.to_dict(), card.describe())
    # Scores against other references cannot be compared, and a script must notice.
    context.exit(int(bool(card.differing)))


def _read_sentences(path: Path | None, split: str) -> "Sentences | None":
    """Return the sentences of a manifest's split, or the references in a file of sentences."""
    from ..corpora.manifest import is_manifest, read_manifest
    from ..scoring.sentences import Sentences, read_sentence_file

    if path is None:
        return None
    # The contents decide, because both kinds of file may end in .jsonl.
    if not is_manifest(path):
        return read_sentence_file(path).references()
    samples = read_manifest(path).split(split)
    return Sentences(
        source=f"{path} ({split})",
        texts=tuple(sample.text for sample in samples),
        ids=tuple(sample.id for sample in samples),
        languages=frozenset(sample.language for sample in samples),
    )


def _further(path: Path, split: str, *, is_first: bool) -> "list[Sentences]":
    """Return the further references in a file: those of a manifest, or the sentences of a further file."""
    from ..corpora.manifest import is_manifest, read_manifest
    from ..scoring.sentences import Sentences

    own = _read_sentences(path, split)
    columns = [] if is_first or own is None else [own]
    if is_manifest(path):
        samples = read_manifest(path).split(split)
        for texts in zip_longest(*(sample.references for sample in samples), fillvalue=""):
            ids = tuple(sample.id for sample in samples)
            columns.append(Sentences(source=f"{path} ({split})", texts=texts, ids=ids))
    return columns
