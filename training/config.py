"""Settings of a training run and of the search for translations. Loads no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..core.device import Precision

Optimiser = Literal["adamw", "sgd", "adamw8bit", "paged_adamw8bit"]
Tracker = Literal["none", "tensorboard", "wandb", "trackio"]
Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained; each stage adds what bounds a batch."""

    epochs: int
    """Passes over the training split."""
    batch_clips: int
    """Clips in a batch, at most."""
    accumulate: int = 1
    """Batches whose gradients are added up before one step of the optimiser."""
    learning_rate: float
    """Highest rate of parameter groups that name none of their own."""
    weight_decay: float
    """Decay of matrices; norms and biases have none."""
    warmup_share: float
    """Share of all steps over which the rate climbs from zero, below 1."""
    schedule: Schedule = "cosine"
    """How the rate falls after the warm-up, to zero unless constant."""
    optimiser: Optimiser = "adamw"
    """The 8-bit ones are bitsandbytes'; sgd has momentum 0.9."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are cut to it; 0 for no cutting."""
    precision: Precision = "auto"
    """auto computes in bf16 where that is quicker, else in fp32."""
    select: Literal["best", "last"] = "best"
    """Which checkpoint the run hands on: the best by dev BLEU-4, chrF, then the later epoch; or the last."""
    evaluate_every_epochs: int = 1
    """Epochs between evaluations on dev; the last epoch is always evaluated."""
    evaluate_from_epoch: int = 1
    """First epoch that may be evaluated (decoding an untrained model is slow)."""
    patience_epochs: int | None = None
    """End the run after this many epochs without a better dev BLEU-4 (equal: chrF); None: never."""
    save_every_epochs: int = 1
    """Epochs between checkpoints; a new best and the last epoch are always saved."""
    save_every_steps: int | None = None
    """Further checkpoints inside an epoch, for long ones; None for none."""
    log_every_steps: int = 50
    """Steps between lines of log.jsonl; the end of an epoch is always logged."""
    report_to: Tracker = "none"
    """Who is told losses, rates and dev scores besides log.jsonl; set up by the tracker's own variables."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in the main process."""

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
    """Settings that 0 makes no sense of; None passes."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
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
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How translations are searched for."""

    num_beams: int = 5
    """Hypotheses kept at each token; 1 takes the likeliest token (the paper: 5)."""
    max_new_tokens: int = 100
    """Tokens of a translation, at most."""
    length_penalty: float = 1.0
    """Exponent of the length by which a hypothesis' log-likelihood is divided; above 1 favours long ones."""
    diversity: float = 0.0
    """Stage two: what a token loses for each earlier beam that took it at the same step; 0: beam search."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("num_beams", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but is {getattr(self, name)}")
        if self.diversity < 0:
            raise ValueError(f"diversity must be at least 0, but is {self.diversity}")


_AT_LEAST_ZERO = ("weight_decay", "max_grad_norm", "workers")
