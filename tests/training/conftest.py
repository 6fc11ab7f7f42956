"""A toy of a translation model: the mean of a clip's steps decides its sentence of three letters."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fla_llm.core.sample import Unreadable
from fla_llm.core.seeds import derive_seed
from fla_llm.training.batches import BatchDataset, make_batches
from fla_llm.training.config import DecodingConfig, TrainingConfig
from fla_llm.training.evaluation import EvaluationSet, predict
from fla_llm.training.model import IGNORED, TranslationModel
from fla_llm.training.train_loop import TrainingResult, fit

LETTERS = "abcdefgh"
TOKENS = 3
SIZE = 8


class ToyModel(TranslationModel):
    unit = "steps"

    def __init__(self, *, dropout: float = 0.1, seed: int = 0, batch_statistics: bool = True) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.inner = nn.Linear(SIZE, 32)
        self.norm = nn.BatchNorm1d(32) if batch_statistics else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(32, TOKENS * len(LETTERS))

    def logits(self, features: Tensor, lengths: Tensor) -> Tensor:
        pooled = features.sum(1) / lengths[:, None]
        hidden = self.dropout(functional.relu(self.norm(self.inner(pooled))))
        return self.outer(hidden).view(-1, TOKENS, len(LETTERS))

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        logits = self.logits(inputs["features"], inputs["lengths"])
        loss = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return {"loss": loss / count}

    def padded_size(self, batch: Any) -> int:
        return batch["features"].shape[0] * batch["features"].shape[1]

    def translate(self, batch: Any, decoding: DecodingConfig) -> list[str]:
        best = self.logits(batch["features"], batch["lengths"]).argmax(-1)
        return [" ".join(LETTERS[letter] for letter in row) for row in best.tolist()]

    def parameter_groups(self) -> list[dict[str, Any]]:
        outer = list(self.outer.parameters())
        rest = [*self.inner.parameters(), *self.norm.parameters()]
        return [{"name": "inner", "params": rest, "lr_scale": 0.5}, {"name": "outer", "params": outer}]


class ExactModel(ToyModel):
    """Its gradients are whole numbers over a power of two, whatever it has learnt: sums of them are exact."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0, batch_statistics=False)
        self.requires_grad_(False)
        self.weight = nn.Parameter(torch.zeros(SIZE))

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        signs = 1 - 2 * (labels % 2)
        found = (inputs["features"] * 8).round().sum(1) @ self.weight
        return {"loss": (found[:, None] * signs)[labels != IGNORED].sum() / count}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"name": "weight", "params": [self.weight]}]


class TellingModel(ToyModel):
    """It says of every clip what a running mean of its own is."""

    def translate(self, batch: Any, decoding: DecodingConfig) -> list[str]:
        assert self.norm.running_mean is not None
        return [str(self.norm.running_mean[0].item())] * len(batch["features"])


class ToyItems:
    """Clips of random steps, disturbed anew in each epoch; may fail when asked for one item in one epoch.

    ``gone`` items cannot be read, from epoch ``gone_from`` on.
    """

    def __init__(
        self,
        count: int,
        *,
        noise: float = 0.1,
        fail_at: tuple[int, int] | None = None,
        labels_each: int = TOKENS,
        gone: Sequence[int] = (),
        gone_from: int = 0,
        split: str = "train",
    ) -> None:
        generator = torch.Generator().manual_seed(count)
        self.lengths = [3 + index % 4 for index in range(count)]
        self.features = [torch.randn(length, SIZE, generator=generator) for length in self.lengths]
        self.letters = torch.randint(len(LETTERS), (count, TOKENS), generator=generator)
        self.letters[:, labels_each:] = IGNORED
        self.noise, self.fail_at = noise, fail_at
        self.gone, self.gone_from, self.split = gone, gone_from, split
        self.reads = 0  # in this process

    def __len__(self) -> int:
        return len(self.features)

    def get(self, index: int, epoch: int) -> dict[str, Any] | Unreadable:
        self.reads += 1
        if index in self.gone and epoch >= self.gone_from:
            return Unreadable(id=f"clip/{index}", split=self.split, reason=f"no {index}")
        if self.fail_at == (index, epoch):
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(derive_seed(1, epoch, index))
        noise = torch.randn(self.features[index].shape, generator=generator) * self.noise
        return {"features": self.features[index] + noise, "labels": self.letters[index]}


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "features": nn.utils.rnn.pad_sequence([item["features"] for item in items], batch_first=True),
        "lengths": torch.tensor([len(item["features"]) for item in items]),
        "labels": torch.stack([item["labels"] for item in items]),
    }


def toy_batches(items: ToyItems, *, max_clips: int = 4) -> BatchDataset:
    batches = make_batches(items.lengths, max_clips=max_clips, max_steps=1000, seed=0)
    return BatchDataset(items, batches, collate)


def toy_evaluation(items: ToyItems) -> EvaluationSet:
    sentences = [" ".join(LETTERS[letter] for letter in row) for row in items.letters.tolist()]
    count = len(items)
    return EvaluationSet(
        batches=toy_batches(items, max_clips=3),
        ids=[f"clip/{index}" for index in range(count)],
        references=sentences,
        languages=["en"] * count,
        tasks=["translate"] * count,
    )


def toy_config(**changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {
        "epochs": 3,
        "batch_clips": 4,
        "learning_rate": 1e-2,
        "weight_decay": 0.01,
        "warmup_share": 0.1,
        "precision": "fp32",
        "log_every_steps": 2,
    }
    return TrainingConfig(**(settings | changes))


def toy_fit(
    run: Path,
    *,
    model: TranslationModel | None = None,
    items: ToyItems | None = None,
    dev: ToyItems | EvaluationSet | None = None,
    resume: bool = False,
    batches: Sequence[Sequence[int]] | None = None,
    **changes: Any,
) -> tuple[TranslationModel, TrainingResult]:
    model = ToyModel() if model is None else model
    train = toy_batches(ToyItems(20) if items is None else items)
    if batches is not None:
        train.batches = batches
    run.mkdir(parents=True, exist_ok=True)
    fitted = fit(
        model,
        train=train,
        dev=toy_evaluation(dev) if isinstance(dev, ToyItems) else dev,
        config=toy_config(**changes),
        decoding=DecodingConfig(num_beams=1),
        run=run,
        resume=resume,
        seed=7,
        device=torch.device("cpu"),
    )
    return model, fitted


def log_rows(run: Path) -> list[dict[str, Any]]:
    """Return the rows of log.jsonl without what the clock decides, and so differs between two equal runs."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("seconds", "speed")} for row in rows]


def predict_toy(model: TranslationModel, items: ToyItems, *, decoding: DecodingConfig) -> list[str]:
    """Return the sentences that a model says of items."""
    evaluation = toy_evaluation(items)
    return predict(model, evaluation, decoding=decoding, device=torch.device("cpu"), desc=None).hypotheses


@pytest.fixture
def toy() -> Callable[..., tuple[TranslationModel, TrainingResult]]:
    return toy_fit


@pytest.fixture
def toy_items() -> type[ToyItems]:
    return ToyItems


@pytest.fixture
def toy_model() -> type[ToyModel]:
    return ToyModel


@pytest.fixture
def exact_model() -> type[ExactModel]:
    return ExactModel


@pytest.fixture
def toy_data() -> Callable[..., BatchDataset]:
    return toy_batches


@pytest.fixture
def toy_dev() -> Callable[..., EvaluationSet]:
    return toy_evaluation


@pytest.fixture
def toy_settings() -> Callable[..., TrainingConfig]:
    return toy_config
