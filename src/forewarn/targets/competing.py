"""Competing onsets: hazard tasks of which the first to come ends the others.

``competes_in`` names the group. A name is symmetric by construction, where lists of rivals could contradict each other.
One group asks one question of an observation point, which onset comes first and when, so its tasks share what makes the
point and its bins: horizons, lead, ``only_when`` and ``onset.at``.
"""

from __future__ import annotations

from collections.abc import Sequence

from forewarn.targets.section import nearest, problem
from forewarn.targets.tasks import HazardTask, Task


def group_of(task: HazardTask, tasks: Sequence[Task]) -> tuple[HazardTask, ...]:
    """The tasks of a target that compete with one, itself included, in the order of the target."""
    if task.competes_in is None:
        return (task,)
    return tuple(own for own in tasks if isinstance(own, HazardTask) and own.competes_in == task.competes_in)


def check_groups(tasks: Sequence[Task], path: str) -> None:
    """ValueError naming a task that competes with none, or that asks something else than its group does."""
    hazards = [task for task in tasks if isinstance(task, HazardTask)]
    for task in hazards:
        if task.competes_in is None:
            continue
        here = f"{path}.{task.name}"
        first, *others = group_of(task, tasks)
        if not others:
            known = sorted({own.competes_in for own in hazards if own.competes_in and own is not task})
            hint = nearest(task.competes_in, known) if known else "leave it out where nothing competes"
            raise problem(f"{here}.competes_in", task.competes_in, "a group that another hazard task names too", hint)
        shared = f"of task {first.name}, with which it competes in {task.competes_in!r}"
        if _bins(task) != _bins(first):
            raise problem(
                f"{here}.horizons", list(task.horizons.names), f"the horizons {list(first.horizons.names)} {shared}",
                "give both the same horizons and lead: which comes first is asked at one horizon",
            )  # fmt: skip
        if task.at != first.at:
            raise problem(
                f"{here}.onset.at", task.at, f"{first.at!r} {shared}",
                "a final outcome competes with final outcomes alone, an event with events",
            )  # fmt: skip
        if _points(task) != _points(first):
            raise problem(
                f"{here}.only_when", _points(task), f"{_points(first)} {shared}",
                "give both the same observation points",
            )  # fmt: skip


def _bins(task: HazardTask) -> tuple[object, ...]:
    return task.horizons.ends, task.horizons.lead, task.horizons.clock


def _points(task: HazardTask) -> object:
    return task.only_when.source if task.only_when is not None else None
