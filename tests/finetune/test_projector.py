"""The projector speaks as loud as the embeddings, in fp32 under autocast too."""

import pytest
import torch

from fla_llm.core.errors import ConfigError
from fla_llm.finetune.config import ProjectorConfig
from fla_llm.finetune.projector import Projector, embedding_rms, rms


@pytest.mark.parametrize("kind", ["linear", "mlp", "conv", "adapter"])
@pytest.mark.parametrize("magnitude", [0.02, 30.0])
def test_output_has_the_magnitude_it_is_matched_to(kind: str, magnitude: float) -> None:
    projector = Projector(8, 64, config=ProjectorConfig(kind=kind, hidden_size=16))
    projector.calibrate(magnitude)
    assert rms(projector(torch.randn(2, 50, 8) * 7)) == pytest.approx(magnitude, rel=0.01)


def test_the_magnitude_includes_a_scale_inside_the_embedding() -> None:
    class Scaled(torch.nn.Embedding):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 32

    embed = Scaled(10, 64)
    expected = rms(embed.weight[[3, 3, 5]]) * 32
    assert embedding_rms(embed, [3, 3, 5], device=torch.device("cpu")) == pytest.approx(expected)


def test_it_computes_in_fp32_under_autocast() -> None:
    projector = Projector(8, 64, config=ProjectorConfig(hidden_size=16))
    features = torch.randn(1, 5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = projector(features.half())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, projector(features.half()))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_convolution_shortens_every_clip_as_if_it_were_alone(stride: int) -> None:
    config = ProjectorConfig(kind="conv", hidden_size=16, kernel=5, stride=stride)
    projector = Projector(8, 64, config=config)
    lengths = torch.tensor([9, 4, 1])
    features = torch.randn(3, 9, 8)
    for row, length in enumerate(lengths.tolist()):
        features[row, length:] = torch.nan  # nothing of it may leak in
    together = projector(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = projector(features[row : row + 1, :length])[0]
        steps = projector.output_lengths(lengths)[row]
        assert len(alone) == steps == -(-length // stride)
        torch.testing.assert_close(together[row, :steps], alone)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "'projector.kernel' must be odd and above 0, but is 4"),
        ({"kernel": 3, "stride": 4}, r"'projector.stride' must be in 1..3 \(the kernel\), but is 4"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProjectorConfig(kind="conv", **settings)
