"""Training of a mapper: mean squared error over real steps, ended by the error on dev."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.progress import progress
from ..core.seeds import derive_seed
from ..encoder.mapper import Mapper, MapperConfig
from .map_config import MapConfig
from .map_pairs import Pairs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainedMapper:
    """A mapper with its errors on dev."""

    mapper: Mapper
    epoch: int
    """Epoch of the kept weights, from 1."""
    dev_mse: float
    """Mean squared error of an element on dev."""
    mean_mse: float
    """Error of predicting the mean of train for every step."""


def train_mapper(train: Pairs, dev: Pairs, *, config: MapConfig, device: torch.device) -> TrainedMapper:
    """Train a mapper on ``train`` and keep the weights with the lowest error on ``dev``."""
    mapper = _new_mapper(train, config, device)
    # A mapper that learned nothing reaches this error, so that both are always told together.
    mean_mse = _error(dev, device, lambda given: mapper.target_mean.expand(len(given), -1))
    optimiser = torch.optim.AdamW(
        mapper.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    # Copies, because the optimiser changes the weights in place.
    best, best_epoch, kept = float("inf"), 0, copy.deepcopy(mapper.state_dict())
    for epoch in progress(range(1, config.epochs + 1), desc="map", unit="epoch"):
        _train_epoch(
            mapper, train, optimiser, order=_order(train, config, epoch), config=config, device=device
        )
        error = _error(dev, device, mapper)
        logger.debug(f"epoch {epoch}: dev MSE {error:.5g} (of the mean: {mean_mse:.5g})")
        if error < best:
            best, best_epoch, kept = error, epoch, copy.deepcopy(mapper.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    mapper.load_state_dict(kept)
    return TrainedMapper(
        mapper=mapper.requires_grad_(False).eval(), epoch=best_epoch, dev_mse=best, mean_mse=mean_mse
    )


@torch.no_grad()
def _error(pairs: Pairs, device: torch.device, predict: Callable[[Tensor], Tensor]) -> float:
    """Return the mean squared error of an element."""
    total, count = 0.0, 0
    for given, wanted in pairs.batches(range(len(pairs.rows)), clips=32, device=device):
        # In double: the sum of a corpus has more digits than float32.
        total += (predict(given) - wanted).double().square().sum().item()
        count += wanted.numel()
    return total / count


def _train_epoch(
    mapper: Mapper,
    pairs: Pairs,
    optimiser: torch.optim.Optimizer,
    *,
    order: Sequence[int],
    config: MapConfig,
    device: torch.device,
) -> None:
    for given, wanted in pairs.batches(order, clips=config.batch_clips, device=device):
        # Each element of the target counts alike, whatever its magnitude: as the error on dev.
        loss = (mapper(given) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _order(pairs: Pairs, config: MapConfig, epoch: int) -> list[int]:
    # From (seed, epoch) and not from a stream of numbers: an epoch has its order whatever came before.
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "map", epoch) % (1 << 63))
    return torch.randperm(len(pairs.rows), generator=generator).tolist()


def _new_mapper(pairs: Pairs, config: MapConfig, device: torch.device) -> Mapper:
    """Return a mapper with random weights and the statistics of the training steps."""
    source, target = pairs.source.provenance.feature_size, pairs.target.provenance.feature_size
    shape = MapperConfig(source_size=source, target_size=target, hidden_size=config.hidden_size)
    # The weights depend on the seed alone, and the caller's random numbers stay as they were.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        mapper = Mapper(shape)
    given, wanted = _statistics(pairs)
    for name, (mean, std) in (("source", given), ("target", wanted)):
        getattr(mapper, f"{name}_mean").copy_(mean)
        getattr(mapper, f"{name}_std").copy_(std)
    return mapper.to(device)


def _statistics(pairs: Pairs) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return mean and deviation of the training steps, of the source and of the target."""
    # Sums of parts in double, so that a corpus of any size fits into memory and loses no digits.
    sums: list[list[Tensor]] = [[], []]
    count = 0
    for both in pairs.batches(range(len(pairs.rows)), clips=32, device=torch.device("cpu")):
        count += len(both[0])
        for own, part in zip(sums, both, strict=True):
            own.append(torch.stack([part.double().sum(dim=0), part.double().square().sum(dim=0)]))
    found = []
    for own in sums:
        mean, square = torch.stack(own).sum(dim=0) / count
        # A constant feature has no deviation: 1 leaves it as it is.
        std = (square - mean**2).clamp(min=0).sqrt()
        found.append((mean.float(), torch.where(std > 1e-6, std, torch.ones_like(std)).float()))
    return found[0], found[1]
