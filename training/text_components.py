"""The texts of a history as a few numbers each, for models that cannot read: fitted on training texts alone.

Vectors of a pre-trained encoder are reduced by principal components; word ids by TF-IDF and a truncated singular value
decomposition (latent semantic analysis, Deerwester et al. 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from forewarn.sequence import EncodedHistory

TEXT_COMPONENTS = 32
_SAMPLE = 20_000  # texts the components are fitted on
Reduce = Callable[[NDArray[Any]], NDArray[np.float64]]  # text_vectors [U, E] or text_words [U, W] -> [U, width]


class TextComponents:
    """Maps a history to the components [U, width] of its distinct texts."""

    def __init__(self, reduce: Reduce, column: str, width: int) -> None:
        self._reduce, self._column, self.width = reduce, column, width

    @classmethod
    def fit(cls, histories: Sequence[EncodedHistory], seed: int) -> TextComponents | None:
        """Fits on the texts of the training histories; None where there are fewer than two."""
        column = "text_words" if histories[0].text_words.shape[1] else "text_vectors"
        texts = np.concatenate([getattr(history, column) for history in histories])
        if len(texts) < 2 or not texts.shape[1]:
            return None
        if len(texts) > _SAMPLE:
            texts = texts[np.random.default_rng(seed).choice(len(texts), _SAMPLE, replace=False)]
        reduce, width = _fit_words(texts, seed) if column == "text_words" else _fit_vectors(texts)
        return cls(reduce, column, width)

    def __call__(self, history: EncodedHistory) -> NDArray[np.float64]:
        texts = getattr(history, self._column)
        return self._reduce(texts) if len(texts) else np.zeros((0, self.width))


def _fit_vectors(vectors_UE: NDArray[np.float32]) -> tuple[Reduce, int]:
    pca = PCA(min(TEXT_COMPONENTS, *vectors_UE.shape), svd_solver="full").fit(vectors_UE)
    return pca.transform, int(pca.n_components_)


def _fit_words(words_UW: NDArray[np.int32], seed: int) -> tuple[Reduce, int]:
    size = int(words_UW.max()) + 1
    tfidf = TfidfTransformer(sublinear_tf=True).fit(_counts(words_UW, size))
    components = min(TEXT_COMPONENTS, size - 1, len(words_UW) - 1)
    svd = TruncatedSVD(components, random_state=seed).fit(tfidf.transform(_counts(words_UW, size)))
    return lambda words_UW: svd.transform(tfidf.transform(_counts(words_UW, size))), components


def _counts(words_UW: NDArray[np.int32], size: int) -> sparse.csr_matrix:
    """How often each word stands in each text [U, size]; padding and words beyond the fitted ones count nothing."""
    text, place = np.nonzero((words_UW > 0) & (words_UW < size))
    entries = (np.ones(len(text)), (text, words_UW[text, place]))
    return sparse.csr_matrix(entries, shape=(len(words_UW), size))
