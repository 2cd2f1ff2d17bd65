"""Soft labels: what a teacher's bundle says of every row of a dataset file, beside the row's hard label.

Design choices
- They come from the bundle's own graph, calibration and trees included, so a student learns what would be served. It is
  run once, on the encoded inputs without dropout, and its answers are columns of the dataset file.
- Training rows have them to learn from, validation rows for a `refit`, which learns from those too.
- Every row of a split gets them, labelled or not: a censored row, and one that no outcome is known of. The context
  of a window and of other cases gets none, as it has no hard label either.
- A hazard's risks become the two parts of its hard label, as expectations: in each bin the chance of still being at
  risk, 1 - P(<= h_(k-1)), and the hazard given that. The same loss then is the cross-entropy between the teacher's
  whole distribution of the onset and the student's, and a bin that the teacher thinks never reached says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forewarn.bundle import Bundle, Scorer
from forewarn.sequence import RaggedDataset, RaggedWriter
from forewarn.targets import HazardTask, RegressionTask, TargetSpec
from training.datamodule import encoded_row
from training.encode import chunks
from training.labelled import SOFT, Arrays, progress, unlabel
from training.weights import AGE

_CHUNK = 4_096  # windows scored at once
Scored = Mapping[str, NDArray[np.float32]]  # task -> what a scorer says of the T events of one window


def add_soft_labels(path: Path, teacher: Bundle) -> None:
    """Gives every row of a dataset file the teacher's soft labels; the file is replaced when all are known."""
    scorer, dataset = Scorer(teacher), RaggedDataset(path)
    with RaggedWriter(path) as writer:
        for chunk in chunks(progress(range(len(dataset)), "ask the teacher", len(dataset)), _CHUNK):
            rows = [dataset[i] for i in chunk]
            said = scorer.run_all([encoded_row(*row) for row in rows])
            for (history_id, arrays), scores in zip(rows, said, strict=True):
                soft = soft_labels(teacher.target, scores)
                unlabel(soft, ~np.isfinite(arrays[AGE]))  # context alone has no age
                writer.add(history_id, arrays | soft)


def soft_labels(target: TargetSpec, scores: Scored) -> Arrays:
    """The parts of every task's soft label, float32, from its scores: those of `labels_of`, behind `SOFT`.

    Hazard "onset" (of a bin, if at risk) and "at_risk" [T, K], both between 0 and 1; classification "label" [T, K],
    probabilities; regression "value" [T] in the scale that is learned.
    """
    arrays: Arrays = {}
    for task in target.tasks:
        said = scores[task.name]
        name = f"{task.name}.{SOFT}"
        if isinstance(task, HazardTask):
            none_before = 1 - sum(_earlier(scores[rival.name]) for rival in target.group(task))
            at_risk = np.clip(none_before, 0, 1)
            come = np.clip(said - _earlier(said), 0, at_risk)
            arrays[f"{name}onset"] = np.divide(come, at_risk, out=np.zeros_like(come), where=at_risk > 0)
            arrays[f"{name}at_risk"] = at_risk
        elif isinstance(task, RegressionTask):
            arrays[f"{name}value"] = task.forward(said)
        else:
            arrays[f"{name}label"] = said
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _earlier(risk_TK: NDArray[np.float32]) -> NDArray[np.float32]:
    """The risk at the horizon before each, 0 before the first."""
    return np.pad(risk_TK, ((0, 0), (1, 0)))[:, :-1]
