"""What is judged: each task, a hazard task at each horizon, over the observation points whose label is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import ClassificationTask, HazardLabels, HazardTask, RegressionTask, Task
from training.bootstrap import Floats, Metric, Ranking
from training.evaluation.points import Points
from training.measure import SplitRows
from training.metrics import class_measures, error_measures

Scores = dict[str, NDArray[Any]]  # task -> risk [N, K], probabilities [N, C] or transformed values [N]
# The measures of an outcome by kind of task: in tables of slices and months, and those an ablation can change.
MEASURES = {
    "hazard": ("auroc", "brier", "ece"),
    "classification": ("accuracy", "macro_f1", "log_loss"),
    "regression": ("mae", "bias"),
}
COMPARED = {"hazard": ("auroc", "brier"), "classification": ("macro_f1", "log_loss"), "regression": ("mae",)}


@dataclass(frozen=True)
class Outcome:
    """One task, for a hazard at its horizon number `k`, over n labelled points: `rows` [n] are indices of `points`.

    `score` is what the bundle said of them: risk [n], probabilities [n, C] or transformed values [n].
    """

    task: Task
    k: int
    points: Points
    rows: NDArray[np.int64]
    score: NDArray[Any]
    label: NDArray[Any]

    @property
    def horizon(self) -> str | None:
        """The horizon's name, None where the task is no hazard."""
        return self.task.horizons.names[self.k] if isinstance(self.task, HazardTask) else None

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The customer of each row [n], what every bootstrap here resamples."""
        return self.points.customer[self.rows]

    @property
    def incidents(self) -> NDArray[np.int64]:
        """The incident of each row [n]: what an alert has to find once."""
        return self.points.incident[self.rows]

    def pick(self, scores: Scores, rows: NDArray[np.int64]) -> NDArray[Any]:
        """This outcome's part of a task's scores, at those rows of them."""
        own = scores[self.task.name][rows]
        return own[:, self.k] if isinstance(self.task, HazardTask) else own

    def metric(self, chosen: NDArray[Any] | slice = slice(None), score: NDArray[Any] | None = None) -> Metric:
        """The measures of a part of the rows; `score`, of these rows, replaces the bundle's own."""
        score = self.score[chosen] if score is None else score
        label = self.label[chosen]
        if isinstance(self.task, ClassificationTask):
            return class_measures(score, label)
        if isinstance(self.task, RegressionTask):
            return error_measures(self.task, score, label)
        ranking = Ranking(score, label)

        def measure(weight_RN: Floats) -> dict[str, Floats]:
            total_R = weight_RN.sum(axis=1)
            means = {
                "prevalence": weight_RN @ ranking.label_N / total_R,
                "score": weight_RN @ ranking.score_N / total_R,
            }
            return means | ranking(weight_RN)

        return measure


def outcomes(tasks: tuple[Task, ...], rows: SplitRows, scores: Scores, points: Points) -> list[Outcome]:
    """The outcomes of a split in the order of its tasks; those without any labelled point are left out."""
    found = []
    for task in tasks:
        label, score = rows.tasks[task.name].label(), scores[task.name][points.counted]
        if isinstance(label, HazardLabels):
            within_NK, known_NK = (part[points.counted] for part in label.cumulative())
            for k in range(known_NK.shape[1]):
                known = np.flatnonzero(known_NK[:, k])
                found.append(Outcome(task, k, points, known, score[known, k], within_NK[known, k]))
        else:
            label = label[points.counted]
            known = np.flatnonzero(label >= 0 if isinstance(task, ClassificationTask) else np.isfinite(label))
            found.append(Outcome(task, 0, points, known, score[known], label[known]))
    return [outcome for outcome in found if len(outcome.rows)]
