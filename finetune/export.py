"""``fla export``: write a stage-two run as a directory for use elsewhere.

A merged export has the form of a fully trained run (``llm/``, see :mod:`.store`), so every command for runs
reads the export. Without merging, the adapters are copied, and the base model is still needed, or copied too.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from ..core.config import write_config
from ..core.device import Precision, resolve_device, resolve_dtype
from ..core.errors import ModelError, RunError
from ..core.files import read_json, respect_umask, visible, write_json
from ..core.run import new_folder
from ..encoder.folder import CONFIG_FILE, WEIGHTS_FILE, find_encoder
from ..encoder.frozen import FrozenEncoder
from ..encoder.store import fingerprint, fingerprint_of, save_encoder
from ..llm.config import KEPT_IDS
from ..llm.integrity import folder_of
from ..llm.load import LanguageModel, identify, load_llm
from ..llm.lora import load_lora
from ..llm.quantisation import prepare_frozen
from ..llm.trim import trim
from ..llm.vocabulary import keep_ids, read_kept_ids
from .config import ContrastiveConfig
from .mapped_streams import copy_mapper
from .run import CLIPS
from .run_files import (
    CONFIG,
    LLM,
    LORA,
    PROJECTOR,
    RUN,
    base_of,
    check_fingerprint,
    check_parts,
    read_settings,
    recorded_base,
)
from .streams import records_of

BASE, ENCODER = "base", "encoder"
"""Folders of an export for the base model and the encoder."""
KEPT = (CLIPS, KEPT_IDS, "scores.json", "predictions-dev.jsonl")
"""Optional files, copied by an export without merging."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Result of ``fla export``."""

    out: Path
    merged: bool
    has_encoder: bool
    """Whether the export holds the encoder of its features."""
    size_bytes: int
    """Bytes of all files before any evaluation."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"out": str(self.out)}


def export_run(
    run: Path,
    out: Path,
    *,
    merge: bool,
    precision: Precision = "auto",
    llm: str | None = None,
    ckpt: Path | None = None,
    encoder: FrozenEncoder | None = None,
    with_llm: bool = False,
    device: str = "auto",
    described: dict[str, Any] | None = None,
    weights: Sequence[str] = (PROJECTOR,),
) -> ExportResult:
    """Export a run for use elsewhere.

    Args:
        run: a finished stage-two run.
        out: a new or empty folder.
        merge: add the adapters to the unquantised base model, and write the whole model.
        precision: number format of the merged weights.
        llm: present id or directory of a moved base model. Merging needs the unquantised model.
        ckpt: stage-one run or encoder directory of the features. The export then holds the encoder too, and
            translates videos by itself. None: no encoder directory is copied.
        encoder: the encoder of the features, loaded, where it came from no encoder directory.
        with_llm: copy the base model, for a machine without the base model.
        device: device of the merge.
        described: content of ``run.json`` of a run with another decoder, whose files were checked. None: a
            run with a tuned language model, which is checked here.
        weights: files of weights besides those of the language model.

    Raises:
        RunError: ``run`` is no finished run or holds nothing to merge, or ``out`` is not empty.
        CacheError: ``ckpt`` or ``encoder`` is not the encoder of the run's features.
        ModelError: the base model does not exist, has changed, or shares a weight with an adapted head.
        ConfigError: ``llm`` is given, but the run holds a whole language model.
    """
    described = dict(described or check_parts(run))
    if merge and not (run / LORA).is_dir():
        raise RunError(
            f"{run} must hold adapters to be merged, but was trained with train={described.get('train')}.\n"
            "Leave --merge out."
        )
    if not merge and (llm is not None or (run / described["llm"]).is_dir()):
        described |= {"llm": _checked_base(run, described, llm=llm)}
    if ckpt is not None:
        check_fingerprint(fingerprint(ckpt), tuned_on=records_of(described)[0].encoder_fingerprint)
    if encoder is not None:
        check_fingerprint(fingerprint_of(encoder), tuned_on=records_of(described)[0].encoder_fingerprint)
    # Only now: a refused export leaves no folder behind.
    new_folder(out)
    partial = out.with_name(f"{out.name}.partial")
    # An interrupted export may have left this folder: nothing of an earlier export may be mixed in.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in weights:
        shutil.copyfile(run / name, partial / name)
    for folder in visible(run.glob("mapper-*")):
        copy_mapper(folder, partial / folder.name)
    if merge:
        _merge(run, partial, precision=precision, llm=llm, device=resolve_device(device))
    else:
        _copy(run, partial, described)
    if with_llm and described.get("train") != "full" and not merge:
        _copy_base(run, partial, described)
    if ckpt is not None:
        _copy_files(find_encoder(ckpt), partial / ENCODER, names=(CONFIG_FILE, WEIGHTS_FILE))
    if encoder is not None:
        save_encoder(encoder, partial / ENCODER)
    for folder in [partial, *(child for child in partial.iterdir() if child.is_dir())]:
        respect_umask(file for file in folder.iterdir() if file.is_file())
    partial.replace(out)  # whole or not there: an empty folder may be replaced
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    has_encoder = (out / ENCODER).is_dir()
    return ExportResult(out=out, merged=merge, has_encoder=has_encoder, size_bytes=size)


def _checked_base(run: Path, described: dict[str, Any], *, llm: str | None) -> str:
    """Return the base model for ``run.json`` of the export, as an id or an absolute path."""
    if described.get("train") == "full" and llm is None:
        return described["llm"]
    # A relative path of the run would point nowhere from the export.
    source, revision = identify(base_of(run, described, llm=llm))
    if revision != described["llm_revision"]:
        raise ModelError(
            f"--llm {llm} must be {described['llm_revision']}, the model that the run was tuned on, but is "
            f"{revision}.\nGive the model that the run was tuned on, or leave --llm out."
        )
    return source


def _copy(run: Path, out: Path, described: dict[str, Any]) -> None:
    for name in (LORA, LLM):
        if (run / name).is_dir():
            shutil.copytree(run / name, out / name)
    for name in (CONFIG, *KEPT):
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    write_json(out / RUN, described)


def _copy_base(run: Path, out: Path, described: dict[str, Any]) -> None:
    """Copy the base model, and name the copy by a path inside the export."""
    source = described["llm"] if Path(described["llm"]).is_dir() else recorded_base(run, described["llm"])
    folder = folder_of(source, revision=described["llm_revision"])
    if folder is None:
        raise ModelError(
            f"--with-llm copies the base model from this disk, but {source} is not here.\n"
            "Load the model once, for example by: fla evaluate"
        )
    # Code of a model's folder is never run, and so not handed on either.
    names = [file.name for file in visible(folder.iterdir()) if file.is_file() and file.suffix != ".py"]
    _copy_files(folder, out / BASE, names=names)
    # The copy of a hub's model has no commit: a folder is known by its files.
    write_json(out / RUN, described | {"llm": BASE, "llm_revision": identify(str(out / BASE))[1]})


def _copy_files(source: Path, folder: Path, *, names: Iterable[str]) -> None:
    folder.mkdir()
    for name in names:
        shutil.copyfile(source / name, folder / name)


def _merge(run: Path, out: Path, *, precision: Precision, llm: str | None, device: torch.device) -> None:
    described, config = read_json(run / RUN), read_settings(run)
    kept = config.training.precision if precision == "auto" else precision
    base = _load_base(run, described, llm=llm, dtype=resolve_dtype(kept, device), device=device)
    # As in a run that was trained whole: trimmed weights, the whole tokenizer.
    if described.get("trimmed_to"):
        kept_ids = read_kept_ids(run)
        base = trim(base, kept_ids)
        keep_ids(out, kept_ids)
    prepare_frozen(base.model, activation_checkpointing=False)
    adapted = load_lora(base.model, run / LORA)
    _check_untied(adapted)
    merged: Any = adapted.merge_and_unload(safe_merge=True)  # refuses what is not finite
    merged.save_pretrained(str(out / LLM))
    base.tokenizer.save_pretrained(out / LLM)
    training = replace(config.training, precision=kept)
    # Other commands load the export like a run of train=full: one way to load suffices. Its loss is over, and
    # a contrast with an encoder before training would be refused there.
    whole = replace(config, train="full", quantise="none", training=training, contrastive=ContrastiveConfig())
    write_config(whole, out / CONFIG)
    if (run / CLIPS).is_file():
        shutil.copyfile(run / CLIPS, out / CLIPS)
    dtype = str(base.model.dtype).removeprefix("torch.")
    merging = {"quantise": described["quantise"], "train": described["train"], "dtype": dtype}
    write_json(out / RUN, described | {"quantise": "none", "train": "full", "merged": merging})


def _load_base(
    run: Path, described: dict[str, Any], *, llm: str | None, dtype: torch.dtype, device: torch.device
) -> LanguageModel:
    """Return the unquantised base model, in the revision of the run."""
    source, revision = described["llm"], described["llm_revision"]
    if described.get("llm_quantised_from"):  # a copy made by fla quantise
        source, revision = (described["llm_quantised_from"][name] for name in ("llm", "revision"))
    # A directory's revision is a digest of its files, whatever it is called now.
    llm = llm or recorded_base(run, source)
    return load_llm(llm, quantise="none", device=device, dtype=dtype, revision=revision)


def _check_untied(adapted: PeftModel) -> None:
    """Refuse adapters on a tied head: merging would change the embedding, and so the input, too."""
    head: Any = adapted.get_base_model().get_output_embeddings()  # type: ignore[operator]  # peft's own typing
    if not hasattr(head, "base_layer"):
        return
    embedding: Any = adapted.get_base_model().get_input_embeddings()  # type: ignore[operator]  # as above
    if getattr(embedding, "weight", None) is head.base_layer.weight:
        raise ModelError(
            "Adapters can be merged only where no other part shares their weights, but the head is the "
            "embedding too, and has adapters.\nLeave --merge out."
        )
