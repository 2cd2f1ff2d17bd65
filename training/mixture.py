"""What trees and network say together: the weighted mean of their logits, or of their values.

Trees that read the network's outputs out of fold trust them as far as the folds' networks deserved, which learned from
less; trees that do not read them err independently, and a mean of the two errs less (docs/decisions/0011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import ClassificationTask, RegressionTask, Task

SHARES = (1.0, 0.75, 0.5, 0.25)  # weights of the trees that are tried
LEAST = 1e-6  # probabilities are kept this far from 0 and 1


def mixture(
    task: Task, trees: NDArray[np.floating], network: NDArray[np.floating], share: float
) -> NDArray[np.floating[Any]]:
    """Scores in the layout of `evaluate_task`: risks [N, K], probabilities [N, K] or values [N].

    `share` is the weight of the trees; 1 leaves them as they are. A risk of either that never falls with the horizon
    gives a mixture that never does.
    """
    if share == 1:
        return trees
    network = network.reshape(trees.shape).astype(np.float64)
    if isinstance(task, RegressionTask):
        return share * trees + (1 - share) * network
    trees, network = np.clip(trees, LEAST, 1 - LEAST), np.clip(network, LEAST, 1 - LEAST)
    if isinstance(task, ClassificationTask):
        weight = np.exp(share * np.log(trees) + (1 - share) * np.log(network))
        return weight / weight.sum(axis=-1, keepdims=True)
    logit = share * np.log(trees / (1 - trees)) + (1 - share) * np.log(network / (1 - network))
    return 1 / (1 + np.exp(-logit))
