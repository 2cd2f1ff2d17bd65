"""The scheduler's promises: every item once, deadlines, admission, cancellation, drain."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scheduler import ClosedError, ExpiredError, OverloadedError, Scheduler


class Gate:
    """An executor that records its batches and runs each only when the test lets it."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self._turns = threading.Semaphore(0)
        self._open = is_open

    def __call__(self, batch: list[str]) -> list[str]:
        self.batches.append(list(batch))
        self.entered.release()
        if not self._open:
            self._turns.acquire()
        return [payload.upper() for payload in batch]

    def release(self) -> None:
        self._open = True
        self._turns.release()

    def hold(self) -> None:
        self._open = False
        self.entered = threading.Semaphore(0)


async def held_by_a_first_batch(gate: Gate, scheduler: Scheduler[str, str]) -> asyncio.Future[list[str]]:
    """Submits an item and waits until the inference thread is busy with it, so that whatever follows is pending."""
    first = scheduler.submit(["first"], [1])
    await asyncio.to_thread(gate.entered.acquire)
    return first


def scheduler_of(execute: Callable[[list[str]], Sequence[str]], **changes: float) -> Scheduler[str, str]:
    return Scheduler(execute, **{"token_budget": 64, "queue_tokens": 10_000, **changes})  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(
    submissions=st.lists(st.lists(st.integers(1, 100), max_size=8), max_size=12),
    budget=st.integers(1, 200),
    launch=st.floats(0, 100),
)
def test_every_item_is_executed_once_and_answered_once_in_order(
    submissions: list[list[int]], budget: int, launch: float
) -> None:
    executed: list[tuple[int, int]] = []

    def execute(batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        executed.extend(batch)
        return batch

    async def scenario() -> list[list[tuple[int, int]]]:
        numbers = itertools.count()
        futures = [
            scheduler.submit([(next(numbers), length) for length in lengths], lengths) for lengths in submissions
        ]
        return await asyncio.gather(*futures)

    scheduler: Scheduler[tuple[int, int], tuple[int, int]] = Scheduler(
        execute, token_budget=budget, queue_tokens=10**9, launch_tokens=launch
    )
    answers = asyncio.run(scenario())
    assert scheduler.close(5)
    assert [[length for _, length in answer] for answer in answers] == submissions
    assert sorted(executed) == [(n, length) for n, length in enumerate(itertools.chain(*submissions))]
    assert scheduler.tokens_held == 0
    assert scheduler.counters.items == len(executed)
    assert scheduler.counters.real_tokens == sum(length for _, length in executed) <= scheduler.counters.padded_tokens


def test_what_arrives_while_a_batch_runs_goes_together_into_the_next() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate)
        first = await held_by_a_first_batch(gate, scheduler)
        rest = [scheduler.submit([name], [4]) for name in "abc"]
        gate.release()
        assert await asyncio.gather(first, *rest) == [["FIRST"], ["A"], ["B"], ["C"]]
        assert gate.batches == [["first"], ["a", "b", "c"]]
        scheduler.close()

    asyncio.run(scenario())


def test_the_earliest_deadline_goes_first_and_ties_go_by_arrival() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate, token_budget=1)
        await held_by_a_first_batch(gate, scheduler)
        now = time.monotonic()
        due = {"whenever": math.inf, "later": now + 60, "soon": now + 30, "also later": now + 60}
        rest = [scheduler.submit([name], [1], deadline=deadline) for name, deadline in due.items()]
        gate.release()
        await asyncio.gather(*rest)
        assert [name for batch in gate.batches[1:] for name in batch] == ["soon", "later", "also later", "whenever"]
        scheduler.close()

    asyncio.run(scenario())


def test_deferred_items_go_before_newer_ones() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate, token_budget=32)
        await held_by_a_first_batch(gate, scheduler)
        old = scheduler.submit(["a", "b", "c"], [16, 16, 16])
        new = scheduler.submit(["d"], [16])
        gate.release()
        await asyncio.gather(old, new)
        assert gate.batches[1:] == [["a", "b"], ["c", "d"]]
        scheduler.close()

    asyncio.run(scenario())


def test_an_item_longer_than_the_budget_runs_alone() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate, token_budget=32)
        await held_by_a_first_batch(gate, scheduler)
        both = scheduler.submit(["huge", "small"], [500, 2])
        gate.release()
        assert await both == ["HUGE", "SMALL"]
        assert gate.batches[1:] == [["huge"], ["small"]]
        scheduler.close()

    asyncio.run(scenario())


def test_expired_work_is_never_executed_and_is_told_so() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate)
        await held_by_a_first_batch(gate, scheduler)
        late = scheduler.submit(["late", "late too"], [1, 1], deadline=time.monotonic() + 0.01)
        on_time = scheduler.submit(["on time"], [1])
        await asyncio.sleep(0.03)
        gate.release()
        with pytest.raises(ExpiredError):
            await late
        assert await on_time == ["ON TIME"]
        assert gate.batches[1:] == [["on time"]]
        assert scheduler.counters.expired == 2
        assert scheduler.tokens_held == 0
        scheduler.close()

    asyncio.run(scenario())


