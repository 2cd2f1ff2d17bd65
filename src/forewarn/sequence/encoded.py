"""One history as arrays, and many histories as one right-padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# The arrays of a history that the network reads, by their names in the graph and in a dataset file.
INPUT_COLUMNS = ("categorical", "numeric", "position", "text_index", "text_vectors")


@dataclass(frozen=True, slots=True)
class EncodedHistory:
    """The network's view of one history of T events.

    Shapes: categorical int32 [T, C]; numeric float32 [T, F], NaN missing; position float32 [T];
    text_index int32 [T], 0 for no text, else a row of text_vectors plus one; text_vectors float32 [U, E].
    """

    history_id: str
    event_ids: tuple[str, ...]
    categorical: NDArray[np.int32]
    numeric: NDArray[np.float32]
    position: NDArray[np.float32]
    text_index: NDArray[np.int32]
    text_vectors: NDArray[np.float32]

    @property
    def length(self) -> int:
        """Number of events T."""
        return len(self.position)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, as `INPUT_COLUMNS`."""
        return {name: getattr(self, name) for name in INPUT_COLUMNS}

    def take(self, events: slice | NDArray[np.int64]) -> EncodedHistory:
        """The same history with only the chosen events and their texts; positions keep their values."""
        # A history of many windows would otherwise be stored with all its texts in each of them.
        used, row = np.unique(np.append(np.int32(0), self.text_index[events]), return_inverse=True)
        return replace(
            self,
            event_ids=tuple(np.array(self.event_ids, dtype=object)[events]),
            categorical=self.categorical[events],
            numeric=self.numeric[events],
            position=self.position[events],
            text_index=row[1:].astype(np.int32),
            text_vectors=self.text_vectors[used[1:] - 1],
        )


def collate(batch: Sequence[EncodedHistory]) -> dict[str, NDArray[np.generic]]:
    """Right-pads histories into the graph's inputs; text entries are present only where the model reads text.

    Shapes: categorical int64 [B, T, C]; numeric float32 [B, T, F]; position float32 [B, T];
    text_index int64 [B, T]; text_vectors float32 [U, E], U at least 1.
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
    width = first.text_vectors.shape[1]
    if width:
        text_index = np.zeros((size, longest), dtype=np.int64)
        vectors, used = [np.zeros((1, width), dtype=np.float32)], 1
        for row, history in enumerate(batch):
            text_index[row, : history.length] = np.where(history.text_index > 0, history.text_index + used, 0)
            vectors.append(history.text_vectors)
            used += len(history.text_vectors)
        arrays["text_index"], arrays["text_vectors"] = text_index, np.concatenate(vectors)
    return arrays
