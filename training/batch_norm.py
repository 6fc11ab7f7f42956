"""BatchNorm layers of a model, and the running statistics that a forward pass changes."""

from torch import Tensor, nn

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def batch_norms(module: nn.Module) -> list[BatchNorm]:
    """Return all BatchNorm layers of a module."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Return means, variances and counts of all BatchNorm layers of a module."""
    return [statistic for layer in batch_norms(module) for statistic in layer.buffers(recurse=False)]
