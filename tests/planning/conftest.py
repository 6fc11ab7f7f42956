"""The bytes that a real step takes on a CPU."""

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def peak_bytes(tmp_path: Path) -> Callable[[Callable[[], Any]], int]:
    """Return a function that returns the most bytes that the CPU's allocator gave to ``work`` at once."""

    def measure(work: Callable[[], Any]) -> int:
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as trace:
            work()
        trace.export_chrome_trace(str(tmp_path / "trace.json"))
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        memory = sorted((event for event in events if event["name"] == "[memory]"), key=lambda e: e["ts"])
        held = accumulate((event["args"]["Bytes"] for event in memory), initial=0)
        return max(held)

    return measure
