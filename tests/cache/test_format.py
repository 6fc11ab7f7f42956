"""Names and provenance."""

from typing import Any

import pytest

from fla_llm.cache.format import from_attributes, parse_shard_name, provenance_difference, to_attributes
from fla_llm.core.errors import CacheError


def test_attributes_come_back(maker: Any) -> None:
    made_by = maker.made_by()
    assert from_attributes(to_attributes(made_by), origin="x.h5") == made_by


def test_a_missing_attribute_is_named(maker: Any) -> None:
    attributes = to_attributes(maker.made_by())
    del attributes["level"]
    with pytest.raises(CacheError, match=r"x.h5 must have the attribute 'level', but lacks it"):
        from_attributes(attributes, origin="x.h5")
    with pytest.raises(CacheError, match="must have format version 1, but has None"):
        from_attributes({}, origin="x.h5")


def test_the_first_difference_is_named_with_its_dots(maker: Any) -> None:
    left = maker.made_by(encoder_config={"sampling": {"stride": 4}, "mean": (1, 2)})
    right = maker.made_by(encoder_config={"sampling": {"stride": 2}, "mean": [1, 2], "more": 1})
    assert provenance_difference(left, left) is None
    assert provenance_difference(left, right) == ("encoder_config.sampling.stride", 4, 2)
    assert provenance_difference(left, right, ignore=("encoder_config",)) is None


@pytest.mark.parametrize("name", ["train.h5", "valid-0-of-1.h5", "train-0-of-1.h5.bak", "train-a-of-1.h5"])
def test_other_names_are_no_shards(name: str) -> None:
    assert parse_shard_name(name) is None
