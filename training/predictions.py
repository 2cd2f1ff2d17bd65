"""What the models of a run say of the test rows, before it is measured; kept in the run's folder where it is asked for.

With the rows of `data/encoded/test.arrow` they allow any comparison afterwards, on identical rows and paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import ClassificationTask, TargetSpec
from training.decision import balanced_weights
from training.measure import SplitRows, TaskScores, measure

_FILE = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """Of one model: scores of the test rows; per task what was found while it was fitted, and what classes weigh."""

    scores: TaskScores = field(default_factory=dict)
    fitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    class_weights: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        score: Callable[[SplitRows], TaskScores],
        target: TargetSpec,
        valid: SplitRows,
        test: SplitRows,
        fitted: dict[str, dict[str, Any]] | None = None,
        chosen: Callable[[SplitRows], TaskScores] | None = None,
    ) -> Predictions:
        """What `score` says of the test rows, and of the validation rows where classes are to be weighed by them.

        Where it has learned from those, `chosen` is what it was before it did.
        """
        classes = [task for task in target.tasks if isinstance(task, ClassificationTask)]
        checked = (chosen or score)(valid) if classes else {}
        own = cls(score(test), fitted or {})
        for task in classes:
            if task.name in checked:
                own.weigh(task, checked[task.name], valid)
        return own

    def weigh(self, task: ClassificationTask, probability_NC: NDArray[Any], valid: SplitRows) -> None:
        """Finds what the classes of a task weigh, from the model's probabilities of the validation rows."""
        label_N = valid.tasks[task.name].label()
        assert isinstance(label_N, np.ndarray)
        known_N = label_N >= 0
        self.class_weights[task.name] = balanced_weights(probability_NC[known_N], label_N[known_N])

    def measured(self, target: TargetSpec, rows: SplitRows, resamples: int, seed: int) -> dict[str, Any]:
        """Metrics per task as in metrics.json, with what was found under "fitted"."""
        metrics = measure(target, rows, self.scores, resamples, seed, self.class_weights)
        for name, told in (("fitted", self.fitted), ("class_weights", self.class_weights)):
            for task in metrics.keys() & told.keys():
                metrics[task][name] = told[task]
        return metrics


def save_predictions(run: Path, models: Mapping[str, Predictions]) -> None:
    """Writes the scores of every model into the folder of their run."""
    scores: dict[str, Any] = {
        f"{model}/{task}": own for model, said in models.items() for task, own in said.scores.items()
    }
    np.savez_compressed(run / _FILE, **scores)


def load_predictions(run: Path) -> dict[str, TaskScores]:
    """The scores by model and task; ValueError where the run kept none."""
    if not (run / _FILE).is_file():
        raise ValueError(
            f"run: found no {run / _FILE}, expected a run that was made with predictions=true; repeat it so"
        )
    found: dict[str, TaskScores] = {}
    with np.load(run / _FILE) as stored:
        for name in stored.files:
            model, _, task = name.partition("/")
            found.setdefault(model, {})[task] = stored[name]
    return found
