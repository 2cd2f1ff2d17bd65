"""Which class to name: the likeliest, or one that gives rare classes their due.

Macro-F1 counts every class alike, and naming the likeliest class seldom names a rare one. Multiplying a class's
probability by its share to the power of -alpha moves the choice from the likeliest class (alpha 0) to the one whose
probability exceeds its share the most (alpha 1); alpha is the one of a coarse grid with the best macro-F1 on the
validation rows (logit adjustment, Menon et al. 2021, arXiv 2007.07314). The probabilities stay what they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.metrics import class_measures

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def balanced_weights(probability_NC: NDArray[np.floating], label_N: NDArray[np.integer]) -> list[float]:
    """What to multiply each class's probability by before the largest is named, from labelled validation rows.

    All ones where nothing else is better, and without rows; a class that no row has keeps the weight of a rare one.
    """
    size = probability_NC.shape[1]
    if not len(label_N):
        return [1.0] * size
    share_C = (np.bincount(label_N, minlength=size) + 0.5) / (len(label_N) + 0.5 * size)
    every = np.ones((1, len(label_N)))
    tried = [share_C**-alpha for alpha in ALPHAS]
    scores = [class_measures(probability_NC, label_N, own)(every)["macro_f1_balanced"][0] for own in tried]
    best = tried[int(np.argmax(scores))]  # the first, the smallest alpha, of equals
    return [float(weight) for weight in best / best.min()]
