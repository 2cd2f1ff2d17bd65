"""The network's heads from the target spec, started at what the training labels say before any event is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.bundle import TaskOutputs
from forewarn.model import HeadSpec
from forewarn.sequence import RaggedDataset
from forewarn.targets import ClassificationTask, HazardTask, Task
from training.prepare import Prepared


def task_outputs(task: Task) -> TaskOutputs:
    """What a bundle tells about a task: the names along its last axis and the transform of its value."""
    if isinstance(task, HazardTask):
        return TaskOutputs(task.name, task.kind, list(task.horizons.names))
    if isinstance(task, ClassificationTask):
        assert task.classes is not None
        return TaskOutputs(task.name, task.kind, list(task.classes))
    return TaskOutputs(task.name, task.kind, [task.unit], task.transform)


def head_specs(prepared: Prepared) -> list[HeadSpec]:
    """One head per task; ValueError names a task without a label, or without an onset, in the training split."""
    rows = RaggedDataset(prepared.split("train"))
    return [_head(task, _Labels(rows, task.name)) for task in prepared.target.tasks]


class _Labels:
    """The training labels of one task, concatenated over histories."""

    def __init__(self, rows: RaggedDataset, task: str) -> None:
        self.rows, self.task = rows, task

    def __getitem__(self, part: str) -> NDArray[Any]:
        name = f"{self.task}.{part}"
        return np.concatenate([self.rows[i][1][name] for i in range(len(self.rows))])


def _head(task: Task, labels: _Labels) -> HeadSpec:
    size = len(task_outputs(task).outputs)
    if isinstance(task, HazardTask):
        at_risk, onset = labels["at_risk"].astype(np.int64), labels["onset"]
        _need(task.name, int(at_risk.sum()))
        # A bin may lack onsets, a task may not: it would learn that the onset never comes, and never say so.
        if not (onset * at_risk).any():
            raise ValueError(
                f"task {task.name!r}: found no onset in the training split, expected at least one where "
                f"{task.when.source} holds within the horizons; check the predicate against the data's values, "
                "or use more data"
            )
        # Half a pseudo-onset keeps the logit of a bin finite that never saw an onset, or nothing else.
        rate = (onset.sum(axis=0) + 0.5) / (at_risk.sum(axis=0) + 1.0)
        prior = tuple(np.log(rate / (1 - rate)).tolist())
        return HeadSpec(task.name, task.kind, size, task.weight, prior, competes_in=task.competes_in)
    if isinstance(task, ClassificationTask):
        label = labels["label"]
        _need(task.name, int((label >= 0).sum()))
        share = np.bincount(label[label >= 0], minlength=size) + 0.5
        return HeadSpec(task.name, task.kind, size, task.weight, tuple(np.log(share / share.sum()).tolist()))
    value = labels["value"]
    value = value[np.isfinite(value)].astype(np.float64)
    _need(task.name, len(value))
    spread = float(value.std()) or 1.0
    return HeadSpec(task.name, task.kind, size, task.weight, center=float(value.mean()), spread=spread)


def _need(task: str, labels: int) -> None:
    if not labels:
        raise ValueError(
            f"task {task!r}: found no label in the training split, expected at least one; "
            "check the target's predicate and horizons against the data, or leave the task out"
        )
