"""Reasons per event, read off the risk's own path: how much the log-odds rose when the event became known.

The model is causal, so the risk after event i minus the risk after event i - 1 is what that event (and the silence
before it) told. The parts add up exactly to the way from the first risk to the current one, come with every score and
cost nothing. Leaving events out and scoring again says less here: what an event tells is often told again by the next
(docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-6  # risks are held this far from 0 and 1, where log-odds would be infinite


class Reason(NamedTuple):
    """One event and its contribution: the rise in log-odds of the risk when it became known."""

    event_id: str
    contribution: float


def contributions(risk_T: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rise in log-odds with each event [T]; the first event's is 0, for there is no risk before it."""
    risk = np.clip(risk_T.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.diff(np.log(risk / (1 - risk)), prepend=np.log(risk[:1] / (1 - risk[:1])))


def reasons(event_ids: Sequence[str], risk_T: NDArray[np.floating], top: int = 3) -> list[Reason]:
    """The `top` events that raised a history's risk [T] most, the strongest first; a fall is no reason."""
    rise = contributions(risk_T)
    strongest = np.argsort(-rise, kind="stable")[:top].tolist()
    return [Reason(event_ids[i], float(rise[i])) for i in strongest if rise[i] > 0]
