"""Functions with the names of the commands, for programs. The package ``fla_llm`` offers them at the top."""

from collections.abc import Sequence
from pathlib import Path

from ..configs import TUNE_PRESETS
from ..core.config import load_config
from ..core.errors import ConfigError
from ..core.sample import Split
from ..finetune.config import TuneConfig
from ..finetune.run import TuneResult
from ..finetune.run_files import initial_llm
from ..finetune.train import tune as tune_with
from ..scoring.protocols import DEFAULT_PROTOCOL
from .evaluate import evaluate_stage_one, evaluate_stage_two
from .evaluation import Evaluation, Request

Paths = Path | str | Sequence[Path | str]


def tune(
    features: Paths,
    *,
    llm: str | None = None,
    out: Path | str,
    init: Path | str | None = None,
    config: str | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    limit: int | None = None,
) -> TuneResult:
    """Tune a language model on cached features, as ``fla tune`` does.

    Args:
        features: a cache, or several.
        llm: a Hugging Face id, or a model's directory. None: the language model of ``init``.
        out: the run directory.
        init: an earlier run, whose projectors begin this run. None: new projectors.
        config: a preset such as ``demo``, or a YAML file. None: the defaults.
        settings: single settings, such as ``training.epochs=3``.
        resume: go on from the last checkpoint.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        limit: clips of each split and cache, for a trial.

    Raises:
        FlaError: as :func:`fla_llm.finetune.train.tune`; a setting is unknown or out of range.
    """
    loaded = load_config(
        TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source=config, overrides=settings
    )
    begin = None if init is None else Path(init)
    return tune_with(
        _paths(features), llm=initial_llm(begin, llm), config=loaded, out=Path(out), init=begin,
        resume=resume, device=device, limit=limit,
    )  # fmt: skip


def evaluate(
    run: Path | str,
    *,
    features: Paths | None = None,
    manifest: Path | str | None = None,
    split: Split = "test",
    protocol: str = DEFAULT_PROTOCOL,
    shuffle_features: bool = False,
    settings: Sequence[str] = (),
    device: str = "auto",
    limit: int | None = None,
) -> Evaluation:
    """Translate a split with a run of either stage, and score the sentences, as ``fla evaluate`` does.

    Args:
        run: a run directory. Sentences and scores are written there.
        features: a cache, or several, for a stage-two run.
        manifest: a manifest, for a stage-one run.
        split: the split to translate.
        protocol: a name of ``PROTOCOLS``, or ``all``.
        shuffle_features: give each clip the features of a clip with a different sentence.
        settings: single settings of the search, such as ``num_beams=1``.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        limit: clips of the split, for a trial.

    Raises:
        ConfigError: both or neither of ``features`` and ``manifest`` are given.
        FlaError: as :func:`.evaluate.evaluate_stage_one` and :func:`.evaluate.evaluate_stage_two`.
    """
    request = Request(
        split=split, protocol=protocol, shuffle_features=shuffle_features,
        decoding=(None, tuple(settings)), device=device, limit=limit,
    )  # fmt: skip
    if features is not None and manifest is None:
        return evaluate_stage_two(Path(run), _paths(features), request=request)
    if manifest is not None and features is None:
        return evaluate_stage_one(Path(run), Path(manifest), request=request)
    raise ConfigError("Give either features (stage two) or manifest (stage one).")


def _paths(given: Paths) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]
