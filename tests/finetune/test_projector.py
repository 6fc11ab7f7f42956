"""The projector speaks as loud as the embeddings, in fp32 under autocast too."""

import pytest
import torch

from fla_llm.finetune.config import ProjectorConfig
from fla_llm.finetune.projector import Projector, embedding_rms, rms


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("loudness", [0.02, 30.0])
def test_output_has_the_magnitude_it_is_matched_to(kind: str, loudness: float) -> None:
    projector = Projector(8, 64, config=ProjectorConfig(kind=kind, hidden_size=16))
    projector.match(loudness)
    assert rms(projector(torch.randn(2, 50, 8) * 7)) == pytest.approx(loudness, rel=0.01)


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
