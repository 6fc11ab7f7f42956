"""Batches: every clip once, within bounds, the same for the same seed."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from fla_llm.training.batches import DUMMY, EpochOrder, make_batches, padded_size

LENGTHS = [random.Random(0).randint(1, 60) for _ in range(200)]


@pytest.mark.parametrize(("max_clips", "max_steps"), [(8, 10_000), (100, 120), (4, 100), (1, 1)])
def test_every_clip_stands_in_one_batch_within_bounds(max_clips: int, max_steps: int) -> None:
    batches = make_batches(LENGTHS, max_clips=max_clips, max_steps=max_steps, seed=1)
    assert sorted(index for batch in batches for index in batch) == list(range(len(LENGTHS)))
    for batch in batches:
        padded = len(batch) * max(LENGTHS[index] for index in batch)
        assert len(batch) <= max_clips
        assert padded <= max_steps or len(batch) == 1


def test_clips_of_near_equal_length_share_a_batch() -> None:
    batches = make_batches(LENGTHS, max_clips=8, max_steps=10_000, seed=1)
    padded = sum(len(batch) * max(LENGTHS[index] for index in batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)


def test_the_seed_decides_which_equals_meet() -> None:
    def form(seed: int) -> list[list[int]]:
        return make_batches([5] * 12, max_clips=4, max_steps=100, seed=seed)

    assert form(1) == form(1)
    assert form(1) != form(2)


def test_no_clips_make_no_batches() -> None:
    assert make_batches([], max_clips=2, max_steps=2, seed=0) == []


def test_an_epoch_shuffles_the_order_of_the_same_batches(
    toy_data: Callable[..., Any], toy_items: Callable[..., Any]
) -> None:
    dataset = toy_data(toy_items(40))
    orders = []
    for epoch in (0, 1, 1):
        dataset.set_epoch(epoch)
        orders.append(list(EpochOrder(dataset, seed=3)))
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] != orders[1] == orders[2]


@pytest.mark.parametrize("sides", [1, 2])
def test_less_than_a_tenth_is_padding_on_clips_like_phoenix14ts(sides: int) -> None:
    """Frames about gamma-distributed, a feature every four; sentences drawn apart from them."""
    draw = random.Random(0)
    lengths = [
        [4 + min(115, round(draw.gammavariate(5, 6))) for _ in range(2000)],
        [3 + min(100, round(draw.gammavariate(4, 8))) for _ in range(2000)],
    ][:sides]
    batches = make_batches(*lengths, max_clips=16, max_steps=2000, seed=1)
    assert sorted(index for batch in batches for index in batch) == list(range(2000))
    sizes = [padded_size(batch, *lengths) for batch in batches]
    assert all(size <= 2000 or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
    assert 1 - sum(map(sum, lengths)) / sum(sizes) < 0.1


def test_processes_take_as_many_turns_and_what_fills_the_last_is_marked(
    toy_data: Callable[..., Any], toy_items: Callable[..., Any]
) -> None:
    dataset = toy_data(toy_items(40))
    order = EpochOrder(dataset, seed=3, processes=4)
    indices = list(order)
    assert (len(order), indices[10:]) == (12, [10, 11])
    assert sorted(indices[:10]) == list(range(10))
    assert [DUMMY in dataset[index] for index in range(12)] == [False] * 10 + [True] * 2
