"""What the runs at several origins say together: the mean over the origins, with an interval over whole histories.

Every origin counts alike, however many rows its test has. A resample draws histories of all origins at once; each
origin is then measured on those of its own that were drawn, so that a history tested at two origins, as a customer with
cases at both is, comes or stays away as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import HazardLabels, HazardTask, RegressionTask, TargetSpec
from training.bootstrap import Floats, Metric, estimates
from training.measure import SplitRows, TaskScores
from training.metrics import judge
from training.predictions import load_predictions
from training.prepare import ENCODED, Prepared
from training.report import METRICS


@dataclass(frozen=True)
class OriginRows:
    """The test of one origin: its target with classes as fitted there, its rows, and what the models say of them."""

    target: TargetSpec
    rows: SplitRows
    models: dict[str, TaskScores]

    @classmethod
    def load(cls, run: Path) -> OriginRows:
        """From the folder of its run; ValueError where it did not keep its predictions."""
        prepared = Prepared.load(run / "data" / ENCODED)
        return cls(prepared.target, SplitRows.load(prepared.split("test"), prepared.target), load_predictions(run))

    def history(self) -> NDArray[np.str_]:
        """The history of each row [N], by name."""
        histories = self.rows.histories
        return np.repeat([own.history_id for own in histories], [own.length for own in histories])


def pool(tested: Sequence[OriginRows], resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Means over the origins per model and task, shaped like metrics.json but for the tables by prefix.

    Models and tasks that some origin lacks are left out.
    """
    names = [name for name in tested[0].models if all(name in own.models for own in tested)]
    return {
        name: {
            task.name: _pooled(name, task.name, tested, resamples, seed)
            for task in tested[0].target.tasks
            if all(task.name in own.models[name] for own in tested)
        }
        for name in names
    }


def _pooled(model: str, task_name: str, tested: Sequence[OriginRows], resamples: int, seed: int) -> dict[str, Any]:
    task = tested[0].target.task(task_name)
    judged = []
    for own in tested:
        rows = own.rows.tasks[task_name]
        judged.append(list(judge(own.target.task(task_name), own.models[model][task_name], rows.label(), rows.case())))
    found = []
    for k in range(len(judged[0])):
        parts = [(own, *its[k]) for own, its in zip(tested, judged, strict=True) if its[k][0].any()]
        clusters = np.concatenate([own.history()[rows] for own, rows, _ in parts]) if parts else np.zeros(0, str)
        measured: dict[str, Any] = {"rows": len(clusters), "clusters": len(np.unique(clusters)), "origins": len(parts)}
        if parts:
            mean = mean_of([metric for _, _, metric in parts], [int(rows.sum()) for _, rows, _ in parts])
            values = estimates(mean, clusters, resamples, seed)
            measured |= {name: value for name, value in values.items() if name in METRICS[task.kind]}
        if isinstance(task, HazardTask):
            shares = [_prevalence(own.rows.tasks[task_name].label(), k, rows) for own, rows, _ in parts]
            if parts:
                measured["prevalence"] = float(np.mean(shares))
        found.append(measured)
    if isinstance(task, HazardTask):
        return {"kind": task.kind, "horizons": dict(zip(task.horizons.names, found, strict=True))}
    unit = task.unit if isinstance(task, RegressionTask) and task.field in ("gap", "remaining_time") else None
    return {"kind": task.kind, "unit": unit} | found[0]


def mean_of(metrics: Sequence[Metric], sizes: Sequence[int]) -> Metric:
    """The mean of measures that are each taken of their own rows, the rows of all joined one after the other."""
    ends = np.cumsum([0, *sizes]).tolist()

    def measure(weight_RN: Floats) -> dict[str, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample may miss a small origin
            parts = [
                metric(weight_RN[:, start:end]) for metric, start, end in zip(metrics, ends, ends[1:], strict=False)
            ]
        return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}

    return measure


def _prevalence(labels: Any, k: int, rows: NDArray[np.bool_]) -> float:
    assert isinstance(labels, HazardLabels)
    return float(labels.cumulative()[0][rows, k].mean())
