"""The batcher in front of the inference thread: greedy, length-bucketed, earliest deadline first.

Design choices
- One dedicated thread runs every graph call. When it is free it takes what is pending; it never waits for a batch to
  fill, because under load the queue fills while the previous batch runs, and without load waiting is only latency.
- Which items go together is `batching.choose_batch`: earliest deadline first, by length bucket, within the budget.
- Encoding happens before submission: while batch k runs, other threads make the items of batch k+1 ready.
- Work that nobody waits for any more (cancelled, expired) is dropped just before launch, when that is known best.
- A request is one submission with one future, however many histories it has, and a batch wakes an event loop once.
- Admission compares the tokens that are due earlier with the measured service rate: whoever would miss the deadline is
  told at once, and when to come back.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serving.batching import choose_batch

P = TypeVar("P")  # payload of an item, for example an encoded history
R = TypeVar("R")  # its result

# Share of the past that one batch leaves in the measured service rate: about the last ten batches count.
_MEMORY = 0.9


class OverloadedError(Exception):
    """The queue is too long for this submission; try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"overloaded, try again in {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


class ExpiredError(Exception):
    """The deadline passed before the work was launched."""


class ClosedError(Exception):
    """The scheduler takes no more work because it is shutting down."""


@dataclass(slots=True)
class Counters:
    """Totals since start; tokens are events, `wait_s` sums over items and `compute_s` over batches."""

    batches: int = 0
    items: int = 0
    real_tokens: int = 0
    padded_tokens: int = 0
    wait_s: float = 0.0
    compute_s: float = 0.0
    rejected: int = 0  # items, as are the next three
    expired: int = 0
    cancelled: int = 0
    failed: int = 0


