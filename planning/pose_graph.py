"""Memory and work of the graph network over key points."""

from functools import lru_cache

import torch

from ..encoder.pose_graph import KINDS, PoseGraph
from ..poses.layouts import NUM_POINTS, PARTS
from .saved_bytes import SavedBytes

_FRAMES = 16  # enough frames that borders of clips weigh little


@lru_cache(maxsize=8)
def pose_bytes(width: int, output_size: int) -> int:
    """Return the bytes that a frame keeps for the backward pass, by counting a small forward pass."""
    with torch.random.fork_rng(devices=[]):
        graph = PoseGraph(width=width, output_size=output_size)
    saved = SavedBytes([*graph.parameters(), *graph.buffers()])
    poses = torch.zeros(_FRAMES, NUM_POINTS, 3)
    with saved:
        graph(poses, torch.tensor([_FRAMES]))
    return saved.total // _FRAMES


@lru_cache(maxsize=8)
def pose_flops(width: int, output_size: int) -> int:
    """Return the FLOPs of the forward pass of a frame."""
    with torch.device("meta"):
        graph = PoseGraph(width=width, output_size=output_size)
    # Every weight of a part is used once at each point, and once per frame in the last layer.
    chains = (graph.points, graph.spatial, graph.temporal)
    at_points = sum(
        PARTS[part] * sum(p.numel() for p in chain[kind].parameters())
        for part, kind in KINDS.items()
        for chain in chains
    )
    return 2 * (at_points + sum(p.numel() for p in graph.out.parameters()))
