"""Hours of a stage: exact steps, times seconds measured on this GPU or estimated from FLOPs."""

from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigError

EFFICIENCY = (0.10, 0.40)
"""Lowest and highest efficiency of training, as shares of the published throughput. Assumed."""
TFLOPS = {
    "T4": 65, "V100": 125, "A10": 125, "A40": 150, "A6000": 155, "A100": 312, "L4": 121, "L40S": 362,
    "RTX 3090": 71, "RTX 4090": 165, "RTX 5090": 210, "H100": 989, "H200": 989,
}  # fmt: skip
"""Published dense throughput in 16 bits with fp32 sums, in 10**12 a second, from the makers' data sheets,
rounded. The H100 and H200 are those of SXM boards."""


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Estimated or measured time of a whole run."""

    steps_per_epoch: int
    epochs: int
    low: float | None
    """Hours of all epochs. None without a known card and without a measurement."""
    high: float | None
    source: str
    """Source of the seconds per step."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        hours = None if self.low is None else [self.low, self.high]
        return {
            "steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs, "hours": hours,
            "hours_from": self.source,
        }  # fmt: skip

    def describe(self, unit: str = "steps") -> str:
        """Return a line for people."""
        count = f"{self.steps_per_epoch} {unit}"
        count += f" an epoch, {self.epochs} epochs" if self.epochs > 1 else ""
        if self.low is None or self.high is None:
            return f"Time: {count}; {self.source}."
        return f"Time: {count}; {self.low:.2g} to {self.high:.2g} hours ({self.source})."


def estimate_hours(flops: float, *, card: str | None, steps: int, epochs: int, left_out: str) -> Hours:
    """Return the hours of a run from the FLOPs of an epoch.

    Args:
        flops: FLOPs of all passes of all batches of an epoch.
        card: a name that contains a key of :data:`TFLOPS`. None or another name gives no hours.
        steps: steps of an epoch.
        epochs: epochs of the run.
        left_out: work that the estimate does not count, for the message.
    """
    known = card_name(card)
    if known is None:
        source = f"for hours give --gpu, one of {', '.join(TFLOPS)}"
        return Hours(steps_per_epoch=steps, epochs=epochs, low=None, high=None, source=source)
    best = flops * epochs / (TFLOPS[known] * 1e12) / 3600
    # The higher efficiency gives the lower hours.
    low, high = (best / share for share in reversed(EFFICIENCY))
    source = (
        f"an estimate no GPU has measured: {TFLOPS[known]} TFLOPS of the {known} at {EFFICIENCY[0]:.0%} to "
        f"{EFFICIENCY[1]:.0%} efficiency, without {left_out}"
    )
    return Hours(steps_per_epoch=steps, epochs=epochs, low=low, high=high, source=source)


def measured_hours(seconds: float, *, steps: int, epochs: int, source: str) -> Hours:
    """Return the hours of a run whose epoch takes ``seconds``."""
    hours = seconds * epochs / 3600
    return Hours(steps_per_epoch=steps, epochs=epochs, low=hours, high=hours, source=source)


def card_name(name: str | None) -> str | None:
    """Return the longest name of :data:`TFLOPS` in a device's name: an A100 is no A10.

    >>> card_name("NVIDIA A100-SXM4-80GB")
    'A100'
    """
    known = (card for card in TFLOPS if name is not None and card.lower() in name.lower())
    return max(known, key=len, default=None)


def check_card(name: str) -> str:
    """Return ``name`` if the throughput of the card is known.

    Raises:
        ConfigError: the name holds no key of :data:`TFLOPS`.
    """
    if card_name(name) is None:
        raise ConfigError(f"--gpu must be one of {', '.join(TFLOPS)}, but is {name}.")
    return name