def test_cancelled_work_is_never_executed() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate)
        first = await held_by_a_first_batch(gate, scheduler)
        scheduler.submit(["unwanted", "unwanted too"], [1, 1]).cancel()
        gate.release()
        await first
        scheduler.close()
        assert gate.batches == [["first"]]
        assert scheduler.counters.cancelled == 2
        assert scheduler.tokens_held == 0

    asyncio.run(scenario())


def test_a_full_queue_refuses_with_the_seconds_until_there_is_room() -> None:
    async def scenario() -> None:
        gate = Gate(is_open=True)
        scheduler = scheduler_of(lambda batch: (time.sleep(0.05), gate(batch))[1], queue_tokens=100)
        await scheduler.submit(["warm"], [50])
        waiting = [scheduler.submit(["a"], [60])]
        with pytest.raises(OverloadedError) as refused:
            scheduler.submit(["b"], [90])
        assert refused.value.retry_after_s == pytest.approx(50 / scheduler.tokens_per_s, rel=0.5)
        assert scheduler.counters.rejected == 1
        await asyncio.gather(*waiting)
        assert await scheduler.submit(["b"], [90]) == ["B"], "an idle scheduler takes what no queue would hold"
        scheduler.close()

    asyncio.run(scenario())


def test_who_would_miss_the_deadline_is_refused_at_once_but_the_more_urgent_still_gets_in() -> None:
    async def scenario() -> None:
        gate = Gate(is_open=True)
        scheduler = scheduler_of(lambda batch: (time.sleep(0.02), gate(batch))[1])
        await scheduler.submit(["warm"], [10])  # at most 500 tokens per second from now on
        gate.hold()
        await held_by_a_first_batch(gate, scheduler)
        now = time.monotonic()
        due = scheduler.submit(["due"], [5000], deadline=now + 5)
        with pytest.raises(OverloadedError) as refused:
            scheduler.submit(["hopeless"], [1], deadline=now + 5)
        assert 1 < refused.value.retry_after_s < 60
        urgent = scheduler.submit(["urgent"], [1], deadline=now + 4)
        gate.release()
        assert await asyncio.gather(urgent, due) == [["URGENT"], ["DUE"]]
        assert gate.batches[-2:] == [["urgent"], ["due"]]
        scheduler.close()

    asyncio.run(scenario())


def test_a_failing_batch_fails_its_callers_and_the_thread_lives_on() -> None:
    def execute(batch: list[str]) -> list[str]:
        if "bad" in batch:
            raise RuntimeError("the graph refused")
        return batch

    async def scenario() -> None:
        scheduler = scheduler_of(execute)
        with pytest.raises(RuntimeError, match="the graph refused"):
            await scheduler.submit(["bad"], [1])
        assert await scheduler.submit(["good"], [1]) == ["good"]
        assert scheduler.counters.failed == 1
        scheduler.close()

    asyncio.run(scenario())


def test_closing_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = scheduler_of(gate, token_budget=1)
        accepted = [await held_by_a_first_batch(gate, scheduler), scheduler.submit(["a", "b"], [1, 1])]
        closing = asyncio.create_task(asyncio.to_thread(scheduler.close, 5))
        while scheduler.open:
            await asyncio.sleep(0.001)
        with pytest.raises(ClosedError):
            scheduler.submit(["too late"], [1])
        gate.release()
        assert await asyncio.gather(*accepted) == [["FIRST"], ["A", "B"]]
        assert await closing

    asyncio.run(scenario())


def test_closing_gives_up_after_the_time_allowed() -> None:
    gate = Gate()

    async def scenario() -> None:
        scheduler = scheduler_of(gate)
        await held_by_a_first_batch(gate, scheduler)
        assert not scheduler.close(0.01)
        gate.release()

    asyncio.run(scenario())


def test_submissions_of_several_event_loops_share_batches() -> None:
    gate = Gate()
    scheduler = scheduler_of(gate)
    answers: list[list[str]] = []

    async def one(name: str) -> None:
        answers.append(await scheduler.submit([name], [1]))

    async def first() -> None:
        await held_by_a_first_batch(gate, scheduler)

    asyncio.run(first())  # leaves a running batch whose own loop is gone
    threads = [threading.Thread(target=lambda name=name: asyncio.run(one(name))) for name in "ab"]
    for thread in threads:
        thread.start()
    while scheduler.tokens_held < 3:
        time.sleep(0.001)
    gate.release()
    for thread in threads:
        thread.join()
    scheduler.close()
    assert sorted(answers) == [["A"], ["B"]]
    assert sorted(gate.batches[1]) == ["a", "b"]


def test_an_empty_submission_is_answered_at_once() -> None:
    async def scenario() -> None:
        scheduler = scheduler_of(Gate())
        assert await scheduler.submit([], []) == []
        scheduler.close()

    asyncio.run(scenario())
