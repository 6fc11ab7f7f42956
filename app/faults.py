"""Faults of a report: what could not be shown."""

import logging
from dataclasses import dataclass, field

from ..core.errors import FlaError

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Faults:
    """Faults found while a report is made. The report goes on without the part concerned."""

    found: list[str] = field(default_factory=list[str])

    def add(self, what: str, error: FlaError | str) -> None:
        """Keep and log a fault."""
        self.found.append(f"{what}: {error}")
        logger.warning(self.found[-1])
