"""Laws of the stage-one model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from fla_llm.core.errors import DataError
from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.data import TrainingClips, collate, evaluation_set
from fla_llm.pretrain.frames import FrameStore
from fla_llm.training.config import DecodingConfig
from fla_llm.training.evaluation import predict
from fla_llm.training.model import IGNORED

Make = Callable[..., Any]
GREEDY = DecodingConfig(num_beams=1, max_new_tokens=12)


def clips_of(corpus: Manifest, model: Any) -> TrainingClips:
    store = FrameStore(corpus, model.config.encoder)
    return TrainingClips(corpus.split("train"), store=store, tokenizer=model.tokenizer, config=model.config)


def test_one_batch_can_be_overfitted_and_is_then_translated(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model(translator__dropout=0, translator__label_smoothing=0, augment__probability=0)
    clips = clips_of(corpus, model)
    batch = collate([clips.get(index, 0) for index in range(4)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = model(**batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    for _ in range(15):  # BatchNorm's running statistics settle on the weights as they now are
        with torch.no_grad():
            model(**batch)
    model.eval()
    with torch.no_grad():
        assert model.translate(batch, GREEDY) == [sample.text for sample in clips.samples[:4]]


def test_padding_changes_nothing(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model().eval()
    clips = clips_of(corpus, model)
    items = [clips.get(index, 0) for index in (0, 2)]
    assert len(items[0]["frames"]) != len(items[1]["frames"])
    together = collate(items)
    counts = [len(item["labels"]) for item in items]
    with torch.no_grad():
        alone = [model(**collate([item]))["loss"].item() for item in items]
        mean = sum(loss * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
        assert model(**together)["loss"].item() == pytest.approx(mean, abs=1e-5)
        padded = functional.pad(together["labels"], (0, 5), value=IGNORED)
        assert model(**(together | {"labels": padded}))["loss"].item() == pytest.approx(mean, abs=1e-5)
        texts = [model.translate(collate([item]), GREEDY)[0] for item in items]
        assert model.translate(together, GREEDY) == texts


def test_the_loss_is_divided_by_the_count_that_is_given(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model().eval()
    clips = clips_of(corpus, model)
    batch = collate([clips.get(index, 0) for index in range(3)])
    count = int((batch["labels"] != IGNORED).sum())
    with torch.no_grad():
        own, given = model(**batch)["loss"], model(**batch, num_items_in_batch=2 * count)["loss"]
    assert own.item() == pytest.approx(2 * given.item())


def test_the_decoder_reads_the_beginning_and_the_labels_but_the_last(tiny_model: Make) -> None:
    from fla_llm.pretrain.model import _shifted

    labels = torch.tensor([[7, 8, 2], [9, 2, IGNORED]])
    assert _shifted(labels).tolist() == [[1, 7, 8], [1, 9, 2]]


def test_the_backbone_has_its_own_learning_rate(tiny_model: Make) -> None:
    model = tiny_model(backbone_lr_scale=0.25)
    backbone, rest = model.parameter_groups()
    assert (backbone["name"], backbone["lr_scale"], "lr_scale" in rest) == ("backbone", 0.25, False)
    known = {id(parameter) for group in (backbone, rest) for parameter in group["params"]}
    assert known == {id(parameter) for parameter in model.parameters()}
    assert len(backbone["params"]) + len(rest["params"]) == len(known)


def test_every_parameter_gets_a_gradient(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model(translator__dropout=0)
    clips = clips_of(corpus, model)
    model(**collate([clips.get(index, 0) for index in range(4)]))["loss"].backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def test_a_clip_longer_than_the_positions_is_refused(tiny_model: Make) -> None:
    model = tiny_model()
    frames = torch.zeros(25, 3, 28, 28, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"translator.positions \(24\) frames .* but has 25"):
        model(frames=frames, lengths=torch.tensor([25]), labels=torch.tensor([[5, 2]]))


def test_predictions_come_in_the_order_of_the_ids(corpus: Manifest, tiny_model: Make) -> None:
    model = tiny_model(training__batch_clips=2).eval()
    store = FrameStore(corpus, model.config.encoder)
    samples = corpus.split("train")
    evaluation = evaluation_set(samples, store=store, config=model.config)
    cpu = torch.device("cpu")
    texts = predict(model, evaluation, decoding=GREEDY, device=cpu, desc=None).hypotheses
    one = evaluation_set(samples[5:6], store=store, config=model.config)
    assert texts[5] == predict(model, one, decoding=GREEDY, device=cpu, desc=None).hypotheses[0]
    assert evaluation.ids == [sample.id for sample in samples]


def test_label_smoothing_mixes_target_and_vocabulary(corpus: Manifest, tiny_model: Make) -> None:
    """The loss is linear in the share: (1 - s) times the target's, s times the vocabulary's mean."""
    losses = []
    for share in (0.0, 0.2, 0.4):
        model = tiny_model(translator__label_smoothing=share).eval()
        clips = clips_of(corpus, model)
        with torch.no_grad():
            losses.append(model(**collate([clips.get(index, 0) for index in range(3)]))["loss"].item())
    plain, some, more = losses
    assert more - plain == pytest.approx(2 * (some - plain), rel=1e-3)
    assert abs(some - plain) > 1e-3


def test_dropout_acts_in_training_alone(corpus: Manifest, tiny_model: Make) -> None:
    for share in (0.0, 0.5):
        model = tiny_model(translator__dropout=share)
        clips = clips_of(corpus, model)
        batch = collate([clips.get(index, 0) for index in range(3)])
        model.encoder.eval()  # BatchNorm's running statistics differ from batch to batch
        first, second = model(**batch)["loss"].item(), model(**batch)["loss"].item()
        assert (first == second) is (share == 0.0)
        model.eval()
        assert model(**batch)["loss"].item() == model(**batch)["loss"].item()
