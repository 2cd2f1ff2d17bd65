"""One history as arrays, and many histories as one right-padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
        """The same history with only the chosen events; positions keep their values, only differences matter."""
        return replace(
            self,
            event_ids=tuple(np.array(self.event_ids, dtype=object)[events]),
            categorical=self.categorical[events],
            numeric=self.numeric[events],
            position=self.position[events],
            text_index=self.text_index[events],
        )


def collate(batch: Sequence[EncodedHistory]) -> dict[str, NDArray[np.generic]]:
    """Right-pads histories into the graph's inputs; text entries are present only where the model reads text.

    Shapes: categorical int64 [B, T, C]; numeric float32 [B, T, F]; position float32 [B, T];
    text_index int64 [B, T]; text_vectors float32 [U, E], U at least 1.
    """
    joined = {name: np.concatenate([getattr(history, name) for history in batch]) for name in INPUT_COLUMNS}
    lengths = np.array([history.length for history in batch])
    return collate_joined(joined, lengths, np.array([len(history.text_vectors) for history in batch]))


def collate_joined(
    joined: Mapping[str, NDArray[Any]], lengths: NDArray[np.int64], texts: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    """`collate` of histories that lie one behind the other: arrays by name, [B] events and [B] texts of each."""
    arrays: dict[str, NDArray[np.generic]] = {
        "categorical": pad(joined["categorical"], lengths, 0, np.int64),
        "numeric": pad(joined["numeric"], lengths, 0.0),
        "position": pad(joined["position"], lengths, 0.0),
    }
    vectors = joined["text_vectors"]
    if width := vectors.shape[1]:
        index = joined["text_index"]
        # Row 0 of the batch's vectors is never read; those of history i follow those of the histories before it.
        before = np.repeat(np.cumsum(texts) - texts + 1, lengths)
        arrays["text_index"] = pad(np.where(index > 0, index + before, 0), lengths, 0, np.int64)
        arrays["text_vectors"] = np.concatenate([np.zeros((1, width), dtype=np.float32), vectors])
    return arrays


def pad(
    joined: NDArray[Any], lengths: NDArray[np.int64], fill: float, dtype: type[np.generic] | None = None
) -> NDArray[Any]:
    """Rows [sum of lengths, ...] that lie one behind the other as [B, longest, ...], filled up on the right."""
    shape = (len(lengths), int(lengths.max()), *joined.shape[1:])
    padded = np.full(shape, fill, dtype=dtype or joined.dtype)
    padded[np.arange(shape[1]) < lengths[:, None]] = joined
    return padded
