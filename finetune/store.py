"""Save and load a stage-two run.

:mod:`.run_files` names the files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch
from peft import PeftModel
from safetensors.torch import save_file

from ..core.config import write_config
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import CacheError
from ..core.files import atomic_write, read_json, respect_umask, write_json
from ..core.sample import DEFAULT_TASK, Task
from ..core.weights import load_into
from ..llm.load import LanguageModel, load_llm
from ..llm.lora import load_lora, save_lora
from ..llm.quantisation import prepare_frozen
from ..llm.trim import trim
from ..llm.vocabulary import keep_ids, read_kept_ids
from .build import base_dtype
from .config import FeatureRunConfig, TuneConfig
from .model import StageTwoModel
from .run_files import (
    CONFIG,
    LLM,
    LORA,
    PROJECTOR,
    RUN,
    RUN_FORMAT,
    base_of,
    check_fingerprint,
    check_parts,
    read_settings,
    relative_to,
)
from .streams import StreamRecord, records_of, warn_of_other_origins


class RunModel(Protocol):
    """Model of a run on cached features, whatever its decoder."""

    @property
    def language_model(self) -> LanguageModel:
        """The language model as it was loaded."""
        ...

    @property
    def config(self) -> Any:
        """Settings of the run, a :class:`.FeatureRunConfig`."""
        ...

    @property
    def streams(self) -> tuple[StreamRecord, ...]:
        """Record of each input stream."""
        ...


def describe_run(
    model: StageTwoModel, *, languages: list[str], tasks: Sequence[Task] = (DEFAULT_TASK,)
) -> dict[str, Any]:
    """Return the content of ``run.json``, for the languages and tasks of the training."""
    base, config = model.language_model, model.config
    return {
        "format": RUN_FORMAT,
        "stage": 2,
        "llm": base.source,
        "llm_revision": base.revision,
        "llm_type": base.model.config.model_type,
        "llm_quantised_from": base.quantised_from,
        "quantise": config.quantise,
        "train": config.train,
        "trimmed_to": None if base.kept_ids is None else len(base.kept_ids),
        "prompt": config.prompt,
        "prompt_by_language": config.prompt_by_language,
        "prompt_by_task": config.prompt_by_task,
        "examples": model.codec.examples,
        "languages": languages,
        "tasks": list(tasks),
        "decoder_prefix_ids": {name: model.codec.decoder_prefix_ids(name) for name in languages},
        "feature_fingerprint": model.feature_fingerprint,
        "feature_size": model.feature_size,
        "streams": [stream.to_dict() for stream in model.streams],
        "decoding": vars(config.decoding),
        "evaluation_batches": evaluation_bounds(config),
        "sentences": model.untranslatable,
    }


class EvaluationBounds(TypedDict):
    """Bounds of a translation batch, for :func:`.batching.feature_evaluation_set`."""

    max_clips: int
    max_tokens: int


def evaluation_bounds(config: FeatureRunConfig) -> EvaluationBounds:
    """Return the bounds of the settings."""
    return {"max_clips": config.training.batch_clips, "max_tokens": config.training.batch_tokens}


def recorded_bounds(run: Path, config: FeatureRunConfig) -> EvaluationBounds:
    """Return the bounds in ``run.json``, or the bounds of the settings for an older run."""
    return read_json(run / RUN).get("evaluation_batches") or evaluation_bounds(config)


def save_stage_two(model: StageTwoModel, run: Path, *, description: dict[str, Any]) -> None:
    """Write all parts of a run into ``run``, with ``run.json`` as the last file."""
    (run / RUN).unlink(missing_ok=True)  # of a finished run that went on: its parts are replaced one by one
    write_config(model.config, run / CONFIG)
    if model.language_model.kept_ids is not None:
        keep_ids(run, model.language_model.kept_ids)
    if model.config.train == "full":
        model.llm.save_pretrained(str(run / LLM))
        model.language_model.tokenizer.save_pretrained(run / LLM)
        respect_umask((run / LLM).iterdir())
    elif isinstance(model.llm, PeftModel):
        save_lora(model.llm, run / LORA)
    with atomic_write(run / PROJECTOR) as temporary:
        save_file({name: t.contiguous() for name, t in model.projector.state_dict().items()}, temporary)
    # Last, so that a run with run.json is whole. A model inside the run is named by a relative path: the run
    # can then be moved.
    write_json(run / RUN, description | {"llm": relative_to(run, description["llm"])})


def load_stage_two(
    run: Path, *, device: torch.device | str = "auto", llm: str | None = None
) -> StageTwoModel:
    """Load a run of ``fla tune``, in eval mode.

    Args:
        run: the run directory.
        device: device of the model.
        llm: present id or directory of a moved base model. A fully trained run needs no base model.

    Raises:
        RunError: a part is missing or belongs to another model, or the directory is no stage-two run.
        ModelError: a file of weights is damaged, or the base model does not exist or has changed.
        ConfigError: ``llm`` is given, but the run holds a whole language model.
    """
    described = check_parts(run)
    torch_device = resolve_device(device) if isinstance(device, str) else device
    config = read_settings(run)
    language_model = _load_base(run, described, config=config, device=torch_device, llm=llm)
    lora = None
    if (run / LORA).is_dir():
        # A loaded run translates: no backward pass needs checkpoints.
        prepare_frozen(language_model.model, activation_checkpointing=False)
        lora = load_lora(language_model.model, run / LORA)
    model = StageTwoModel(
        language_model,
        config=config,
        feature_size=described["feature_size"],
        feature_fingerprint=described["feature_fingerprint"],
        streams=records_of(described),
        lora=lora,
    )
    load_into(model.projector, run / PROJECTOR, of=f"{run / CONFIG} and its language model")
    model.untranslatable = described.get("sentences")
    model.codec.examples = described.get("examples", {})
    # Files of the tokenizer may have changed, but the model knows the prefixes of training alone.
    model.codec.restore_decoder_prefixes(described.get("decoder_prefix_ids", {}))
    return model.eval()


def _load_base(
    run: Path, described: dict[str, Any], *, config: TuneConfig, device: torch.device, llm: str | None
) -> LanguageModel:
    """Return the base model of the adapters, or the fully trained model."""
    dtype = base_dtype(config, device)
    if "merged" in described:  # by fla export: nothing will be trained, so fp32 is not needed
        dtype = resolve_dtype(config.training.precision, device)
    kept = read_kept_ids(run) if described.get("trimmed_to") else None
    source = base_of(run, described, llm=llm)
    if config.train == "full":
        return load_llm(source, quantise="none", device=device, dtype=dtype, kept_ids=kept)
    whole = load_llm(
        source,
        quantise=config.quantise,
        device=device,
        dtype=dtype,
        # Adapters fit a single base model: another revision would translate worse without an error.
        revision=described["llm_revision"],
    )
    # The base model on the disk is whole: only a fully trained run stores trimmed weights.
    return whole if kept is None else trim(whole, kept)


def check_streams(model: RunModel, given: Sequence[StreamRecord]) -> None:
    """Refuse features of other streams than the model was tuned on, or in another order.

    Raises:
        CacheError: the number, an encoder or a level of streams differs. The message names both.
    """
    wanted = model.streams
    if len(given) != len(wanted):
        raise CacheError(
            f"The run must be given the {_counted(len(wanted))} of features it was tuned on, but is given "
            f"{_counted(len(given))}.\n"
            "Give --features once for each stream, in the order of fla tune."
        )
    if len(wanted) == 1:
        check_fingerprint(given[0].fingerprint, tuned_on=wanted[0].fingerprint)
    for number, (want, found) in enumerate(zip(wanted, given, strict=True), start=1):
        if found.fingerprint != want.fingerprint:
            raise CacheError(
                f"Stream {number} must come from encoder {want.fingerprint}, but comes from "
                f"{found.fingerprint}.\nGive the caches in the order of fla tune."
            )
        # Runs of earlier versions recorded no level.
        if want.levels and found.levels != want.levels:
            raise CacheError(
                f"Stream {number} must hold features of level {'/'.join(sorted(want.levels))}, as the run "
                f"was tuned on, but holds those of level {'/'.join(sorted(found.levels))}."
            )
        warn_of_other_origins(want, found)


def _counted(streams: int) -> str:
    return "1 stream" if streams == 1 else f"{streams} streams"
