"""What the models of a run say of the test rows, before it is measured; kept in the run's folder where it is asked for.

With the rows of `data/encoded/test.arrow` they allow any comparison afterwards, on identical rows and paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forewarn.targets import TargetSpec
from training.measure import SplitRows, TaskScores, measure

_FILE = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """Of one model: scores of the test rows, and per task what was found while it was fitted."""

    scores: TaskScores = field(default_factory=dict)
    fitted: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measured(self, target: TargetSpec, rows: SplitRows, resamples: int, seed: int) -> dict[str, Any]:
        """Metrics per task as in metrics.json, with what was found under "fitted"."""
        metrics = measure(target, rows, self.scores, resamples, seed)
        return {
            task: own | ({"fitted": self.fitted[task]} if self.fitted.get(task) else {})
            for task, own in metrics.items()
        }


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
