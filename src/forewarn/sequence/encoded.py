"""One history as arrays, and many histories as one right-padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence.aggregates import aggregate, aggregate_width

# The arrays of a history that the network reads, by their names in the graph and in a dataset file.
INPUT_COLUMNS = ("categorical", "numeric", "position", "text_index", "text_vectors", "text_words")
AGGREGATES = "aggregates"  # a further input of a graph that has trees behind the network


@dataclass(frozen=True, slots=True)
class EncodedHistory:
    """The network's view of one history of T events.

    Shapes: categorical int32 [T, C]; numeric float32 [T, F], NaN missing; position float32 [T];
    text_index int32 [T], 0 for no text, else the row plus one of its text in text_vectors float32 [U, E] (a pre-trained
    encoder's) or text_words int32 [U, W] (ids for a learned one, 0 pads). Where the other is used, E or W is 0.
    """

    history_id: str
    event_ids: tuple[str, ...]
    categorical: NDArray[np.int32]
    numeric: NDArray[np.float32]
    position: NDArray[np.float32]
    text_index: NDArray[np.int32]
    text_vectors: NDArray[np.float32]
    text_words: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int32))

    @property
    def length(self) -> int:
        """Number of events T."""
        return len(self.position)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, as `INPUT_COLUMNS`."""
        return {name: getattr(self, name) for name in INPUT_COLUMNS}

    def aggregates(self) -> NDArray[np.float32]:
        """The history's prefixes as flat feature rows float32 [T, A], as `forewarn.sequence.aggregates` has them."""
        return aggregate(self.categorical, self.numeric, self.position)

    def take(self, events: slice | NDArray[np.int64]) -> EncodedHistory:
        """The same history with only the chosen events and their texts; positions keep their values."""
        # A history of many windows would otherwise be stored with all its texts in each of them.
        used, row = np.unique(np.append(np.int32(0), self.text_index[events]), return_inverse=True)
        texts = used[1:] - 1
        return replace(
            self,
            event_ids=tuple(np.array(self.event_ids, dtype=object)[events]),
            categorical=self.categorical[events],
            numeric=self.numeric[events],
            position=self.position[events],
            text_index=row[1:].astype(np.int32),
            text_vectors=self.text_vectors[texts] if len(self.text_vectors) else self.text_vectors,
            text_words=self.text_words[texts] if len(self.text_words) else self.text_words,
        )


def collate(batch: Sequence[EncodedHistory], *, aggregates: bool = False) -> dict[str, NDArray[np.generic]]:
    """Right-pads histories into the graph's inputs; text entries are present only where the model reads text.

    Shapes: categorical int64 [B, T, C]; numeric float32 [B, T, F]; position float32 [B, T];
    text_index int64 [B, T]; text_vectors float32 [U, E] or text_words int64 [U, W], U and W at least 1; with
    `aggregates`, which only a hybrid reads, their columns too: aggregates float32 [B, T, A].
    """
    size, longest = len(batch), max(history.length for history in batch)
    first = batch[0]
    categorical = np.zeros((size, longest, first.categorical.shape[1]), dtype=np.int64)
    numeric = np.zeros((size, longest, first.numeric.shape[1]), dtype=np.float32)
    position = np.zeros((size, longest), dtype=np.float32)
    for row, history in enumerate(batch):
        categorical[row, : history.length] = history.categorical
        numeric[row, : history.length] = history.numeric
        position[row, : history.length] = history.position
    arrays: dict[str, NDArray[np.generic]] = {"categorical": categorical, "numeric": numeric, "position": position}
    if first.text_vectors.shape[1]:
        arrays["text_vectors"] = _stacked([history.text_vectors for history in batch])
        arrays["text_index"] = _text_index([(history.text_index, len(history.text_vectors)) for history in batch])
    elif first.text_words.shape[1]:
        words = _stacked([history.text_words for history in batch]).astype(np.int64)
        # Words stand on the left, so the columns in use are those up to the longest text of the batch.
        arrays["text_words"] = words[:, : max(1, int((words > 0).any(axis=0).sum()))]
        arrays["text_index"] = _text_index([(history.text_index, len(history.text_words)) for history in batch])
    if aggregates:
        width = aggregate_width(categorical.shape[2], numeric.shape[2])
        arrays[AGGREGATES] = columns = np.zeros((size, longest, width), dtype=np.float32)
        for row, history in enumerate(batch):
            columns[row, : history.length] = history.aggregates()
    return arrays


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The rows of all histories below one row of zeros, so that there always is one."""
    return np.concatenate([np.zeros_like(rows[0], shape=(1, rows[0].shape[1])), *rows])


def _text_index(histories: Sequence[tuple[NDArray[np.int32], int]]) -> NDArray[np.int64]:
    """Index int64 [B, T] into the stacked rows, 0 for no text, from each history's own index and number of rows."""
    index_BT = np.zeros((len(histories), max(len(index) for index, _ in histories)), dtype=np.int64)
    used = 1
    for row, (index, texts) in enumerate(histories):
        index_BT[row, : len(index)] = np.where(index > 0, index + used, 0)
        used += texts
    return index_BT
