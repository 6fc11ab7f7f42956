"""Settings of a training run and of the search for translations. Loads no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..core.device import Precision

Optimiser = Literal["adamw", "sgd", "adamw8bit", "paged_adamw8bit"]
Tracker = Literal["none", "tensorboard", "wandb", "trackio"]
Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training of a model. Each stage adds its own limit of a batch."""

    epochs: int
    """Passes over the training split."""
    batch_clips: int
    """Maximum number of clips in a batch."""
    accumulate: int = 1
    """Batches whose gradients are added up before one step of the optimiser."""
    learning_rate: float
    """Highest learning rate of parameter groups without a rate of their own."""
    weight_decay: float
    """Weight decay of matrices. Norms and biases have no decay."""
    warmup_share: float
    """Share of all steps in which the rate rises from zero, below 1."""
    schedule: Schedule = "cosine"
    """Curve of the rate after the warm-up: constant, or down to zero."""
    optimiser: Optimiser = "adamw"
    """Optimiser. The 8-bit optimisers are those of bitsandbytes, and sgd has momentum 0.9."""
    max_grad_norm: float = 1.0
    """Gradient norm above which gradients are scaled down. 0: no clipping."""
    ema_decay: float | None = None
    """Exponential moving average of the weights: share of the average that stays at each step, such as 0.999.
    Evaluations and the result of the run use the average. None: no average."""
    precision: Precision = "auto"
    """Number format. auto: bf16 where the device is faster with bf16, else fp32."""
    select: Literal["best", "last"] = "best"
    """Checkpoint to keep: the last, or the best by dev BLEU-4, then chrF, then the later epoch. Without
    translations in dev the word error rate of glosses decides, else the accuracy of single signs."""
    evaluate_every_epochs: int = 1
    """Epochs between evaluations on dev. The last epoch is always evaluated."""
    evaluate_from_epoch: int = 1
    """First epoch with an evaluation. Decoding with an untrained model is slow."""
    patience_epochs: int | None = None
    """Epochs without a better dev BLEU-4 (see ``select``) after which the run ends. None: never."""
    save_every_epochs: int = 1
    """Epochs between checkpoints. A new best epoch and the last epoch are always saved."""
    save_every_steps: int | None = None
    """Steps between checkpoints inside a long epoch. None: no such checkpoints."""
    log_every_steps: int = 50
    """Steps between lines of log.jsonl. The end of an epoch is always logged."""
    report_to: Tracker = "none"
    """Tracker of losses, rates and dev scores besides log.jsonl, set up by its own environment variables."""
    workers: int = 0
    """Processes that prepare batches. 0: the main process prepares the batches."""

    at_least_one: ClassVar[tuple[str, ...]] = (
        "epochs",
        "batch_clips",
        "accumulate",
        "evaluate_every_epochs",
        "evaluate_from_epoch",
        "patience_epochs",
        "save_every_epochs",
        "save_every_steps",
        "log_every_steps",
    )
    """Settings with a minimum of 1. None is allowed."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        # All faults go into one error, so that the user corrects the file once.
        floors = {name: 1 for name in self.at_least_one} | {name: 0 for name in _AT_LEAST_ZERO}
        faults = [
            f"{name} must be at least {floor}, but is {getattr(self, name)}"
            for name, floor in floors.items()
            if getattr(self, name) is not None and getattr(self, name) < floor
        ]
        if self.learning_rate <= 0:
            faults.append(f"learning_rate must be above 0, but is {self.learning_rate}")
        if not 0 <= self.warmup_share < 1:
            faults.append(f"warmup_share must be at least 0 and below 1, but is {self.warmup_share}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            faults.append(f"ema_decay must be above 0 and below 1, but is {self.ema_decay}")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """Search for translations."""

    num_beams: int = 5
    """Hypotheses kept at each token (paper: 5). 1: the most probable token."""
    max_new_tokens: int = 100
    """Maximum number of tokens of a translation."""
    length_penalty: float = 1.0
    """Exponent of the length that divides the log-likelihood. Above 1 favours long translations."""
    diversity: float = 0.0
    """Stage two: penalty of a token for each earlier beam with the same token at the same step. 0: none."""
    temperature: float = 0.0
    """Stage two: draw each token at this temperature, in place of a search. 0: search. Evaluation only."""

    def __post_init__(self) -> None:
        """Refuse values out of range, and a search that both draws and penalises."""
        for name in ("num_beams", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but is {getattr(self, name)}")
        if self.diversity < 0:
            raise ValueError(f"diversity must be at least 0, but is {self.diversity}")
        if self.temperature < 0:
            raise ValueError(f"temperature must be at least 0, but is {self.temperature}")
        if self.temperature and self.diversity:
            raise ValueError(
                f"temperature or diversity must be 0: drawn candidates differ by themselves, but they are "
                f"{self.temperature} and {self.diversity}"
            )


_AT_LEAST_ZERO = ("weight_decay", "max_grad_norm", "workers")
