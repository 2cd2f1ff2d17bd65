"""From request bytes to answer bytes: decode, encode, queue for the graph, answer.

Design choices
- The graph runs on the scheduler's inference thread only, also for warm-up and health checks.
- A small request is decoded and encoded on the event loop, where a thread's hand-over would cost more than the work. A
  large one, and any whose texts a pre-trained encoder reads, goes to one of two worker threads: Python decodes no
  faster on two, but a very large body does not hold up the others.
- Warm-up runs the shapes that matter before the service says it is ready, and measures on the way what a graph call
  costs beside its events; the batcher needs that to know when padding is cheaper than another call.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec

from forewarn.bundle import Bundle, Scorer
from forewarn.bundle.scorer import Scores
from forewarn.events import Event, History
from forewarn.sequence import EncodedHistory
from serving.answers import ScoreAnswer, answer_history, horizons
from serving.config import ServeConfig
from serving.problems import FieldError, Problem, invalid, overloaded
from serving.scheduler import ClosedError, ExpiredError, OverloadedError, Scheduler
from serving.wire import Question, decode

# Seconds a thread may hold the interpreter while the inference thread, done with a batch, waits to start the next;
# Python's own 5 ms would idle the graph for longer than a small batch takes.
_SWITCH_S = 0.0005
# Padded events of one graph call by default. On a CPU the base model is fastest while its activations stay in the
# cache: 3.25 ms a history of 64 events in batches of 4 to 16, 3.6 in batches of 64 (2 shared cores). A GPU wants more.
_TOKEN_BUDGET = {"cpu": 1024, "cuda": 16_384}
# Histories x events of the warm-up, cut to the model and the token budget; the first and last measure a launch's cost.
_WARM_SHAPES = ((1, 1), (1, 16), (1, 64), (16, 64), (1, 512), (1, 1), (16, 64))
# Seconds in which the inference thread must answer a health check, behind at most the batch it is running.
_HEALTH_S = 20.0


V = TypeVar("V")


class Prepared(NamedTuple):
    """A decoded request, its histories as the model may see them, and those encoded."""

    question: Question
    visible: list[History]
    encoded: list[EncodedHistory]


class Engine:
    """One bundle, one scorer, one scheduler; shared by every event loop of the process."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.bundle = Bundle.load(config.bundle)
        self.scorer = Scorer(self.bundle, config.provider, config.threads, config.precision)
        self.token_budget = config.token_budget or _TOKEN_BUDGET[config.provider]
        self.scheduler: Scheduler[EncodedHistory, Scores] = Scheduler(
            self.scorer.run, token_budget=self.token_budget, queue_tokens=config.queue_tokens
        )
        self.ready = False
        self.in_flight = 0  # requests being answered
        self.unknown_fields = self.unknown_categories = 0  # seen in requests, never in training
        self._unknown_lock = threading.Lock()
        self.inline_bytes = 0 if self.scorer.embed is not None else config.inline_bytes
        self._probe = self.scorer.encode([_warm_history(1)])
        self._worker = ThreadPoolExecutor(2, "encode")
        sys.setswitchinterval(_SWITCH_S)

    async def warm_up(self) -> None:
        """Runs the graphs in every shape that matters and measures a launch; the engine is ready afterwards."""
        longest = self.bundle.featurizer.config.max_length
        measured: list[tuple[int, float]] = []
        for wanted, events in _WARM_SHAPES:
            length = min(events, longest)
            count = max(1, min(wanted, self.token_budget // length))
            encoded = await self._in_worker(self.scorer.encode, [_warm_history(length)])
            before = self.scheduler.counters.compute_s
            await self.scheduler.submit(encoded * count, [length] * count)
            measured.append((count * length, self.scheduler.counters.compute_s - before))
        (few, small_s), (many, large_s) = measured[-2:]
        per_token_s = max((large_s - small_s) / max(many - few, 1), 1e-9)
        self.scheduler.launch_tokens = min(max(0.0, small_s / per_token_s - few), float(self.token_budget))
        # What start-up made stays: collecting garbage under load need not walk it (2.7 to 1.1 us an event answered).
        gc.collect()
        gc.freeze()
        self.ready = True

    async def score(self, body: bytes, deadline_s: float | None = None) -> bytes:
        """The answer to a request body, within `deadline_s` seconds from now; raises Problem."""
        deadline = self.scheduler.clock() + (self.config.deadline_s if deadline_s is None else deadline_s)
        if self.in_flight >= self.config.max_ongoing_requests:
            # Decoding has a queue too, in front of the scheduler's admission.
            raise overloaded(self.scheduler.tokens_held / self.scheduler.tokens_per_s)
        self.in_flight += 1
        try:
            apart = len(body) > self.inline_bytes
            prepared = await self._in_worker(self._prepare, body) if apart else self._prepare(body)
            scores = await self.run(prepared.encoded, deadline)
            if apart:
                return await self._in_worker(self._answer, prepared, scores)
            return self._answer(prepared, scores)
        except OverloadedError as error:
            raise overloaded(error.retry_after_s) from None
        except ExpiredError:
            raise Problem(
                "deadline-exceeded", "the deadline passed while the request waited; allow more time"
            ) from None
        except ClosedError:
            raise Problem("not-ready", "the service is shutting down", headers={"retry-after": "1"}) from None
        finally:
            self.in_flight -= 1

    async def check_health(self) -> None:
        """Runs one event through the inference thread, ahead of the queue; raises when no answer comes."""
        async with asyncio.timeout(_HEALTH_S):
            await self.scheduler.submit(self._probe, [1], deadline=self.scheduler.clock() + _HEALTH_S, admit=False)

    def close(self) -> bool:
        """Stops taking work and finishes what was accepted within `drain_s`; False when it did not."""
        self.ready = False
        drained = self.scheduler.close(self.config.drain_s)
        self._worker.shutdown(wait=False)
        return drained

    async def _in_worker(self, function: Callable[..., V], *arguments: object) -> V:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    async def run(self, encoded: Sequence[EncodedHistory], deadline: float) -> list[Scores]:
        """Scores of encoded histories through the queue; raises what `Scheduler.submit` and its future raise."""
        return await self.scheduler.submit(encoded, [one.length for one in encoded], deadline=deadline)

    def _prepare(self, body: bytes) -> Prepared:
        question = decode(body, self.config)
        visible = [self.bundle.target.visible(history) for history in question.histories]
        errors = [
            FieldError(f"{path}events", "only events that the target hides from the model", "at least one other event",
                       "send the events before them too")
            for path, history in zip(question.paths, visible, strict=True)
            if not history.events
        ]  # fmt: skip
        if not self.scorer.ages:
            errors += [
                FieldError(f"{path}as_of", moment.isoformat(), "nothing, as this model's risk ignores silence",
                           "leave it out, or serve a bundle that was trained with model.ageing=true")
                for path, moment in zip(question.paths, question.as_of, strict=True)
                if moment is not None
            ]  # fmt: skip
        if errors:
            raise invalid(errors)
        return Prepared(question, visible, self.scorer.encode(visible, question.as_of))

    def _answer(self, prepared: Prepared, scores: Sequence[Scores]) -> bytes:
        question = prepared.question
        histories = [
            answer_history(
                self.scorer, sent, visible, encoded, score, trajectory=question.trajectory, explain=question.explain
            )
            for sent, visible, encoded, score in zip(
                question.histories, prepared.visible, prepared.encoded, scores, strict=True
            )
        ]
        with self._unknown_lock:
            for answered in histories:
                self.unknown_fields += sum(answered.state.unknown.fields.values())
                self.unknown_categories += sum(answered.state.unknown.categories.values())
        answer = ScoreAnswer(self.bundle.model_hash, self.bundle.schema_version, horizons(self.scorer.tasks), histories)
        return msgspec.json.encode(answer)


def _warm_history(length: int) -> History:
    """A history of `length` events, one a minute, with a text each time so that a text graph is warm too."""
    start = datetime(2000, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=i) for i in range(length)]
    events = [
        Event(
            event_id=str(i), source="warm-up", customer_id="warm-up", type="warm.up", occurred_at=time,
            ingested_at=time, text="warm-up",
        )
        for i, time in enumerate(times)
    ]  # fmt: skip
    return History("warm-up", "warm-up", events)
