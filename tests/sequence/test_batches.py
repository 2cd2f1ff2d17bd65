"""Ragged datasets and token-budget batches."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.sequence import EncodedHistory, RaggedDataset, RaggedWriter, TokenBudgetBatches, collate

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=200)


def encoded(length: int, texts: int = 0, width: int = 3) -> EncodedHistory:
    rng = np.random.default_rng(length)
    return EncodedHistory(
        history_id=str(length),
        event_ids=tuple(str(i) for i in range(length)),
        categorical=rng.integers(0, 9, (length, 2)).astype(np.int32),
        numeric=rng.normal(size=(length, 4)).astype(np.float32),
        position=np.arange(length, dtype=np.float32),
        text_index=rng.integers(0, texts + 1, length).astype(np.int32),
        text_vectors=rng.normal(size=(texts, width)).astype(np.float32),
    )


@given(lengths, st.integers(1, 300), st.integers(0, 3), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_every_history_is_in_exactly_one_batch_within_the_budget(
    sizes: list[int], budget: int, epoch: int, world: int
) -> None:
    seen: list[int] = []
    steps = set()
    for rank in range(world):
        batches = TokenBudgetBatches(np.array(sizes), budget, seed=1, rank=rank, world_size=world)
        batches.set_epoch(epoch)
        own = list(batches)
        steps.add(len(own))
        for batch in own:
            longest = max(sizes[i] for i in batch)
            assert len(batch) * longest <= budget or len(batch) == 1
            seen.extend(batch)
    assert len(steps) == 1, "every process runs as many steps"
    assert set(seen) == set(range(len(sizes)))
    if world == 1:
        assert len(seen) == len(sizes)


@given(lengths, st.integers(1, 300), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_an_epoch_of_few_batches_reads_every_history_as_often_as_any_other_but_once(
    sizes: list[int], budget: int, least: int, world: int
) -> None:
    made = [
        TokenBudgetBatches(np.array(sizes), budget, seed=1, rank=rank, world_size=world, at_least=least)
        for rank in range(world)
    ]
    epochs = [list(batches) for batches in made]
    once = len(TokenBudgetBatches(np.array(sizes), budget, seed=1))
    assert {len(own) for own in epochs} == {max(least, -(-once // world))}
    read = np.bincount([i for own in epochs for batch in own for i in batch], minlength=len(sizes))
    assert read.min() >= 1 and read.max() - read.min() <= 1
    assert made[0].passes == max(1.0, least * world / once)


def test_every_pass_of_an_epoch_has_an_order_of_its_own() -> None:
    sizes = np.full(64, 4)
    batches = TokenBudgetBatches(sizes, 32, seed=3, at_least=16)
    own = [batch for batch in batches]
    first, second = own[:8], own[8:]
    assert (
        sorted(i for batch in first for i in batch) == sorted(i for batch in second for i in batch) == list(range(64))
    )
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    assert first == list(TokenBudgetBatches(sizes, 32, seed=3)), "the first pass is the epoch of larger data"


def test_order_depends_on_seed_and_epoch_alone() -> None:
    sizes = np.random.default_rng(0).integers(1, 50, 500)

    def order(epoch: int) -> list[list[int]]:
        batches = TokenBudgetBatches(sizes, 512, seed=3)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_sorted_lengths_leave_little_padding() -> None:
    sizes = np.random.default_rng(0).geometric(0.15, 20_000)
    assert TokenBudgetBatches(sizes, 2_048).real_token_share() >= 0.95


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_collate_pads_on_the_right_and_keeps_each_text_with_its_event(sizes: list[int]) -> None:
    histories = [encoded(size, texts=size % 3) for size in sizes]
    batch = collate(histories)
    for row, history in enumerate(histories):
        np.testing.assert_array_equal(batch["categorical"][row, : history.length], history.categorical)
        assert not batch["categorical"][row, history.length :].any()
        for t in range(history.length):
            index = history.text_index[t]
            if index:
                found = batch["text_vectors"][batch["text_index"][row, t] - 1]
                np.testing.assert_array_equal(found, history.text_vectors[index - 1])
            else:
                assert batch["text_index"][row, t] == 0


@given(st.integers(1, 40), st.integers(0, 20), st.data())
@settings(max_examples=40, deadline=None)
def test_a_part_of_a_history_keeps_its_own_texts_and_no_others(length: int, texts: int, data: st.DataObject) -> None:
    whole = encoded(length, texts)
    start = data.draw(st.integers(0, length - 1))
    part = whole.take(slice(start, data.draw(st.integers(start + 1, length))))
    assert len(part.text_vectors) == len(set(part.text_index.tolist()) - {0})
    for t, index in enumerate(part.text_index.tolist()):
        before = whole.text_index[start + t]
        assert (index > 0) == (before > 0)
        if index:
            np.testing.assert_array_equal(part.text_vectors[index - 1], whole.text_vectors[before - 1])


def rows(n: int) -> list[tuple[str, dict[str, np.ndarray]]]:
    rng = np.random.default_rng(5)
    made = []
    for i in range(n):
        t, u = int(rng.integers(1, 9)), int(rng.integers(0, 3))
        arrays = {
            "categorical": rng.integers(0, 9, (t, 3)).astype(np.int32),
            "position": rng.normal(size=t).astype(np.float32),
            "text_vectors": rng.normal(size=(u, 4)).astype(np.float32),
            "empty": np.empty((u, 0), np.float32),
        }
        made.append((f"h{i}", arrays))
    return made


def test_rows_come_back_bit_for_bit_also_across_batches_and_processes(tmp_path: Path) -> None:
    written = rows(2_500)
    with RaggedWriter(tmp_path / "a.arrow") as writer:
        for history_id, arrays in written:
            writer.add(history_id, arrays)
    dataset = pickle.loads(pickle.dumps(RaggedDataset(tmp_path / "a.arrow")))
    assert len(dataset) == 2_500
    assert dataset.lengths("position").tolist() == [len(arrays["position"]) for _, arrays in written]
    for i in (0, 1, 1_023, 1_024, 2_499):
        history_id, arrays = dataset[i]
        assert history_id == written[i][0]
        for name, array in written[i][1].items():
            np.testing.assert_array_equal(arrays[name], array if array.size else np.empty((0, *array.shape[1:])))


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with RaggedWriter(tmp_path / "a.arrow") as writer:
            for history_id, arrays in rows(1_500):
                writer.add(history_id, arrays)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no history"), RaggedWriter(tmp_path / "a.arrow"):
        pass
