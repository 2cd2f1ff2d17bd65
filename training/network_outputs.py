"""What a torch network says about every prefix, history by history: for models that build on it, and for baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forewarn.model import Scores
from forewarn.sequence import EncodedHistory, TokenBudgetBatches, collate
from forewarn.targets import TargetSpec
from training.measure import SplitRows, TaskScores, in_own_shape

_TOKEN_BUDGET = 8_192  # padded events per batch


def scored_by(network: Scores, target: TargetSpec) -> Callable[[SplitRows], TaskScores]:
    """What scores rows with a calibrated network, in the layout of `score_split`."""
    network.eval()

    def score(rows: SplitRows) -> TaskScores:
        found = network_outputs(network, rows.histories)
        return {task.name: in_own_shape(task, output) for task, output in zip(target.tasks, found, strict=True)}

    return score


def network_outputs(
    network: Callable[..., tuple[Tensor, ...]], histories: Sequence[EncodedHistory]
) -> list[NDArray[np.float32]]:
    """Outputs [N, K] of a module of `Scores`, one array per output, N prefixes in the order of `Rows`."""
    lengths = np.array([history.length for history in histories], dtype=np.int64)
    found: list[list[NDArray[np.float32]]] = [[] for _ in histories]
    for batch in TokenBudgetBatches(lengths, _TOKEN_BUDGET, shuffle=False):
        arrays: dict[str, NDArray[Any]] = collate([histories[i] for i in batch])
        with torch.no_grad():
            outputs = network(**{name: torch.from_numpy(array) for name, array in arrays.items()})
        for row, i in enumerate(batch):
            found[i] = [output[row, : lengths[i]].numpy() for output in outputs]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]
