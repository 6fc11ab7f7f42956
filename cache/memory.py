"""Features of a cache kept in memory, shared with worker processes."""

from typing import Any

import numpy as np

from ..core.worker_memory import WorkerMemory


class FeatureMemory:
    """Room for the features of every row; a row is there once any process has put it there."""

    def __init__(self, num_steps: np.ndarray, width: int, *, workers: int) -> None:
        """Make room.

        Args:
            num_steps: steps of each row (N,).
            width: width of a feature.
            workers: processes that read the cache.

        Raises:
            ConfigError: as :class:`WorkerMemory`.
        """
        self._shapes = [(int(steps), width) for steps in num_steps]
        sizes = [2 * steps * width for steps, width in self._shapes]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist()
        self._memory = WorkerMemory(self._starts[-1] + len(sizes), workers=workers)
        self._is_there[:] = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave out features that are not shared: the other process reads the files for itself."""
        return self.__dict__ | {"_memory": self._memory if self._memory.is_shared else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._memory is None:
            self._memory = WorkerMemory(self._starts[-1] + len(self._shapes), workers=0)
            self._is_there[:] = 0

    def get(self, row: int) -> np.ndarray | None:
        """Return a copy of a row's features (T, D); None where nobody put them there."""
        return self._features(row).copy() if self._is_there[row] else None

    def put(self, row: int, features: np.ndarray) -> None:
        """Keep a row's features."""
        self._features(row)[:] = features
        self._is_there[row] = 1  # last: another process may be reading

    @property
    def _is_there(self) -> np.ndarray:
        return self._memory.view(self._starts[-1], (len(self._shapes),))

    def _features(self, row: int) -> np.ndarray:
        return self._memory.view(self._starts[row], self._shapes[row], np.float16)
