"""The answer of `POST /v1/score`: arrays to what a client reads, risk per task and horizon first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from forewarn.bundle import Scorer, TaskOutputs
from forewarn.events import History
from forewarn.risk import reasons
from forewarn.sequence import EncodedHistory, Featurizer
from forewarn.sequence.vocabulary import UNKNOWN

# Decimals of every number: far below what calibration can tell, and a third of a float's digits on the wire.
_DECIMALS = 6

Named = dict[str, dict[str, float]]  # task -> horizon, class or unit -> number


class TrajectoryPoint(msgspec.Struct, omit_defaults=True):
    """What was to be expected right after one event, from the events up to it."""

    event_id: str
    risk: Named = {}
    classes: Named = {}
    values: Named = {}


class Reason(msgspec.Struct):
    """An event that raised the risk: the log-odds rose by `contribution` when it became known."""

    event_id: str
    contribution: float

    @classmethod
    def of(cls, event_id: str, contribution: float) -> Reason:
        """A reason with the decimals of every other number."""
        return cls(event_id, round(contribution, _DECIMALS))


class Unknown(msgspec.Struct, omit_defaults=True):
    """How often this history used attributes and categories that training never saw; they are accepted."""

    fields: dict[str, int] = {}
    categories: dict[str, int] = {}


class State(msgspec.Struct):
    """What the answer rests on: distinct events sent, how many the model read (it may be told to ignore some, and
    `truncated` when the history was too long for it), and what it did not know."""

    events: int
    events_read: int
    truncated: bool
    unknown: Unknown


class HistoryAnswer(msgspec.Struct, omit_defaults=True):
    """One history's scores after its last event; tasks appear under risk, classes or values by their kind.

    Asked `as_of` a later moment, the risk and the last point of the trajectory count with `silence_s`, the seconds
    since the last event read.
    """

    customer_id: str
    history_id: str
    state: State
    silence_s: float | None = None
    risk: Named = {}
    classes: Named = {}
    values: Named = {}
    trajectory: list[TrajectoryPoint] = []
    reasons: dict[str, list[Reason]] = {}


class ScoreAnswer(msgspec.Struct):
    """The answer: which model spoke, the horizons of each risk, and one answer per history in the order asked."""

    model_hash: str
    schema_version: str
    horizons: dict[str, list[str]]
    histories: list[HistoryAnswer]


_GROUP = {"hazard": "risk", "classification": "classes", "regression": "values"}


def horizons(tasks: Sequence[TaskOutputs]) -> dict[str, list[str]]:
    """The horizons of every hazard task."""
    return {task.name: task.outputs for task in tasks if task.kind == "hazard"}


def answer_history(
    scorer: Scorer,
    history: History,
    visible: History,
    encoded: EncodedHistory,
    scores: Mapping[str, NDArray[np.float32]],
    *,
    trajectory: bool,
    explain: int,
) -> HistoryAnswer:
    """One history's answer: the history sent, what the model may see of it, and scores ([T, K], regression [T]).

    `explain` is the number of reasons per hazard task, for its last horizon.
    """
    last: dict[str, Any] = {}
    points = [TrajectoryPoint(event_id) for event_id in encoded.event_ids] if trajectory else []
    for task in scorer.tasks:
        rows = scores[task.name] if trajectory else scores[task.name][-1:]
        numbers = np.round(rows.reshape(len(rows), -1).astype(np.float64), _DECIMALS).tolist()
        named = [dict(zip(task.outputs, row, strict=True)) for row in numbers]
        group = _GROUP[task.kind]
        last.setdefault(group, {})[task.name] = named[-1]
        for point, values in zip(points, named, strict=False):
            getattr(point, group)[task.name] = values
    return HistoryAnswer(
        customer_id=history.customer_id,
        history_id=history.history_id,
        state=State(
            events=len(history.events),
            events_read=encoded.length,
            truncated=encoded.length < len(visible.events),
            unknown=_unknown(scorer.bundle.featurizer, visible, encoded),
        ),
        silence_s=encoded.silence_s or None,
        trajectory=points,
        reasons={
            task.name: [Reason.of(*why) for why in reasons(encoded.event_ids, scores[task.name][:, -1], explain)]
            for task in scorer.tasks
            if explain and task.kind == "hazard"
        },
        **last,
    )


def _unknown(featurizer: Featurizer, history: History, encoded: EncodedHistory) -> Unknown:
    fields: Counter[str] = Counter()
    for event in history.events:
        if strange := event.attributes.keys() - featurizer.known:
            fields.update(strange)
    counts = (encoded.categorical == UNKNOWN).sum(axis=0).tolist()
    categories = {
        name: count
        for name, count in zip(featurizer.vocabularies, counts, strict=True)
        if count and name not in featurizer.crosses  # a new combination of known values is nothing strange
    }
    return Unknown(dict(fields), categories)
