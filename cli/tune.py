"""``fla tune``: stage two."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from ..configs import TUNE_PRESETS
from ..core.missing import Missing, describe_missing
from ..diffusion.config import DiffusionConfig
from .options import (
    allow_config_change_option,
    config_options,
    device_option,
    dry_run_option,
    emit,
    json_option,
    limit_option,
    resume_option,
    seed_option,
    table,
)
from .tuning import diffusion_config, tune_config, tuning_options


@click.command()
@click.option(
    "--features", multiple=True, required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="A cache made by fla extract; several: streams of the same clips, or corpora of different ones.",
)  # fmt: skip
@click.option("--llm", metavar="ID|DIR", help="A Hugging Face id, or a model's directory.")
@click.option(
    "--init", metavar="RUN", type=click.Path(path_type=Path),
    help="Begin with the projectors, and without --llm the language model, of RUN.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run directory.")
@click.option(
    "--decoder", type=click.Choice(["lm", "diffusion"]), default="lm", show_default=True,
    help="The language model with LoRA, or diffusion in a text latent over a frozen encoder-decoder.",
)  # fmt: skip
@click.option("--in-memory", is_flag=True, help="Read all features first and keep them in memory.")
@click.option(
    "--trim-vocab", is_flag=True, help="Keep only the tokens that the training sentences and prompts need."
)
@click.option(
    "--allow-lossy-tokenizer", is_flag=True,
    help="Tune also where over 1 % of the sentences get lost in the tokenizer.",
)  # fmt: skip
@tuning_options
@resume_option
@allow_config_change_option
@config_options("lora.rank=8", preset="phoenix14t-qwen", presets=TUNE_PRESETS)
@seed_option
@device_option
@limit_option
@dry_run_option
@json_option
def command(
    features: tuple[Path, ...],
    llm: str | None,
    init: Path | None,
    out: Path,
    decoder: str,
    in_memory: bool,
    trim_vocab: bool,
    allow_lossy_tokenizer: bool,
    batch_tokens: int | None,
    train: str | None,
    quantise: str | None,
    resume: bool,
    allow_config_change: bool,
    config_source: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Stage two: tune a 4-bit language model on cached features alone, or train a diffusion decoder.

    Exit code 1: clips are missing, since extraction rejected them or a stream lacks them. They are named, and
    the run is trained without them.
    """
    from ..core.hub import find_source
    from ..core.run import check_run_folder, is_first_process
    from ..finetune.run_files import initial_llm
    from ..pipeline.precheck import check_features

    if decoder == "diffusion":
        if llm is None or init or trim_vocab or allow_lossy_tokenizer or train:
            raise click.UsageError(
                "--decoder diffusion needs --llm, and has no --init, --trim-vocab, --allow-lossy-tokenizer "
                "and --train: its language model stays as it is."
            )
        _diffuse(
            features, llm=llm, out=out, resume=resume, device=device, limit=limit, in_memory=in_memory,
            allow_config_change=allow_config_change, dry_run=dry_run, as_json=as_json,
            config=diffusion_config(
                config_source, overrides, seed=seed, batch_tokens=batch_tokens, quantise=quantise
            ),
        )  # fmt: skip
    # An absent flag must not switch off a setting of --config.
    flags = {"trim_vocab": trim_vocab, "allow_lossy_tokenizer": allow_lossy_tokenizer}
    overrides = (*overrides, *(f"{name}=true" for name, given in flags.items() if given))
    config = tune_config(
        config_source, overrides, seed=seed, batch_tokens=batch_tokens, train=train, quantise=quantise
    )
    check_features(features, "train")
    if not dry_run and is_first_process():  # other processes may start after the first has written files
        check_run_folder(out, resume=resume)
    llm = initial_llm(init, llm)
    find_source(llm)
    from ..finetune.train import plan, tune  # loads torch, which takes seconds
    from ..planning.vram_check import check_fits

    # Out of memory would end the run after minutes of loading, or at the longest clip hours later.
    check_fits(features, llm=llm, config=config, device=device, limit=limit)
    if dry_run:
        planned = plan(features, llm=llm, config=config, init=init, device=device, limit=limit)
        _finish(asdict(planned), planned.missing, as_json)
    tuned = tune(
        features, llm=llm, config=config, out=out, init=init, resume=resume, device=device, limit=limit,
        in_memory=in_memory, allow_config_change=allow_config_change,
    )  # fmt: skip
    _finish(tuned.to_dict(), tuned.missing, as_json)


def _diffuse(
    features: tuple[Path, ...],
    *,
    llm: str,
    config: DiffusionConfig,
    out: Path,
    resume: bool,
    device: str,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
    **more: bool,
) -> NoReturn:
    """Train a diffusion decoder, print the result, and end the command."""
    from ..core.hub import find_source
    from ..core.run import check_run_folder, is_first_process
    from ..pipeline.precheck import check_features

    check_features(features, "train")
    if not dry_run and is_first_process():
        check_run_folder(out, resume=resume)
    find_source(llm)
    from ..diffusion.train import plan_diffusion, tune_diffusion  # loads torch, which takes seconds

    if dry_run:
        planned = plan_diffusion(features, llm=llm, config=config, device=device, limit=limit)
        _finish(asdict(planned), planned.missing, as_json)
    trained = tune_diffusion(
        features, llm=llm, config=config, out=out, resume=resume, device=device, limit=limit, **more
    )
    _finish(trained.to_dict(), trained.missing, as_json)


def _finish(content: dict[str, Any], missing: Mapping[str, Missing], as_json: bool) -> NoReturn:
    """Print the result, and end with exit code 1 if clips are missing."""
    lists = [f"{split}: {describe_missing(clips)}" for split, clips in missing.items()]
    counts = {f"missing_{split}": len(clips) for split, clips in missing.items()}
    # A list of hundreds of clips would hide the scores in the table: the table has the counts.
    shown = {name: value for name, value in content.items() if name != "missing"} | counts
    emit(as_json, content, "\n\n".join([table(shown), *lists]))
    # torchrun ends all processes when one fails: only the first process, which prints last, may fail.
    click.get_current_context().exit(int(bool(missing) and int(os.environ.get("RANK", "0")) == 0))
