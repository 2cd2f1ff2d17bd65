"""The cases within a history: events that share the value of the target's ``per`` field.

Where one history holds a customer's whole life, most questions still concern one case of it: does *this* incident miss
its agreement? ``per`` names the field that tells the cases apart. Without it the whole history is one case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forewarn.events import Event, as_text

NO_CASE = -1


@dataclass(frozen=True)
class Cases:
    """Which case each of N events belongs to: ``number`` int64 [N] counts ``names`` in order of appearance.

    An event without the field has ``NO_CASE``: it belongs to no case and stays mere context.
    """

    names: tuple[str | None, ...]
    number: np.ndarray

    @classmethod
    def of(cls, events: Sequence[Event], per: str | None) -> Cases:
        """The cases among the events of one history; without ``per`` all are one nameless case."""
        if per is None:
            return cls((None,), np.zeros(len(events), np.int64))
        names: dict[str, int] = {}
        values = (event.value(per) for event in events)
        number = [NO_CASE if value is None else names.setdefault(as_text(value), len(names)) for value in values]
        return cls(tuple(names), np.array(number, np.int64))

    def events(self) -> list[np.ndarray]:
        """The indices of the events of each case, ascending."""
        order = np.argsort(self.number, kind="stable")
        return np.split(order, np.searchsorted(self.number[order], np.arange(len(self.names))))[1:]

    def prefix(self) -> np.ndarray:
        """How many events of its case have come by each event, itself included, int64 [N]; 0 without a case."""
        count = np.zeros(len(self.number), np.int64)
        for own in self.events():
            count[own] = np.arange(1, len(own) + 1)
        return count
