"""Durations and horizons: how far ahead a prediction looks, in clock time or in events.

A list of horizons cuts the future of an observation point into bins: ``["1h", "1d", "ever"]`` gives (g, g+1h],
(g+1h, g+1d] and (g+1d, end], where g is the lead. Data without clock time counts in events: ``["1 event", "ever"]``.
Time is counted in whole microseconds, so that "exactly one hour later" has one answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forewarn.targets.section import problem

EVER = "ever"
SECOND = 1_000_000  # µs
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_COUNT = re.compile(r"(\d+)\s+events?")
# Far beyond any history, and small enough that adding it to a time in µs cannot overflow int64.
FOREVER = 2**61


def parse_duration(text: object, path: str) -> int:
    """Microseconds of a duration such as ``90s``, ``15m``, ``4h``, ``3d`` or ``2w``; a bare 0 is allowed."""
    if text == 0 and not isinstance(text, bool):
        return 0
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise problem(path, text, "a duration such as 15m, 4h or 3d")
    return round(float(match[1]) * _UNITS[match[2]] * SECOND)


@dataclass(frozen=True)
class Horizons:
    """Ends of the bins of a hazard task, and the lead before the first.

    ``clock`` tells whether ``lead`` and ``ends`` [K] are microseconds (True) or numbers of events (False); an ``ever``
    horizon has the end ``FOREVER``. ``names`` [K] are as written in the spec.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    lead: int
    clock: bool

    @property
    def edges(self) -> np.ndarray:
        """Bin edges as int64 [K+1] of distances from the observation point: bin k is (edges[k], edges[k+1]]."""
        return np.array([self.lead, *(min(self.lead + end, FOREVER) for end in self.ends)], dtype=np.int64)


def parse_horizons(names: Sequence[object], lead: object, path: str, lead_path: str) -> Horizons:
    """Read a list of horizons and a lead; raises ValueError on mixed units, a wrong order or an empty list."""
    if not names:
        raise problem(path, names, "at least one horizon, such as [1d, 7d, ever]")
    clock: bool | None = None
    ends: list[int] = []
    for i, name in enumerate(names):
        here = f"{path}[{i}]"
        if name == EVER:
            end, unit = FOREVER, clock
        else:
            end, unit = _extent(name, here)
        if clock is not None and unit is not clock:
            raise problem(here, name, "the same unit as the horizons before it", "use only times or only events")
        clock = unit if unit is not None else clock
        if end <= (ends[-1] if ends else 0):
            raise problem(here, name, "a longer horizon than the one before it", "sort the horizons, 'ever' last")
        ends.append(end)
    size, unit = (0, None) if lead in (None, 0) else _extent(lead, lead_path)
    if clock is not None and unit is not None and unit is not clock:
        raise problem(lead_path, lead, "the same unit as the horizons", "use only times or only events")
    clock = clock if clock is not None else unit
    return Horizons(tuple(str(name) for name in names), tuple(ends), size, clock is not False)


def _extent(text: object, path: str) -> tuple[int, bool]:
    """Size of a horizon or lead, and whether it is clock time."""
    match = _COUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is not None:
        return int(match[1]), False
    try:
        return parse_duration(text, path), True
    except ValueError:
        raise problem(path, text, "a time such as 4h, a count such as '3 events', or ever") from None
