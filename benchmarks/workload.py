"""The load: simulated histories of one length or of the simulator's own mix, as objects, arrays and request bodies.

The same histories go through the raw runtime and over HTTP. They are cut to length, never padded or repeated: for
longer ones the simulator runs over more days. Their customers are others than those of an untrained bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.config import workload_name
from forewarn.bundle import Bundle
from forewarn.events import History, make_history
from forewarn.events.record import record_from_event
from forewarn.events.simulator import SimulatorOptions, stories
from forewarn.sequence import EncodedHistory

_MOST_CUSTOMERS = 20_000
_DAYS = 60  # window of the ragged mix
# Days simulated per event wanted: customers average an event in 2.5 days, so that most of them have enough.
_DAYS_PER_EVENT = 4
# What every record of the service's own request holds elsewhere or does not need.
_LEFT_OUT = ("source", "customer_id")


@dataclass(frozen=True)
class Workload:
    """Histories of one length distribution, and the same encoded; `events` is their length, None for the mix."""

    events: int | None
    histories: list[History]
    encoded: list[EncodedHistory]

    @property
    def name(self) -> str:
        """How results call it."""
        return workload_name(self.events)

    @property
    def facts(self) -> dict[str, Any]:
        """Its length distribution and how much text it holds."""
        lengths = np.array([history.length for history in self.encoded])
        texts = [event.text for history in self.histories for event in history.events if event.text]
        quantiles = np.quantile(lengths, [0, 0.1, 0.5, 0.9, 1], method="nearest").tolist()
        return {
            "name": self.name,
            "histories": len(lengths),
            "events": int(lengths.sum()),
            "length": dict(zip(("min", "p10", "p50", "p90", "max"), quantiles, strict=True)),
            "mean_length": round(float(lengths.mean()), 1),
            "events_with_text": round(len(texts) / int(lengths.sum()), 3),
            "distinct_texts": len(set(texts)),
        }

    def bodies(self, per_request: int, *, trajectory: bool = True, new_texts: str = "") -> list[bytes]:
        """JSON request bodies that hold every history once, at most `per_request` each.

        A `new_texts` mark makes every text one that no body with another mark holds.
        """
        marks = [f"{new_texts}-{i}" if new_texts else "" for i in range(len(self.histories))]
        records = [_request(history, mark) for history, mark in zip(self.histories, marks, strict=True)]
        bodies = []
        for start in range(0, len(records), per_request):
            chosen = records[start : start + per_request]
            question = chosen[0] if per_request == 1 else {"histories": chosen}
            bodies.append(msgspec.json.encode(question | {"trajectory": trajectory}))
        return bodies


def make_workload(bundle: Bundle, events: int | None, size: int, seed: int) -> Workload:
    """`size` histories of exactly `events` events that the bundle's model may see, or of the simulator's own lengths.

    Raises ValueError when the model reads no more events than that, or the simulator tells too few such histories.
    """
    longest = bundle.featurizer.config.max_length
    if events is not None and events > longest:
        raise ValueError(
            f"suite.raw.lengths: found {events} events, expected at most {longest}, the longest history this bundle "
            "reads; take it off the list"
        )
    days = _DAYS if events is None else max(_DAYS, _DAYS_PER_EVENT * events)
    options = SimulatorOptions(customers=_MOST_CUSTOMERS, days=days, seed=seed + 1_000_003)
    told = (story.events for story in stories(options) if story.events)
    seen = (bundle.target.visible(make_history(own[0].customer_id, own)) for own in told)
    fitting = (
        History(history.history_id, history.customer_id, history.events[: events or longest])
        for history in seen
        if len(history.events) >= (events or 1)
    )
    histories = list(islice(fitting, size))
    if len(histories) < size:
        raise ValueError(
            f"suite.pool: found {len(histories)} histories of {events} events in the simulator, expected {size}; "
            "lower it"
        )
    rng = np.random.default_rng(seed)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        # The graph takes as long for any numbers, so the text encoder is left to the service, which has to run it.
        vectors = rng.standard_normal((len(texts), bundle.featurizer.text_width)).astype(np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    return Workload(events, histories, bundle.featurizer.encode(histories, embed))


def _request(history: History, mark: str) -> dict[str, Any]:
    """One history as the service wants it; times that say the same twice are sent once."""
    events = []
    for event in history.events:
        record = record_from_event(event)
        for name in (*_LEFT_OUT, *(["ingested_at"] if event.ingested_at == event.occurred_at else [])):
            del record[name]
        if mark and event.text:
            record["text"] = f"{event.text} {mark}"
        events.append(record)
    return {"customer_id": history.customer_id, "events": events}
