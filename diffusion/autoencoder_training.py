"""Training of the text autoencoder, and the check of what it reconstructs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import RunError
from ..core.files import read_json, write_json
from ..finetune.data import FeatureItems
from ..training.batches import move_batch
from ..training.evaluation import mean_scores, predict, write_predictions
from ..training.processes import is_main_process, wait_for_all
from ..training.train_loop import fit
from .autoencoder import TextAutoencoder
from .batching import Sentences, sentence_batches, sentence_evaluation_set
from .run_files import AUTOENCODER
from .store import load_autoencoder, save_autoencoder

logger = logging.getLogger(__name__)

FOLDER = "autoencoder"
"""Folder of a run with the log and the checkpoints of the autoencoder."""
SENTENCES = "sentences.json"
"""File in this folder with the digest of the sentences, compared on a resume."""
CALIBRATION = 256
"""Sentences whose states give the magnitude of the expander's states."""
CHECKED = 500
"""Training sentences that are reconstructed where there is no dev split."""


def train_autoencoder(
    model: TextAutoencoder, sentences: Sentences, checked: Sentences, *, run: Path, resume: bool
) -> dict[str, Any]:
    """Train the autoencoder, or load a trained one from the run, and freeze it.

    Args:
        model: the new autoencoder.
        sentences: sentences of the training.
        checked: sentences that are reconstructed.
        run: the run directory.
        resume: continue from the last checkpoint.

    Returns:
        Scores of the reconstructed sentences.

    Raises:
        RunError: BLEU-4 of the reconstructed sentences is below ``autoencoder.min_bleu4``.
    """
    config, folder, device = model.config.autoencoder, run / FOLDER, model.llm.device
    evaluation = sentence_evaluation_set(model, checked)
    # A resumed run trains no autoencoder a second time: its latents are what the denoiser has learned.
    if (run / AUTOENCODER).is_file():
        load_autoencoder(model, run)
    else:
        data = sentence_batches(model, sentences)
        _calibrate(model, sentences)
        fit(
            model, train=data, dev=evaluation, config=config.training, decoding=model.config.decoding,
            run=folder, resume=resume, seed=model.config.seed, device=device,
        )  # fmt: skip
        if is_main_process():
            # Before the check below: a lower bound, and --resume, need no second training.
            save_autoencoder(model, run)
        wait_for_all()
    found = predict(model, evaluation, decoding=model.config.decoding, device=device, desc="reconstructing")
    scores = {"sentences": len(checked)} | mean_scores(found)
    if is_main_process():
        write_predictions(folder / "reconstructions.jsonl", found)
    logger.info(f"The autoencoder reconstructs {len(checked)} sentences with BLEU-4 {scores['bleu4']:.2f}")
    _check_reconstruction(scores, run=run, bound=config.min_bleu4)
    # The denoiser learns the latents as they are from here on.
    model.requires_grad_(False)
    return scores


def _check_reconstruction(scores: Mapping[str, Any], *, run: Path, bound: float) -> None:
    if scores["bleu4"] < bound:
        raise RunError(
            f"The autoencoder must reconstruct sentences with BLEU-4 {bound:g} (autoencoder.min_bleu4), but "
            f"reaches {scores['bleu4']:.2f}: no denoiser can do better. See {run / FOLDER}.\n"
            "Train on more sentences (autoencoder.text), for more epochs, or with more latents, in another "
            "--out. Or set a lower bound, with --resume --allow-config-change."
        )


def checked_sentences(sentences: Sentences, dev: FeatureItems | None) -> Sentences:
    """Return the sentences of dev, or without a dev split the first of training."""
    if dev is None:
        return Sentences(sentences.texts[:CHECKED], sentences.languages[:CHECKED])
    return Sentences(dev.texts, dev.languages)


def _calibrate(model: TextAutoencoder, sentences: Sentences) -> None:
    some = Sentences(sentences.texts[:CALIBRATION], sentences.languages[:CALIBRATION])
    model.calibrate(move_batch(sentence_batches(model, some)[0], model.llm.device)["labels"])


def record_sentences(out: Path, sentences: Sentences) -> None:
    """Write the digest of the sentences into a run."""
    write_json(out / FOLDER / SENTENCES, _describe_sentences(sentences))


def _describe_sentences(sentences: Sentences) -> dict[str, Any]:
    return {"sentences": len(sentences), "sha256": sentences.digest}


def check_sentences(out: Path, sentences: Sentences) -> None:
    """Refuse other sentences than the run was begun with.

    Raises:
        RunError: the sentences differ.
    """
    file = out / FOLDER / SENTENCES
    if file.is_file() and (begun := read_json(file)) != _describe_sentences(sentences):
        raise RunError(
            f"{out} must be resumed with the {begun['sentences']} sentences it was begun with, but there are "
            f"{len(sentences)} now, or other sentences.\n"
            "Put the file of autoencoder.text back, or start another run with another --out."
        )
