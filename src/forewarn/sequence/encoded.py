"""One history as arrays, and many histories as one right-padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence.aggregates import aggregate

# The arrays of a history that the network reads, by their names in the graph and in a dataset file.
INPUT_COLUMNS = ("categorical", "numeric", "position", "text_index", "text_vectors", "text_words")
AGGREGATES = "aggregates"  # a further input of a graph that has trees behind the network
SILENCE = "silence"  # a further input of a graph whose risk ages


@dataclass(frozen=True, slots=True)
class EncodedHistory:
    """The network's view of one history of T events.

    Shapes: categorical int32 [T, C]; numeric float32 [T, F], NaN missing; position float32 [T];
    text_index int32 [T], 0 for no text, else the row plus one of its text in text_vectors float32 [U, E] (a pre-trained
    encoder's) or text_words int32 [U, W] (ids for a learned one, 0 pads). Where the other is used, E or W is 0.
    `silence_s`: seconds since the last event at which the history is looked at; 0 is right after it.
    """

    history_id: str
    event_ids: tuple[str, ...]
    categorical: NDArray[np.int32]
    numeric: NDArray[np.float32]
    position: NDArray[np.float32]
    text_index: NDArray[np.int32]
    text_vectors: NDArray[np.float32]
    text_words: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int32))
    silence_s: float = 0.0

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


def collate(
    batch: Sequence[EncodedHistory], *, aggregates: bool = False, silence: bool = False
) -> dict[str, NDArray[np.generic]]:
    """Right-pads histories into the graph's inputs; text entries are present only where the model reads text.

    Shapes: categorical int64 [B, T, C]; numeric float32 [B, T, F]; position float32 [B, T];
    text_index int64 [B, T]; text_vectors float32 [U, E] or text_words int64 [U, W], U and W at least 1; with
    `aggregates`, which only a hybrid reads, their columns too: aggregates float32 [B, T, A]; with `silence`, which only
    a model that ages reads, silence float32 [B, T]: seconds after each event, 0 after all but the last of a history.
    """
    joined = {name: np.concatenate([getattr(history, name) for history in batch]) for name in INPUT_COLUMNS}
    lengths = np.array([history.length for history in batch])
    texts = np.array([max(len(history.text_vectors), len(history.text_words)) for history in batch])
    arrays = collate_joined(joined, lengths, texts)
    if aggregates:
        arrays[AGGREGATES] = pad(np.concatenate([history.aggregates() for history in batch]), lengths, 0.0)
    if silence:
        after = np.zeros(arrays["position"].shape, dtype=np.float32)
        after[np.arange(len(batch)), lengths - 1] = [history.silence_s for history in batch]
        arrays[SILENCE] = after
    return arrays


def collate_joined(
    joined: Mapping[str, NDArray[Any]], lengths: NDArray[np.int64], texts: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    """`collate` of histories that lie one behind the other: arrays by name, [B] events and [B] texts of each."""
    arrays: dict[str, NDArray[np.generic]] = {
        "categorical": pad(joined["categorical"], lengths, 0, np.int64),
        "numeric": pad(joined["numeric"], lengths, 0.0),
        "position": pad(joined["position"], lengths, 0.0),
    }
    vectors, words = joined["text_vectors"], joined["text_words"]
    if vectors.shape[1] or words.shape[1]:
        index = joined["text_index"]
        # Row 0 of the batch's texts is never read; those of history i follow those of the histories before it.
        before = np.repeat(np.cumsum(texts) - texts + 1, lengths)
        arrays["text_index"] = pad(np.where(index > 0, index + before, 0), lengths, 0, np.int64)
    if width := vectors.shape[1]:
        arrays["text_vectors"] = np.concatenate([np.zeros((1, width), dtype=np.float32), vectors])
    elif width := words.shape[1]:
        # Words stand on the left, so the columns in use are those up to the longest text of the batch.
        used = max(1, int((words > 0).any(axis=0).sum()))
        arrays["text_words"] = np.concatenate([np.zeros((1, used), dtype=np.int64), words[:, :used]])
    return arrays


def pad(
    joined: NDArray[Any], lengths: NDArray[np.int64], fill: float, dtype: type[np.generic] | None = None
) -> NDArray[Any]:
    """Rows [sum of lengths, ...] that lie one behind the other as [B, longest, ...], filled up on the right."""
    shape = (len(lengths), int(lengths.max()), *joined.shape[1:])
    padded = np.full(shape, fill, dtype=dtype or joined.dtype)
    padded[np.arange(shape[1]) < lengths[:, None]] = joined
    return padded
