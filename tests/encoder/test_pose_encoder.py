"""Encoder of key points: sizes and forward pass as published, and the laws of all encoders."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fla_llm.core.errors import ConfigError
from fla_llm.encoder.config import EncoderConfig, PoseConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.pose_encoder import PoseEncoder
from fla_llm.encoder.pose_graph import PoseGraph
from fla_llm.encoder.store import fingerprint, fingerprint_of, load_encoder, make_encoder, save_encoder

LENGTHS = torch.tensor([4, 9, 1, 7])
PARTS = {"body": range(9), "left": range(9, 30), "right": range(30, 51), "face": range(51, 69)}
KINDS = {"body": "body", "left": "hand", "right": "hand", "face": "face"}
HAND = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10), (10, 11), (11, 12),
        (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20)]  # fmt: skip


@pytest.fixture
def encoder() -> PoseEncoder:
    """Return a small encoder whose BatchNorm layers have statistics of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PoseEncoder(EncoderConfig(kind="poses", hidden_size=12, poses=PoseConfig(width=8)))
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm1d) and layer.running_mean is not None:
                nn.init.normal_(layer.running_mean, std=0.2)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.2)
        nn.init.normal_(made.temporal.part_bias)
    return made.eval()


@pytest.fixture
def flat() -> PoseEncoder:
    """Return a small encoder without a graph, whose BatchNorm layers have statistics of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PoseEncoder(
            EncoderConfig(
                kind="poses", hidden_size=12, kernel_size=3, poses=PoseConfig(network="flat", width=8)
            )
        )
        for norm in (made.temporal.norm, made.temporal.over_time.norm):
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return made.eval()


@pytest.fixture(params=["encoder", "flat"])
def either(request: pytest.FixtureRequest) -> PoseEncoder:
    """Return an encoder with each of the networks in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def poses() -> Tensor:
    return torch.rand(int(LENGTHS.sum()), 69, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        network = PoseGraph(width=256, output_size=768)
    assert sum(weight.numel() for weight in network.parameters()) == 5_346_088


def test_the_graph_of_a_hand() -> None:
    block: Any = PoseGraph(width=8, output_size=4).spatial["hand"].blocks[0]
    matrix = np.eye(21)
    for left, right in HAND:
        matrix[left, right] = matrix[right, left] = 1
    matrix /= matrix.sum(0)
    own, joined = block.adjacency.detach().numpy()
    np.testing.assert_allclose(own, matrix * np.eye(21), atol=1e-6)
    np.testing.assert_allclose(joined, matrix * (1 - np.eye(21)), atol=1e-6)


def batch_norm(norm: Any, x: Tensor) -> Tensor:
    """Normalise (C, T, V) by the running statistics."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def block_by_formula(block: Any, x: Tensor) -> Tensor:
    """Apply a block to (C, T, V) with convolutions over pictures of time and points, as published."""
    hops, outputs = len(block.adjacency), block.norm.num_features
    mixed = functional.conv2d(x[None], block.mix.weight[:, :, None, None], block.mix.bias)[0]
    mixed = mixed.view(hops, outputs, *x.shape[1:])
    y = torch.einsum("kctv,kvw->ctw", mixed, block.adjacency)
    y = batch_norm(block.norm, y).relu()
    if block.over_time is not None:
        conv = block.over_time.conv
        y = functional.conv2d(y[None], conv.weight[..., None], conv.bias, padding=(2, 0))[0]
        y = batch_norm(block.over_time.norm, y)
    if block.residual is not None:
        linear = block.residual.map
        x = functional.conv2d(x[None], linear.weight[:, :, None, None], linear.bias)[0]
        x = batch_norm(block.residual.norm, x)
    return (y + x).relu()


def test_the_forward_pass_by_its_formulas(encoder: PoseEncoder, poses: Tensor) -> None:
    network: Any = encoder.temporal
    clip, features, parts = poses[:9], {}, []
    for part, places in PARTS.items():
        x = network.points[KINDS[part]](clip[:, list(places)]).permute(2, 0, 1)  # (C, T, V)
        for block in network.spatial[KINDS[part]].blocks:
            x = block_by_formula(block, x)
        features[part] = x
    body = features["body"]
    features["left"] = features["left"] + body[..., -2:-1]
    features["right"] = features["right"] + body[..., -1:]
    features["face"] = features["face"] + body[..., :1]
    for part, x in features.items():
        for block in network.temporal[KINDS[part]].blocks:
            x = block_by_formula(block, x)
        parts.append(x.mean(-1).T)
    expected = network.out(torch.cat(parts, dim=-1) + network.part_bias)
    torch.testing.assert_close(encoder(clip, torch.tensor([9]))[0], expected, atol=1e-5, rtol=1e-5)


def test_the_flat_network_by_its_formulas(flat: PoseEncoder, poses: Tensor) -> None:
    network: Any = flat.temporal
    clip = poses[:9]
    hidden = functional.linear(clip.reshape(9, 207), network.points.weight, network.points.bias)
    hidden = batch_norm(network.norm, hidden.T[..., None])[..., 0].relu().T
    mixed = functional.conv1d(
        hidden.T[None], network.over_time.conv.weight, network.over_time.conv.bias, padding=1
    )
    expected = batch_norm(network.over_time.norm, mixed[0, ..., None])[..., 0].relu().T
    torch.testing.assert_close(flat(clip, torch.tensor([9]))[0], expected, atol=1e-5, rtol=1e-5)


def test_a_clip_of_one_frame_trains_a_flat_network(flat: PoseEncoder, poses: Tensor) -> None:
    flat.train()(poses[:1], torch.tensor([1])).sum().backward()
    assert all(weight.grad is not None for weight in flat.parameters())


def test_row_of_a_batch_equals_the_clip_alone(either: PoseEncoder, poses: Tensor) -> None:
    together = either(poses, LENGTHS)
    assert together.shape == (4, 9, 12)
    for row, part in zip(together, poses.split(LENGTHS.tolist()), strict=True):
        alone = either(part, torch.tensor([len(part)]))[0]
        torch.testing.assert_close(row[: len(part)], alone, atol=1e-5, rtol=1e-5)
        assert not row[len(part) :].any()


def test_hands_do_not_train_the_spatial_weights_of_the_body(encoder: PoseEncoder, poses: Tensor) -> None:
    network: Any = encoder.temporal
    hands = nn.functional.one_hot(torch.tensor(1), 4).repeat_interleave(8).float()
    network.out.weight.data *= hands  # the output reads the left hand alone
    encoder(poses, LENGTHS).sum().backward()
    hand, body = (
        [bool(weight.grad.any()) for weight in network.spatial[kind].parameters()]
        for kind in ("hand", "body")
    )
    assert any(hand)
    assert not any(body)


def test_frame_features_are_the_key_points(either: PoseEncoder, poses: Tensor) -> None:
    clips = list(enumerate(part.numpy() for part in poses.split(LENGTHS.tolist())))
    settings: dict[str, Any] = {"frame_batch": 3, "device": torch.device("cpu"), "dtype": torch.float32}
    frames = dict(encode(either, clips, level="frame", **settings))
    np.testing.assert_array_equal(frames[1], clips[1][1].reshape(9, 207).astype("f2"))
    signs = dict(encode(either, clips, level="sign", **settings))
    with torch.no_grad():
        expected = either.sign_features(either.unit_features(torch.from_numpy(clips[1][1])))
    np.testing.assert_array_equal(signs[1], expected.half().numpy())


def test_a_directory_holds_the_encoder(either: PoseEncoder, poses: Tensor, tmp_path: Path) -> None:
    save_encoder(either, tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, PoseEncoder)
    assert loaded.config == either.config
    assert torch.equal(loaded(poses, LENGTHS), either(poses, LENGTHS))
    assert fingerprint(tmp_path) == fingerprint_of(either)
    other = make_encoder(replace(either.config, poses=replace(either.config.poses, threshold=0.4)))
    other.load_state_dict(either.state_dict())
    assert fingerprint_of(other) != fingerprint_of(either)


@pytest.mark.parametrize("settings", [{"width": 6}, {"width": 0}, {"threshold": 1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        PoseConfig(**settings)


def test_poses_have_no_backbone_weights() -> None:
    with pytest.raises(ConfigError, match="there is no backbone"):
        EncoderConfig(kind="poses", pretrained=True)
