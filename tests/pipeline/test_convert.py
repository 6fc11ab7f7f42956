"""A published checkpoint of Uni-Sign, drawn at random, computes in fla what its formulas say."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.nn import functional
from transformers import MT5Config, MT5ForConditionalGeneration, PreTrainedTokenizerFast

from fla_llm.cli import fla
from fla_llm.core.errors import ModelError
from fla_llm.encoder.pose_encoder import PoseEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract.config import PosesConfig
from fla_llm.finetune.collate import collate
from fla_llm.finetune.store import load_stage_two
from fla_llm.finetune.uni_sign_checkpoint import read_checkpoint

CPU = torch.device("cpu")
POINTS = {"body": 9, "left": 21, "right": 21, "face_all": 18}
SPATIAL, TEMPORAL = (64, 64, 128, 256), (256, 256, 256, 256)
Tensors = dict[str, Tensor]


def draw_batch_norm(name: str, size: int) -> Tensors:
    return {
        f"{name}.weight": torch.rand(size) + 0.5, f"{name}.bias": torch.randn(size) / 10,
        f"{name}.running_mean": torch.randn(size) / 10, f"{name}.running_var": torch.rand(size) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }  # fmt: skip


def draw_convolution(name: str, out: int, inputs: int, kernel: int = 1) -> Tensors:
    weight = torch.randn(out, inputs, kernel, 1) / (inputs * kernel) ** 0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(out) / 10}


def draw_block(name: str, inputs: int, out: int, points: int, *, is_temporal: bool) -> Tensors:
    found = {f"{name}.gcn.A": torch.rand(2, points, points) / points}
    found |= draw_convolution(f"{name}.gcn.conv", 2 * out, inputs) | draw_batch_norm(f"{name}.gcn.bn", out)
    if is_temporal:
        found |= draw_convolution(f"{name}.tcn.0", out, out, 5) | draw_batch_norm(f"{name}.tcn.1", out)
    if inputs != out:
        found |= draw_convolution(f"{name}.residual.0", out, inputs)
        found |= draw_batch_norm(f"{name}.residual.1", out)
    return found


def draw_part(part: str) -> Tensors:
    points = POINTS[part]
    found = {f"proj_linear.{part}.weight": torch.randn(64, 3), f"proj_linear.{part}.bias": torch.randn(64)}
    for number in range(3):
        name, sizes = f"gcn_modules.{part}.layer{number}_0", SPATIAL[number : number + 2]
        found |= draw_block(name, *sizes, points, is_temporal=False)
        name = f"fusion_gcn_modules.{part}.layer0_{number}"
        found |= draw_block(name, *TEMPORAL[number : number + 2], points, is_temporal=True)
    return found


@pytest.fixture(scope="module")
def published(tokenizer: PreTrainedTokenizerFast) -> Tensors:
    """Random tensors with the names and shapes of Uni-Sign, over a small mT5 of mT5-base's width."""
    torch.manual_seed(4)
    found = {name: tensor for part in POINTS if part != "left" for name, tensor in draw_part(part).items()}
    found |= {name.replace(".right.", ".left."): t for name, t in found.items() if ".right." in name}
    found |= {"part_para": torch.randn(1024), "pose_proj.bias": torch.randn(768)}
    found["pose_proj.weight"] = torch.randn(768, 1024) / 32
    llm = MT5ForConditionalGeneration(small_mt5(tokenizer)).state_dict()
    llm = llm | {"lm_head.weight": torch.randn(len(tokenizer), 768) / 28}
    return found | {f"mt5_model.{name}": tensor.clone() for name, tensor in llm.items()}


