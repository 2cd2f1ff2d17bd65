"""What makes a batch: urgency first, alike lengths together, never more than the token budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.batching import bucket, choose_batch

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=80)
BUDGETS = st.integers(1, 4096)
LAUNCHES = st.floats(0, 2000)


def padded(lengths: list[int], batch: list[int]) -> int:
    return len(batch) * max(lengths[i] for i in batch)


@given(LENGTHS, BUDGETS, LAUNCHES)
def test_a_batch_costs_at_most_the_budget_unless_one_item_alone_does(
    lengths: list[int], budget: int, launch: float
) -> None:
    batch = choose_batch(lengths, budget, launch)
    assert padded(lengths, batch) <= budget or batch == [0]


@given(LENGTHS, BUDGETS, LAUNCHES)
def test_the_most_urgent_item_is_always_in_the_batch_and_order_is_kept(
    lengths: list[int], budget: int, launch: float
) -> None:
    batch = choose_batch(lengths, budget, launch)
    assert batch[0] == 0
    assert batch == sorted(set(batch))


@given(LENGTHS, BUDGETS)
def test_without_a_launch_to_save_only_one_length_bucket_is_mixed(lengths: list[int], budget: int) -> None:
    batch = choose_batch(lengths, budget, launch_tokens=0)
    assert {bucket(lengths[i]) for i in batch} == {bucket(lengths[0])}


@given(LENGTHS, BUDGETS, LAUNCHES)
def test_leading_items_are_padded_to_another_bucket_only_for_less_than_the_launch_saved(
    lengths: list[int], budget: int, launch: float
) -> None:
    batch = choose_batch(lengths, budget, launch)
    if bucket(max(lengths[i] for i in batch)) != bucket(lengths[0]):
        assert padded(lengths, batch) - sum(lengths[i] for i in batch) < launch


@given(LENGTHS)
def test_with_room_for_all_every_item_of_the_leading_bucket_is_taken(lengths: list[int]) -> None:
    batch = choose_batch(lengths, token_budget=len(lengths) * max(lengths), launch_tokens=0)
    assert batch == [i for i, length in enumerate(lengths) if bucket(length) == bucket(lengths[0])]


@given(st.integers(17, 4096))
def test_padding_inside_a_bucket_stays_below_19_percent(length: int) -> None:
    shortest = next(n for n in range(length // 2, length + 1) if bucket(n) == bucket(length))
    assert (length - shortest) / length < 0.19


def test_short_histories_share_a_bucket_and_longer_ones_do_not() -> None:
    assert bucket(1) == bucket(16) != bucket(17)
    assert choose_batch([3, 200, 16, 9], token_budget=1000, launch_tokens=0) == [0, 2, 3]


def test_a_dear_launch_makes_lengths_mix() -> None:
    assert choose_batch([3, 200, 16, 9], token_budget=1000, launch_tokens=1000) == [0, 1, 2, 3]


def test_a_long_item_that_fits_does_not_let_short_ones_pad_without_bound() -> None:
    assert choose_batch([10, 500, *[10] * 50], token_budget=100_000, launch_tokens=600) == [0, 1]
