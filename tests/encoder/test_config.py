import pytest

from fla_llm.core.config import config_from_dict, config_to_dict
from fla_llm.core.errors import ConfigError
from fla_llm.encoder.config import EncoderConfig
from fla_llm.video import FrameSampling


def test_config_survives_being_written() -> None:
    config = EncoderConfig(
        pool="grid-3", output_stride=8, sampling=FrameSampling(stride=2, train_phases=(0,))
    )
    assert config_from_dict(EncoderConfig, config_to_dict(config), origin="here") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": "max"}, r"pool must be avg, token, mean or grid-N \(grid-1 to grid-99\), but is 'max'"),
        ({"pool": "grid-0"}, "but is 'grid-0'"),
        ({"kernel_size": 4}, "kernel_size must be odd, but is 4"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, but is 0"),
        ({"image_size": 300}, r"resize_size must be at least image_size \(300\), but is 256"),
        ({"std": (0.2, 0.0, 0.2)}, r"std must be above 0, but is \(0.2, 0.0, 0.2\)"),
        ({"scales": ()}, r"scales must rise from 1 or more, but are \[\]"),
        ({"scales": (2, 1)}, r"scales must rise from 1 or more, but are \[2, 1\]"),
        ({"scales": (0, 1)}, r"scales must rise from 1 or more, but are \[0, 1\]"),
        ({"scales": (1, 3)}, r"image_size must divide by the largest scale \(3\), but is 224"),
        ({"pool": "x", "kernel_size": 2}, "pool must be .*; kernel_size must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderConfig(**settings)
