"""Labels of every observation point of a history: the future, as far as it was observed.

Design choices
- Rows are the visible events (``TargetSpec.visible``); t0 is the ``ingested_at`` of the row's event. Labels read the
  whole history, inputs never do.
- Whether a bin is observed depends on clocks only, never on what happened in it: bin (a, b] of a row counts when
  t0 + b lies within the observation, and ``ever`` when the history is complete within it. Counting an onset in a bin
  that could not have been seen to stay empty would keep the positives of the last weeks and lose their negatives.
  An unobserved bin is masked; it never becomes a 0.
- A complete history ends its own exposure: nothing follows a closed case, so its later bins are observed without onset.
- Events that became visible at the same instant keep their order: an onset at the row's own instant but after it in
  the history lies in the future, at the smallest distance.
- With ``TargetSpec.per`` each case within the history is labelled as if it were a history, but for what is visible,
  and its labels return to the rows it came from. Rows without a case have no label.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import numpy as np

from forewarn.events import Event, History
from forewarn.targets.hazards import HazardLabels, label_hazard
from forewarn.targets.predicate import as_number
from forewarn.targets.spec import TargetSpec
from forewarn.targets.tasks import END, ClassificationTask, HazardTask, RegressionTask, Task
from forewarn.targets.timeline import Timeline

NONE = -1  # a row without class label
TaskLabels = HazardLabels | np.ndarray


def label_history(
    spec: TargetSpec, history: History, *, observed_until: datetime | None = None, complete: bool | None = None
) -> dict[str, TaskLabels]:
    """Label the rows of a whole history for every task; the rows are ``spec.visible(history, observed_until)``.

    Pass the history uncut: with ``observed_until`` (the cut of a split, or the end of the data) what came later is
    neither row nor label. ``complete`` overrides the spec's. Returns per task HazardLabels [T, K], classes int64 [T]
    (-1 without label) or transformed numbers float32 [T] (NaN without label). Classes must be fitted.
    """
    complete = spec.complete if complete is None else complete
    line = Timeline.build(spec, history, observed_until, complete)
    if spec.per is None:
        return {task.name: _label(spec, task, line) for task in spec.tasks}
    parts = line.parts(spec.per, complete)
    labels = {task.name: [(at, _label(spec, task, case)) for at, case in parts] for task in spec.tasks}
    return {task.name: _scattered(task, labels[task.name], line) for task in spec.tasks}


def _scattered(task: Task, parts: list[tuple[np.ndarray, TaskLabels]], line: Timeline) -> TaskLabels:
    """The labels of all rows from those of the cases, each given with the numbers of its rows."""
    if isinstance(task, HazardTask):
        shape = len(line.rows), len(task.horizons.names)
        onset, at_risk, observed = np.zeros(shape, np.int8), np.zeros(shape, bool), np.zeros(shape, bool)
        for rows, own in parts:
            assert isinstance(own, HazardLabels)
            onset[rows], at_risk[rows], observed[rows] = own.onset, own.at_risk, own.observed
        return HazardLabels(onset, at_risk, observed)
    classes = isinstance(task, ClassificationTask)
    labels = np.full(len(line.rows), NONE, np.int64) if classes else np.full(len(line.rows), np.nan, np.float32)
    for rows, own in parts:
        assert isinstance(own, np.ndarray)
        labels[rows] = own
    return labels


def _label(spec: TargetSpec, task: Task, line: Timeline) -> TaskLabels:
    if isinstance(task, HazardTask):
        return label_hazard(task, spec.group(task), line)
    if isinstance(task, ClassificationTask):
        return _label_classes(task, line)
    return _label_numbers(task, line)


def _label_classes(task: ClassificationTask, line: Timeline) -> np.ndarray:
    if task.classes is None:
        raise ValueError(f"task {task.name}: found no classes, expected them fitted; call spec.with_classes(histories)")
    number = {name: i for i, name in enumerate(task.classes)}
    labels = np.full(len(line.rows), NONE, np.int64)
    for row, event in enumerate(_labelled_events(task, line)):
        value = None if event is None else task.class_of(event.value(task.field))
        if value is not None:
            labels[row] = value if isinstance(value, int) else number.get(value, NONE)
    if task.end_class and line.closed and len(labels):
        labels[-1] = number[END]
    return _only_when(task, line, labels, NONE)


def _label_numbers(task: RegressionTask, line: Timeline) -> np.ndarray:
    rows, times = line.rows, line.times
    values = np.full(len(rows), np.nan)
    if task.field == "gap":
        values[:-1] = np.diff(times[rows]) / task.unit_size
    elif task.field == "remaining_time":
        if line.closed and len(rows):
            values[:] = (times[-1] - times[rows]) / task.unit_size
    else:
        for row, event in enumerate(_labelled_events(task, line)):
            number = None if event is None else as_number(event.value(task.field))
            values[row] = np.nan if number is None else number
    return _only_when(task, line, task.forward(values), np.nan).astype(np.float32)


def _labelled_events(task: ClassificationTask | RegressionTask, line: Timeline) -> list[Event | None]:
    """The event whose field labels each row: the row's own, the next visible one, or the last of all."""
    own: list[Event | None] = [line.events[i] for i in line.rows.tolist()]
    if task.at == "same":
        return own
    if task.at == "next":
        return [following for _, following in pairwise([*own, None])]
    return [line.events[-1] if line.closed else None] * len(own)


def _only_when(
    task: ClassificationTask | RegressionTask, line: Timeline, labels: np.ndarray, missing: float
) -> np.ndarray:
    if task.only_when is not None:
        labels[~task.only_when(line.events)[line.rows]] = missing
    return labels
