"""Scores of a split, measured: the rows of a dataset file, scored by a bundle or a baseline."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.bundle import Scorer
from forewarn.sequence import EncodedHistory, RaggedDataset
from forewarn.targets import HazardLabels, RegressionTask, TargetSpec, Task, TaskLabels
from training.aggregates import Rows
from training.datamodule import encoded_row
from training.metrics import evaluate_task
from training.weights import AGE, RowWeights

TaskScores = dict[str, NDArray[Any]]  # task -> scores in the layout of `score_split`


@dataclass(frozen=True)
class SplitRows:
    """One split: its encoded histories (windows of long ones) and, per task, the rows that count."""

    histories: list[EncodedHistory]
    tasks: dict[str, Rows]
    starts: list[int]  # events of its history before each window

    @classmethod
    def load(cls, path: Path, target: TargetSpec, weights: RowWeights | None = None) -> SplitRows:
        """Reads a dataset file; arrays stay memory-mapped. `weights` tells how much each row counts in fitting."""
        dataset = RaggedDataset(path)
        rows = [dataset[i] for i in range(len(dataset))]
        histories = [encoded_row(*row) for row in rows]
        labels = {task.name: [_labels(task, arrays) for _, arrays in rows] for task in target.tasks}
        cases, prefixes = ([arrays[name] for _, arrays in rows] for name in ("case", "prefix"))
        # Context has no age, and no label that a weight could matter for.
        counted = None if weights is None else [np.nan_to_num(weights(arrays[AGE])) for _, arrays in rows]
        tasks = {
            name: Rows(histories, own, cases=cases, prefixes=prefixes, weights=counted) for name, own in labels.items()
        }
        return cls(histories, tasks, [int(arrays["start"][0]) for _, arrays in rows])


def _labels(task: Task, arrays: dict[str, NDArray[Any]]) -> TaskLabels:
    if task.kind == "hazard":
        at_risk, observed = (arrays[f"{task.name}.{part}"].astype(bool) for part in ("at_risk", "observed"))
        return HazardLabels(arrays[f"{task.name}.onset"], at_risk, observed)
    return arrays[f"{task.name}.{'label' if task.kind == 'classification' else 'value'}"]


def score_split(scorer: Scorer, histories: list[EncodedHistory], target: TargetSpec) -> dict[str, NDArray[np.float32]]:
    """Scores of every prefix, history by history: per task risk [N, K], probabilities [N, K] or label values [N]."""
    scores = scorer.run_all(histories, progress=sys.stderr.isatty())
    joined = {task.name: np.concatenate([score[task.name] for score in scores]) for task in target.tasks}
    return {task.name: as_labelled(task, joined[task.name]) for task in target.tasks}


def in_own_shape(task: Task, output_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network's output [N, K] for a task in the layout of `evaluate_task`: a regression's loses its axis of one."""
    return output_NK[:, 0] if isinstance(task, RegressionTask) else output_NK


def as_labelled(task: Task, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A task's scores in the scale of its labels: a regression's are transformed again."""
    return task.forward(values) if isinstance(task, RegressionTask) else values


def measure(
    target: TargetSpec,
    rows: SplitRows,
    scores: Mapping[str, NDArray[Any]],
    resamples: int,
    seed: int = 0,
    class_weights: Mapping[str, list[float]] | None = None,
) -> dict[str, Any]:
    """Metrics of every task that there are scores of, as in metrics.json; `class_weights` by task."""
    return {
        task.name: measure_task(task, scores[task.name], rows, resamples, seed, (class_weights or {}).get(task.name))
        for task in target.tasks
        if task.name in scores
    }


def measure_task(
    task: Task,
    predictions: NDArray[Any],
    rows: SplitRows,
    resamples: int,
    seed: int,
    class_weights: list[float] | None = None,
) -> dict[str, Any]:
    """Metrics of one task, from its predictions in the layout of `score_split`."""
    own = rows.tasks[task.name]
    return evaluate_task(
        task,
        predictions,
        own.label(),
        clusters=own.clusters(),
        prefix=own.prefix(),
        histories=own.case(),
        resamples=resamples,
        seed=seed,
        class_weights=class_weights,
    )
