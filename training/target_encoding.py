"""Target encoding: what each token has meant in training, as numbers that trees can split on.

Trees get to a rare token of a wide field by exact category splits, which cost an ONNX graph three to twenty-four times
as long (docs/decisions/0011), or not at all. A table lookup costs nothing: every token becomes the mean label of its
training rows, drawn towards the mean of all where they are few (Micci-Barreca 2001, doi 10.1145/507533.507538).
Training rows read a table fitted on the other folds' histories, or they would read their own labels.

Fields of few tokens are left as they are: trees split each token off by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence import token_columns
from forewarn.targets import ClassificationTask, Task
from training.aggregates import Float32s
from training.table import Table

_FEW = 8  # tokens that need no encoding
_PRIOR_ROWS = 10.0  # weight of the mean of all rows in the mean of a token's


@dataclass(frozen=True)
class TargetEncoding:
    """Mean labels per token: features [N, D] -> float32 [N, J * S], for J token columns and S statistics of a label.

    A label's statistics are the label itself, or for classes one indicator each.
    """

    columns: list[int]  # of the features, [J]
    offsets: list[int]  # row of each column's token 0 in the table, [J]
    table: Float32s  # [tokens of all columns, S]

    @classmethod
    def fit(cls, task: Task, train: Table, cardinalities: Sequence[int]) -> TargetEncoding | None:
        """Fits on training rows whose first columns are those of `forewarn.sequence.aggregate`; None without a column.

        `cardinalities` are the sizes [C] of the categorical fields' vocabularies.
        """
        sizes = [*cardinalities, *(size + 1 for size in cardinalities)]  # the previous token counts from one
        assert len(sizes) == token_columns(len(cardinalities))
        columns = [column for column, size in enumerate(sizes) if size > _FEW]
        if not columns:
            return None
        offsets = np.cumsum([0, *(sizes[column] for column in columns)])
        label_NS = _statistics(task, train.label)
        mean_S = np.average(label_NS, axis=0, weights=train.weight) if train.weight.any() else label_NS.mean(axis=0)
        row_NJ = train.features[:, columns].astype(np.int64) + offsets[:-1]
        table = np.empty((offsets[-1], label_NS.shape[1]), np.float32)
        every, weight = row_NJ.ravel(), np.repeat(train.weight, len(columns))
        count = np.bincount(every, weight, minlength=len(table)) + _PRIOR_ROWS
        for number, label_N in enumerate(label_NS.T):
            total = np.bincount(every, weight * np.repeat(label_N, len(columns)), minlength=len(table))
            table[:, number] = (total + _PRIOR_ROWS * mean_S[number]) / count
        return cls(columns, offsets[:-1].tolist(), table)

    def __call__(self, features_ND: Float32s) -> Float32s:
        row_NJ = features_ND[:, self.columns].astype(np.int64) + self.offsets
        return self.table[row_NJ].reshape(len(features_ND), -1)

    def extend(self, features_ND: Float32s) -> Float32s:
        """The features with the encoding beside them."""
        return np.concatenate([features_ND, self(features_ND)], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads."""
        return {"columns": self.columns, "offsets": self.offsets, "table": self.table.tolist()}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> TargetEncoding:
        """The encoding that `to_dict` described."""
        return cls(saved["columns"], saved["offsets"], np.array(saved["table"], np.float32))


def extend_out_of_fold(
    task: Task,
    train: Table,
    cardinalities: Sequence[int],
    folds: NDArray[np.integer],
    features_ND: Float32s,
    fold_N: NDArray[np.integer],
) -> Float32s:
    """Features with an encoding beside them, [N, D + J * S], fitted on the rows of `train` of other folds than a row's.

    `folds` are those of the rows of `train`, `fold_N` those of the features, which may be of more rows.
    """
    extended: Float32s | None = None
    for fold in np.unique(fold_N):
        encoding = TargetEncoding.fit(task, train.take(folds != fold), cardinalities)
        if encoding is None:
            return features_ND
        found = encoding.extend(features_ND[fold_N == fold])
        extended = np.empty((len(fold_N), found.shape[1]), np.float32) if extended is None else extended
        extended[fold_N == fold] = found
    assert extended is not None
    return extended


def _statistics(task: Task, label_N: NDArray[np.generic]) -> NDArray[np.float64]:
    if isinstance(task, ClassificationTask):
        return np.eye(len(task.classes or ()))[label_N.astype(np.int64)]
    return label_N.astype(np.float64)[:, None]
