"""The run directory of stage two: how it is begun, resumed and finished."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.config import config_to_dict, first_difference, load_config, write_config
from ..core.device import resolve_dtype
from ..core.errors import RunError
from ..core.run import open_run
from ..training.evaluation import EvaluationSet, predict, write_predictions
from ..training.processes import is_main_process, wait_for_all
from .config import TuneConfig
from .model import StageTwoModel
from .store import CONFIG, describe_run, save_stage_two


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What ``fla tune`` did."""

    run: Path
    epoch: int
    """Of the weights that were kept."""
    best_bleu4: float | None
    """On dev, 0-100; None without a dev split."""
    seconds: float
    train_clips: int
    dev_clips: int
    trained_parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self) | {"run": str(self.run)}


def begin_run(out: Path, config: TuneConfig, *, resume: bool) -> None:
    """Claim ``out`` and write the settings into it.

    Raises:
        RunError: ``out`` is in the way, or was begun with other settings.
    """
    open_run(out, resume=resume)
    if resume and (out / CONFIG).is_file():
        begun = config_to_dict(load_config(TuneConfig, source=str(out / CONFIG)))
        if difference := first_difference(begun, config_to_dict(config)):
            key, was, is_now = difference
            raise RunError(
                f"{out} must be resumed with the settings it was begun with, "
                f"but {key}: {was!r}, now {is_now!r}.\n"
                "Set it back, or start another run with another --out."
            )
    write_config(config, out / CONFIG)


def finish_run(model: StageTwoModel, run: Path, *, languages: list[str], dev: EvaluationSet | None) -> None:
    """Translate dev with the kept weights, all processes together; the first of them writes the run."""
    device, config = model.llm.device, model.config
    said: list[str] = []
    if dev is not None:
        dtype = resolve_dtype(config.training.precision, device)
        said = predict(
            model, dev, decoding=config.decoding, device=device, dtype=dtype, desc="dev, kept weights"
        )
    if is_main_process():
        if dev is not None:
            write_predictions(run / "predictions-dev.jsonl", dev, said)
        save_stage_two(model, run, description=describe_run(model, languages=languages))
    wait_for_all()
