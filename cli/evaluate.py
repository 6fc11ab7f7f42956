"""``fla evaluate``: score a run of either stage on a split."""

from pathlib import Path

import click

from ..core.sample import SPLITS
from .options import (
    FiniteRange,
    config_options,
    device_option,
    emit,
    json_option,
    limit_option,
    llm_option,
    protocol_option,
    root_option,
    seed_option,
)


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--features",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A feature cache (stage two); once for each, in the order of fla tune.",
)
@llm_option
@click.option("--manifest", type=click.Path(dir_okay=False, path_type=Path), help="A manifest (stage one).")
@root_option
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option(
    "--shuffle-features",
    is_flag=True,
    help="Show each clip the features of one with another sentence: what the model scores by guessing.",
)
@click.option(
    "--phase", type=click.IntRange(min=0), default=0, show_default=True, help="First frame kept (stage one)."
)
@click.option(
    "--n-best", type=click.IntRange(min=1), metavar="N", help="Write N scored hypotheses a clip (stage two)."
)
@click.option(
    "--diversity",
    type=FiniteRange(min=0),
    metavar="X",
    help="Beams that differ: --set diversity=X (stage two).",
)
@click.option(
    "--temperature",
    type=FiniteRange(min=0),
    metavar="X",
    help="Draw tokens instead of searching: --set temperature=X (stage two).",
)
@click.option(
    "--choose",
    type=click.Choice(["best", "mbr", "mbr-bleu"]),
    default="best",
    show_default=True,
    help="Sentence taken of --n-best: the likeliest, or the one closest to all by chrF or BLEU.",
)
@protocol_option
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Expected figures, as `fla score --json` prints.",
)
@config_options("num_beams=1")
@seed_option
@device_option
@limit_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    run: Path,
    features: tuple[Path, ...],
    llm: str | None,
    manifest: Path | None,
    root: str | None,
    split: str,
    shuffle_features: bool,
    phase: int,
    n_best: int | None,
    diversity: float | None,
    temperature: float | None,
    choose: str,
    protocol: str,
    compare: Path | None,
    config_source: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """Translate a split with RUN, a directory of either stage, and score it against the raw sentences.

    A stage-one run reads videos (--manifest), a stage-two run reads a cache alone (--features).
    Predictions and scores are written into RUN; those of a trial (--limit, --n-best, other decoding) have a
    name of their own. --config and --set give decoding, such as --set num_beams=1. Exit code 1: clips of the
    split are missing, or figures differ from those of --compare by 0.01 or more.
    """
    if bool(features) == (manifest is not None):
        raise click.UsageError("Give either --features (stage two) or --manifest (stage one).")
    if features and (root is not None or phase):
        raise click.UsageError("--root and --phase go with --manifest: a cache holds features, not videos.")
    if manifest is not None and not (n_best is diversity is temperature is llm is None and choose == "best"):
        raise click.UsageError(
            "--n-best, --diversity, --temperature, --choose and --llm go with --features: stage one has none."
        )
    searches = {"diversity": diversity, "temperature": temperature}
    overrides += tuple(f"{name}={value}" for name, value in searches.items() if value is not None)
    from ..pipeline.precheck import precheck_stage_one, precheck_stage_two
    from ..scoring.expected import compare_with_expected, describe_compared, read_expected
    from ..scoring.protocols import named_protocols

    # A misspelt name must not be found after an hour of translation.
    named_protocols(protocol)
    expected = None if compare is None else read_expected(compare)
    # Everything that files alone can show is refused before torch is loaded.
    decoding = (config_source, overrides)
    if manifest is not None:
        precheck_stage_one(run, manifest, decoding=decoding)
    else:
        precheck_stage_two(
            run, decoding=decoding, llm=llm, features=features,
            split=split,  # type: ignore[arg-type]  # click.Choice has made sure
        )  # fmt: skip
    from ..pipeline.evaluate import evaluate_stage_one, evaluate_stage_two  # loads torch, which takes seconds
    from ..pipeline.evaluation import Request

    request = Request(
        split=split,  # type: ignore[arg-type]  # as above
        shuffle_features=shuffle_features,
        decoding=decoding,
        limit=limit,
        seed=seed or 0,
        device=device,
        protocol=protocol,
        llm=llm,
        phase=phase,
        n_best=n_best,
        choose=choose,  # type: ignore[arg-type]  # as above
    )
    if manifest is not None:
        result = evaluate_stage_one(run, manifest, request=request, root=Path(root) if root else None)
    else:
        result = evaluate_stage_two(run, features, request=request)
    content, text = result.to_dict(), result.describe()
    compared = compare_with_expected(result.rows, expected or {})
    if compared:
        content["compared"] = [vars(row) for row in compared]
        text += "\n\n" + describe_compared(compared)
    emit(as_json, content, text)
    context.exit(int(bool(result.coverage.missing) or not all(row.is_same for row in compared)))
