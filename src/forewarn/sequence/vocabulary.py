"""Fitted vocabulary of one categorical field: value -> token, 0 for unknown, 1 for missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from forewarn.events import as_text

UNKNOWN, MISSING, RESERVED = 0, 1, 2


class Vocabulary:
    """Tokens of the values seen in training, the most frequent first (ties by value, so that fits are repeatable)."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values = list(values)
        self._tokens: dict[str | float | None, int] = {v: i for i, v in enumerate(self.values, start=RESERVED)}
        self._tokens[None] = MISSING

    @classmethod
    def fit(cls, counts: Counter[str], min_count: int, max_size: int) -> Vocabulary:
        """Keeps the `max_size` most frequent values that were seen at least `min_count` times."""
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([value for value, count in ranked[:max_size] if count >= min_count])

    def __len__(self) -> int:
        return RESERVED + len(self.values)

    def encode(self, values: Sequence[str | float | None]) -> NDArray[np.int32]:
        """Tokens int32 [T] of `values`; None is missing, a value never seen in training is unknown."""
        tokens = [self._tokens.get(value, UNKNOWN) for value in values]
        if UNKNOWN in tokens:
            tokens = [
                token or self._tokens.get(as_text(value), UNKNOWN)  # so that 3, 3.0 and "3" are one category
                for token, value in zip(tokens, values, strict=True)
            ]
        return np.array(tokens, dtype=np.int32)

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """The values behind tokens, `<unknown>` and `<missing>` for the reserved ones."""
        names = ["<unknown>", "<missing>", *self.values]
        return [names[token] for token in tokens]
