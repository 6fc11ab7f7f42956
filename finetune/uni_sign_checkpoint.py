"""Checkpoints of Uni-Sign: the graph network under the names of fla, and the weights of mT5.

Names: ``models.py`` and ``stgcn_layers/`` of Uni-Sign (Li et al., ICLR 2025). A checkpoint is what
``torch.save`` writes of ``{"model": tensors}``. The left hand has the weights of the right hand, and a
checkpoint holds them twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import ModelError
from ..core.read_errors import READ_ERRORS
from ..core.weights import check_content

_KINDS = {"body": "body", "right": "hand", "face_all": "face"}
"""Part of Uni-Sign -> part of :class:`.PoseGraph`."""
_PART = re.compile(r"(proj_linear|gcn_modules|fusion_gcn_modules)\.(\w+?)\.(.+)")
_BLOCK = re.compile(r"layer(\d)_(\d)\.(.+)")
_CHAINS = {"gcn_modules": "spatial", "fusion_gcn_modules": "temporal"}
_LAYERS = {
    "gcn.A": "adjacency", "gcn.conv": "mix", "gcn.bn": "norm", "tcn.0": "over_time.conv",
    "tcn.1": "over_time.norm", "residual.0": "residual.map", "residual.1": "residual.norm",
}  # fmt: skip
_SHARED = {"part_para": "part_bias", "pose_proj.weight": "out.weight", "pose_proj.bias": "out.bias"}
_LLM = "mt5_model."
_PICTURES = ("rgb_support_backbone.", "rgb_proj.", "fusion_pose_rgb_", "fusion_gate.")
"""Beginnings of the names of the branch of pictures."""


@dataclass(frozen=True, kw_only=True)
class UniSignCheckpoint:
    """Weights of a checkpoint."""

    graph: dict[str, Tensor]
    """Tensors by the names of :class:`.PoseGraph`."""
    llm: dict[str, Tensor]
    """Tensors of mT5 by the names of transformers."""
    left_out: tuple[str, ...]
    """Names of the tensors of the branch of pictures."""

    @property
    def width(self) -> int:
        """Channels of a part."""
        return self.graph["out.weight"].shape[1] // 4


def read_checkpoint(path: Path) -> UniSignCheckpoint:
    """Return the weights of a checkpoint. Nothing in the file is run.

    Raises:
        ModelError: the file is damaged, holds more than tensors, or is no checkpoint of Uni-Sign.
    """
    tensors = _read_tensors(path)
    _check_left(tensors, path)
    graph: dict[str, Tensor] = {}
    llm: dict[str, Tensor] = {}
    left_out: list[str] = []
    for name, tensor in tensors.items():
        if name.startswith(_LLM):
            llm[name.removeprefix(_LLM)] = tensor
        elif name.startswith(_PICTURES):
            left_out.append(name)
        elif ".left." not in name:
            own = _rename(name)
            if own is None:
                raise ModelError(f"{path} must be a checkpoint of Uni-Sign, but holds {name!r}.")
            graph[own] = _reshape(tensor, own)
    if "out.weight" not in graph or not llm:
        raise ModelError(f"{path} must be a checkpoint of Uni-Sign, but lacks its graph network or mT5.")
    return UniSignCheckpoint(graph=graph, llm=llm, left_out=tuple(left_out))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    check_content(path)
    try:
        # weights_only: a pickle can run any code, and a checkpoint needs none.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except READ_ERRORS as error:
        reason = str(error).split("\n")[0]
        raise ModelError(f"{path} must be a checkpoint of tensors alone, but: {reason}") from error
    tensors = content.get("model") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelError(f"{path} must hold a dict of tensors under 'model', but does not.")
    return tensors


def _check_left(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a checkpoint whose hands differ: the graph network has one set of weights for both."""
    for name, tensor in tensors.items():
        if ".left." not in name:
            continue
        right = tensors.get(name.replace(".left.", ".right."))
        if right is None or not torch.equal(tensor, right):
            raise ModelError(
                f"{path} must have the same weights for both hands, as Uni-Sign, but {name!r} differs from "
                "that of the right hand."
            )


def _rename(name: str) -> str | None:
    """Return the name in :class:`.PoseGraph`, or None for an unknown name.

    >>> _rename("gcn_modules.right.layer1_0.gcn.conv.weight")
    'spatial.hand.blocks.1.mix.weight'
    >>> _rename("fusion_gcn_modules.face_all.layer0_2.gcn.A")
    'temporal.face.blocks.2.adjacency'
    """
    if name in _SHARED:
        return _SHARED[name]
    match = _PART.fullmatch(name)
    if match is None or match[2] not in _KINDS:
        return None
    module, kind, rest = match[1], _KINDS[match[2]], match[3]
    if module == "proj_linear":
        return f"points.{kind}.{rest}"
    block = _BLOCK.fullmatch(rest)
    if block is None:
        return None
    # The spatial chain counts widths, the temporal chain the blocks of one width.
    number = block[1] if module == "gcn_modules" else block[2]
    layer = next((old for old in _LAYERS if block[3] == old or block[3].startswith(f"{old}.")), None)
    if layer is None:
        return None
    return f"{_CHAINS[module]}.{kind}.blocks.{number}.{_LAYERS[layer]}{block[3].removeprefix(layer)}"


def _reshape(tensor: Tensor, own: str) -> Tensor:
    """Return a convolution over one point as the linear layer or the convolution over time that it is."""
    if tensor.ndim != 4:
        return tensor
    # (out, in, 1, 1) of a linear layer, (out, in, 5, 1) of a convolution over time.
    return tensor.flatten(2) if own.endswith("over_time.conv.weight") else tensor.flatten(1)