def small_mt5(tokenizer: PreTrainedTokenizerFast) -> MT5Config:
    return MT5Config(
        vocab_size=len(tokenizer), d_model=768, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mt5(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mt5")
    MT5ForConditionalGeneration(small_mt5(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def batch_norm(x: Tensor, t: Tensors, name: str) -> Tensor:
    mean, variance = t[f"{name}.running_mean"], t[f"{name}.running_var"]
    return functional.batch_norm(x, mean, variance, t[f"{name}.weight"], t[f"{name}.bias"])


def convolve(x: Tensor, t: Tensors, name: str, padding: int = 0) -> Tensor:
    return functional.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=(padding, 0))


def block(x: Tensor, t: Tensors, name: str) -> Tensor:
    """y = ReLU(TCN(ReLU(BN(sum_k A_k W_k x))) + residual), over (B, C, T, V)."""
    mixed = convolve(x, t, f"{name}.gcn.conv").unflatten(1, (2, -1))
    y = torch.einsum("bkctv,kvw->bctw", mixed, t[f"{name}.gcn.A"])
    y = functional.relu(batch_norm(y, t, f"{name}.gcn.bn"))
    if f"{name}.tcn.0.weight" in t:
        y = batch_norm(convolve(y, t, f"{name}.tcn.0", padding=2), t, f"{name}.tcn.1")
    if f"{name}.residual.0.weight" in t:
        x = batch_norm(convolve(x, t, f"{name}.residual.0"), t, f"{name}.residual.1")
    return functional.relu(y + x)


def pose_tokens(t: Tensors, poses: Tensor) -> Tensor:
    """Return the vectors (T, 768) of one clip (T, 69, 3)."""
    features, body = [], None
    joints = {"left": -2, "right": -1, "face_all": 0}
    for part, points in zip(POINTS, poses.split(list(POINTS.values()), dim=1), strict=True):
        weight, bias = t[f"proj_linear.{part}.weight"], t[f"proj_linear.{part}.bias"]
        x = functional.linear(points, weight, bias).permute(2, 0, 1)[None]
        for number in range(3):
            x = block(x, t, f"gcn_modules.{part}.layer{number}_0")
        body = x if body is None else body
        if part in joints:
            x = x + body[..., joints[part], None]
        for number in range(3):
            x = block(x, t, f"fusion_gcn_modules.{part}.layer0_{number}")
        features.append(x.mean(-1)[0].T)
    joined = torch.cat(features, dim=-1) + t["part_para"]
    return functional.linear(joined, t["pose_proj.weight"], t["pose_proj.bias"])


def save(tensors: Tensors, path: Path) -> Path:
    torch.save({"model": tensors}, path)
    return path


@torch.no_grad()
def test_a_converted_checkpoint_computes_the_formulas(
    published: Tensors, mt5: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    file = str(save(published, tmp_path / "best.pth"))
    arguments = ["convert", file, "--llm", str(mt5), "--language", "de", "--out", str(run), "--json"]
    said = json.loads(CliRunner().invoke(fla, arguments, catch_exceptions=False).stdout)
    single = (".left.", "num_batches_tracked", "running_", "embed_tokens")
    expected = sum(t.numel() for name, t in published.items() if not any(part in name for part in single))
    assert (said["parameters"], said["left_out"]) == (expected, [])
    model = load_stage_two(run, device="cpu")
    assert model.streams[0].fingerprint == fingerprint_of(PoseEncoder(PosesConfig().encoder))
    lengths = (7, 3)
    clips = [
        {"features": torch.randn(n, 207).numpy(), "text": text, "language": "de"}
        for n, text in zip(lengths, ("heute regen", "wind"), strict=True)
    ]
    batch = collate(clips, codec=model.codec)
    conditioning = model._conditioning(batch)
    reference = MT5ForConditionalGeneration(small_mt5(tokenizer)).eval()
    reference.lm_head.weight = torch.nn.Parameter(published["mt5_model.lm_head.weight"])
    names = {name.removeprefix("mt5_model."): t for name, t in published.items() if name[:4] == "mt5_"}
    reference.load_state_dict(names)
    prompt = torch.tensor([tokenizer("Translate sign language video to German:")["input_ids"]])
    loss, tokens = torch.zeros(()), 0
    for number, clip in enumerate(clips):
        poses = torch.from_numpy(clip["features"])
        own = pose_tokens(published, poses.unflatten(1, (69, 3)))
        torch.testing.assert_close(conditioning.features[number, : len(poses)], own, atol=1e-4, rtol=1e-4)
        embeds = torch.cat([reference.shared(prompt), own[None]], dim=1)
        labels = torch.tensor([tokenizer(clip["text"])["input_ids"]])
        logits = reference(inputs_embeds=embeds, labels=labels).logits[0]
        loss += functional.cross_entropy(logits, labels[0], label_smoothing=0.2, reduction="sum")
        tokens += labels.numel()
    torch.testing.assert_close(model(**batch)["loss"], loss / tokens, atol=1e-4, rtol=1e-4)


def test_the_branch_of_pictures_is_left_out_with_a_warning(
    published: Tensors, mt5: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = {"rgb_proj.bias": torch.zeros(4), "fusion_gate.0.weight": torch.zeros(4, 4, 1)}
    found = read_checkpoint(save(published | pictures, tmp_path / "rgb.pth"))
    assert found.left_out == tuple(pictures)
    assert found.graph.keys() == read_checkpoint(save(published, tmp_path / "poses.pth")).graph.keys()
    from fla_llm.pipeline.convert import convert_uni_sign

    with caplog.at_level(logging.WARNING):
        convert_uni_sign(tmp_path / "rgb.pth", llm=str(mt5), language="en", out=tmp_path / "run")
    assert "2 tensors of the branch of pictures are left out, such as rgb_proj.bias" in caplog.text


def drop(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"proj_linear.left.bias": torch.ones(64)}, "same weights for both hands.*left.bias"),
        (drop("proj_linear.right.bias"), "same weights for both hands"),
        (lambda t: t | {"head.weight": torch.ones(2)}, "Uni-Sign, but holds 'head.weight'"),
        (lambda t: {"part_para": torch.ones(4)}, "lacks its graph network or mT5"),
        (lambda t: {"part_para": 3}, "must hold a dict of tensors under 'model'"),
    ],
)
def test_another_checkpoint_is_refused(
    change: Callable[[Tensors], Tensors], message: str, published: Tensors, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        read_checkpoint(save(change(published), tmp_path / "other.pth"))


def test_an_absent_tensor_is_named(published: Tensors, mt5: Path, tmp_path: Path) -> None:
    from fla_llm.pipeline.convert import convert_uni_sign

    path = save(drop("gcn_modules.body.layer1_0.gcn.A")(published), tmp_path / "cut.pth")
    with pytest.raises(ModelError, match="it lacks 1 tensor .spatial.body.blocks.1.adjacency"):
        convert_uni_sign(path, llm=str(mt5), language="de", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"model": Harmful()}, tmp_path / "bad.pth", pickle_module=pickle)
    with pytest.raises(ModelError, match="must be a checkpoint of tensors alone"):
        read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()
