"""Competing tasks behind trees, which score each cause and horizon by itself: their risks are made to fit one future.

A network's scores are cumulative incidences and need none of this. Probabilities that were fitted apart may add up to
more than 1; where those of the longest horizon do, all risks of the row's group are divided by that sum. So a risk
still never falls with the horizon, and no horizon's sum is above 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import HazardTask, Task


def groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """The tasks by what competes, in the order of the target; a task that competes with none is a group of its own."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        group = task.competes_in if isinstance(task, HazardTask) else None
        # No task's name holds a slash, so none is taken for a group's.
        found.setdefault(task.name if group is None else f"group/{group}", []).append(task)
    return list(found.values())


def within_one(tasks: Sequence[Task], scores: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Scores [..., K] per task, those of competing hazards scaled to add up to at most 1; a task may have none."""
    fitted = dict(scores)
    for group in groups([task for task in tasks if task.name in scores]):
        if len(group) > 1:
            total = sum(scores[task.name][..., -1:] for task in group)
            fitted |= {task.name: scores[task.name] / np.maximum(total, 1) for task in group}
    return fitted
