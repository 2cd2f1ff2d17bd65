"""The silences that an ageing head learns from: so long after an event, with no other event since.

Design choices
- Silences are drawn without a look at what follows. One that the row does not live to see has no label. Drawing them
  between an event and the next one would favour, at a given silence, the rows whose next event is near: those of
  onsets above all, and the head would learn a risk that is too high.
- They are spread evenly over the logarithm that the network reads (`SILENCE_TAU_S`), from none to the span of the data,
  one in each of `PER_EVENT` equal parts. They depend on the history's name alone, so every run prepares the same.
- Every step reads all of them beside the event itself: only the heads run again, the backbone does not.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from forewarn.events import History
from forewarn.model.ageing import SILENCE_TAU_S
from forewarn.targets import TargetSpec, label_silences

PER_EVENT = 4  # S, silences per event
SILENCE = "sample.silence"  # seconds [T, S]
AGED_ONSET, AGED_AT_RISK = "aged_onset", "aged_at_risk"  # parts of a hazard's label [T, S, K]
_SECOND = 1_000_000  # µs


def draw_silences(history_id: str, length: int, longest_s: float) -> NDArray[np.int64]:
    """Silences [T, S] in µs, each between 0 and `longest_s` seconds."""
    seed = int.from_bytes(hashlib.sha256(history_id.encode()).digest()[:8])
    part_TS = np.arange(PER_EVENT) + np.random.default_rng(seed).random((length, PER_EVENT))
    seconds_TS = SILENCE_TAU_S * np.expm1(part_TS / PER_EVENT * math.log1p(longest_s / SILENCE_TAU_S))
    return np.maximum(np.rint(seconds_TS * _SECOND), 1).astype(np.int64)


def silence_arrays(
    target: TargetSpec, history: History, length: int, longest_s: float, observed_until: datetime
) -> dict[str, NDArray[np.generic]]:
    """What an ageing head learns from a whole history of so many rows: SILENCE, and two parts for each hazard task."""
    silence_TS = draw_silences(history.history_id, length, longest_s)
    arrays: dict[str, NDArray[np.generic]] = {SILENCE: (silence_TS / _SECOND).astype(np.float32)}
    for name, labels in label_silences(target, history, silence_TS, observed_until=observed_until).items():
        arrays[f"{name}.{AGED_ONSET}"] = labels.onset
        arrays[f"{name}.{AGED_AT_RISK}"] = labels.at_risk.astype(np.uint8)
    return arrays