class _Submission(Generic[R]):
    """What one caller waits for: its future, and the results that have come so far."""

    __slots__ = ("arrived", "error", "future", "loop", "missing", "results", "urgency")

    def __init__(self, size: int, arrived: float, urgency: tuple[float, int]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[R]] = self.loop.create_future()
        self.results: list[Any] = [None] * size
        self.missing = size
        self.arrived, self.urgency = arrived, urgency  # urgency: deadline, then order of arrival
        self.error: Exception | None = None

    def settle(self) -> None:
        """Gives the caller its results or its error; runs on the caller's loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.results)


@dataclass(slots=True)
class _Item(Generic[P, R]):
    """One history in the queue, the `index`-th of its submission."""

    payload: P
    tokens: int
    submission: _Submission[R]
    index: int


class Scheduler(Generic[P, R]):
    """Batches submissions from any event loop onto one inference thread.

    Args:
        execute: runs one batch and returns one result per payload, in order; called on the inference thread only.
        token_budget: padded events that one batch may cost.
        queue_tokens: events that may wait or run before submissions are refused.
        launch_tokens: fixed cost of one graph call in events; may be set again once it has been measured.
        clock: seconds, monotonic; deadlines are on this clock.
    """

    def __init__(
        self,
        execute: Callable[[list[P]], Sequence[R]],
        *,
        token_budget: int,
        queue_tokens: int,
        launch_tokens: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self.launch_tokens = launch_tokens
        self.clock = clock
        self._execute, self._token_budget, self._queue_tokens = execute, token_budget, queue_tokens
        self._wake = threading.Condition()  # guards the next five
        self._pending: list[_Item[P, R]] = []
        self._waiting_tokens = self._running_tokens = self._submissions = 0
        self._closing = False
        self._served_tokens = self._served_s = 0.0
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def tokens_held(self) -> int:
        """Events that wait or run now."""
        return self._waiting_tokens + self._running_tokens

    @property
    def tokens_per_s(self) -> float:
        """Measured service rate in events per second; infinite before the first batch."""
        return self._served_tokens / self._served_s if self._served_s else math.inf

    @property
    def open(self) -> bool:
        """Whether the inference thread runs and takes work."""
        return self._thread.is_alive() and not self._closing

    def submit(
        self, payloads: Sequence[P], tokens: Sequence[int], *, deadline: float = math.inf, admit: bool = True
    ) -> asyncio.Future[list[R]]:
        """Queues payloads of the given lengths at once; a future of the running loop gets their results in order.

        Cancelling the future withdraws what was not launched yet. `admit=False` skips admission, for health checks.
        Raises OverloadedError or ClosedError; the future raises ExpiredError, or whatever `execute` raised.
        """
        with self._wake:
            if self._closing:
                raise ClosedError("the service is shutting down")
            now, total = self.clock(), sum(tokens)
            if admit and self.tokens_held:
                self._admit(total, len(payloads), now, deadline)
            submission: _Submission[R] = _Submission(len(payloads), now, (deadline, self._submissions))
            self._submissions += 1
            self._pending += [
                _Item(payload, length, submission, index)
                for index, (payload, length) in enumerate(zip(payloads, tokens, strict=True))
            ]
            self._waiting_tokens += total
            self._wake.notify()
        if not payloads:
            submission.settle()
        return submission.future

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuses new work, finishes what is queued and ends the thread; False when that takes longer than allowed."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _admit(self, tokens: int, items: int, now: float, deadline: float) -> None:
        ahead = self.tokens_held
        if ahead > self.tokens_per_s * (deadline - now):
            due = (item.tokens for item in self._pending if item.submission.urgency[0] <= deadline)
            ahead = self._running_tokens + sum(due)
        late_s = ahead / self.tokens_per_s - (deadline - now)
        excess_s = (self.tokens_held + tokens - self._queue_tokens) / self.tokens_per_s
        if late_s > 0 or self.tokens_held + tokens > self._queue_tokens:
            self.counters.rejected += items
            raise OverloadedError(max(late_s, excess_s, 0.0))

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._launch(batch)

    def _next_batch(self) -> list[_Item[P, R]] | None:
        """Waits for work and takes a batch of it; empty when all of it had to be dropped, None at the end."""
        with self._wake:
            while not self._pending:
                if self._closing:
                    return None
                self._wake.wait()
            expired = self._drop_what_nobody_waits_for()
            batch: list[_Item[P, R]] = []
            if self._pending:
                self._pending.sort(key=lambda item: item.submission.urgency)
                chosen = choose_batch([item.tokens for item in self._pending], self._token_budget, self.launch_tokens)
                batch = [self._pending[position] for position in chosen]
                taken = set(chosen)
                self._pending = [item for position, item in enumerate(self._pending) if position not in taken]
            self._running_tokens = sum(item.tokens for item in batch)
            self._waiting_tokens -= self._running_tokens
        _settle(expired)
        return batch

    def _drop_what_nobody_waits_for(self) -> list[_Submission[R]]:
        """Takes cancelled, failed and expired items out of the queue; returns the submissions that expired now."""
        now, kept, expired = self.clock(), [], []
        for item in self._pending:
            submission = item.submission
            if submission.error is None and submission.urgency[0] <= now:
                submission.error = ExpiredError("the deadline passed before the work was launched")
                expired.append(submission)
            if submission.future.cancelled():
                self.counters.cancelled += 1
            elif submission.error is None:
                kept.append(item)
                continue
            elif isinstance(submission.error, ExpiredError):
                self.counters.expired += 1
            else:
                self.counters.failed += 1
            self._waiting_tokens -= item.tokens
        self._pending = kept
        return expired

    def _launch(self, batch: list[_Item[P, R]]) -> None:
        started = self.clock()
        error: Exception | None = None
        results: Sequence[R | None] = [None] * len(batch)
        try:
            results = self._execute([item.payload for item in batch])
            assert len(results) == len(batch), f"execute gave {len(results)} results for {len(batch)} items"
        except Exception as raised:
            error, results = raised, [None] * len(batch)
            self.counters.failed += len(batch)
        self._count(batch, started, self.clock() - started)
        for item, result in zip(batch, results, strict=True):
            item.submission.results[item.index] = result
            item.submission.missing -= 1
            item.submission.error = item.submission.error or error
        _settle(item.submission for item in batch if not item.submission.missing or item.submission.error)

    def _count(self, batch: list[_Item[P, R]], started: float, elapsed: float) -> None:
        counters, real = self.counters, self._running_tokens
        counters.batches += 1
        counters.items += len(batch)
        counters.real_tokens += real
        counters.padded_tokens += len(batch) * max(item.tokens for item in batch)
        counters.wait_s += sum(started - item.submission.arrived for item in batch)
        counters.compute_s += elapsed
        self._served_tokens = _MEMORY * self._served_tokens + real
        self._served_s = _MEMORY * self._served_s + elapsed
        with self._wake:
            self._running_tokens = 0


def _settle(submissions: Iterable[_Submission[R]]) -> None:
    """Wakes each event loop once for all of its submissions."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Submission[R]]] = defaultdict(list)
    for submission in dict.fromkeys(submissions):
        by_loop[submission.loop].append(submission)
    for loop, own in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_here, own)
        except RuntimeError:  # the loop was closed: its callers are gone
            continue


def _settle_here(submissions: Sequence[_Submission[R]]) -> None:
    for submission in submissions:
        submission.settle()
