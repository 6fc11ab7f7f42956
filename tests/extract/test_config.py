"""Settings that cannot be are refused."""

import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.extract.config import ExtractConfig, TimmConfig
from fla_llm.extract.source import load_source


def test_faulty_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="frame_batch must be at least 1, but is 0"):
        ExtractConfig(frame_batch=0)
    with pytest.raises(ConfigError, match="threads must be at least 1, but is -2"):
        ExtractConfig(threads=-2)
    with pytest.raises(ConfigError, match="workers must be 0 or more, but is -1"):
        ExtractConfig(workers=-1)
    with pytest.raises(ConfigError, match="phase must be 0 or more, but is -1"):
        ExtractConfig(phase=-1)
    assert ExtractConfig(workers=3).num_workers == 3
    assert ExtractConfig().num_workers >= 1


def test_a_random_timm_backbone_is_the_same_by_its_seed() -> None:
    config = ExtractConfig(timm=TimmConfig(pretrained=False, image_size=32))
    first, again = (load_source(ckpt=None, encoder="timm:test_resnet", config=config)[1] for _ in range(2))
    assert first == again
