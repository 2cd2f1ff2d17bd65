"""Reasons per event by occlusion: how much lower the risk would be, had the event not happened.

Each candidate event is left out and the history is scored again by the same graph, all variants in one batch. That is
faithful to the model and needs no gradient; it costs as many rows as there are candidates, so only the newest count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logit

from forewarn.bundle import Scorer
from forewarn.events import History

_SMALLEST = 1e-6  # risks are held this far from 0 and 1, where log-odds would be infinite


class Reason(NamedTuple):
    """One event and its contribution: the fall in log-odds of the risk when the event is left out."""

    event_id: str
    contribution: float


def reasons(scorer: Scorer, history: History, task: str, output: int = -1, top: int = 3, newest: int = 32) -> list[Reason]:
    """The `top` events that raise the current risk most, the strongest first.

    `output` chooses the horizon or class on the task's last axis; the `newest` events are candidates. Events that lower
    the risk are no reasons, and a history of one event has none.
    """
    candidates = history.events[-newest:]
    if len(history.events) < 2:
        return []
    first = len(history.events) - len(candidates)
    variants = [history]
    for i in range(first, len(history.events)):
        left = history.events[:i] + history.events[i + 1 :]
        variants.append(History(history.history_id, history.customer_id, left))
    risk = np.array([scores[task][-1, output] for scores in scorer.score(variants)], dtype=np.float64)
    risk = logit(np.clip(risk, _SMALLEST, 1 - _SMALLEST))
    found = [Reason(e.event_id, float(risk[0] - r)) for e, r in zip(candidates, risk[1:], strict=True)]
    return [reason for reason in sorted(found, key=lambda r: -r.contribution)[:top] if reason.contribution > 0]
