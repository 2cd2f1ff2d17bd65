"""Labelled rows of features: what every model that knows no order is fitted on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import Task
from training.aggregates import Float32s, Rows


class Table(NamedTuple):
    """Labelled rows: features float32 [N, D], labels [N], and how much each row counts in fitting [N]."""

    features: Float32s
    label: NDArray[np.generic]
    weight: NDArray[np.float64]

    def take(self, chosen_N: NDArray[np.bool_]) -> Table:
        """Some of the rows."""
        return Table(self.features[chosen_N], self.label[chosen_N], self.weight[chosen_N])

    def joined(self, other: Table) -> Table:
        """These rows and those of another table, in this order."""
        return Table(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.label, other.label]),
            np.concatenate([self.weight, other.weight]),
        )


def tables(task: Task, rows: Rows, features_ND: Float32s) -> list[Table]:
    """The labelled rows of a task with their features: one table per horizon of a hazard task, else one."""
    weight_N = rows.weight()
    return [Table(features_ND[known], label, weight_N[known]) for known, label in rows.targets(task)]
