"""Graphs of the parts: which points are joined, as adjacency matrices for graph convolutions."""

from itertools import pairwise

import numpy as np

from .layouts import PARTS, Part

_HAND = [edge for finger in range(5) for edge in pairwise((0, *range(1 + 4 * finger, 5 + 4 * finger)))]
EDGES: dict[Part, list[tuple[int, int]]] = {
    # Nose to ears and shoulders, then both arms.
    "body": [(0, 1), (0, 2), (0, 3), (0, 4), (3, 5), (5, 7), (4, 6), (6, 8)],
    "left": _HAND,
    "right": _HAND,
    # The jaw, the closed line of the lips, and the nose with every point.
    "face": [
        *pairwise(range(9)), *pairwise(range(9, 17)), (16, 9), *((17, point) for point in range(17)),
    ],
}  # fmt: skip
"""Pairs of points of a part that are joined."""


def adjacency(part: Part) -> np.ndarray:
    """Return the normalised adjacency of a part by distance (2, V, V), float32.

    The first matrix has the points themselves, the second the neighbours. The columns of their sum have the
    sum 1.

    Source: ST-GCN (Yan et al., AAAI 2018), the partition by distance with one hop, as in Uni-Sign.
    """
    size = PARTS[part]
    own, joined = np.eye(size), np.zeros((size, size))
    for left, right in EDGES[part]:
        joined[left, right] = joined[right, left] = 1
    degrees = (own + joined).sum(0)
    return np.stack([own / degrees, joined / degrees]).astype(np.float32)
