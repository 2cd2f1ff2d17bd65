"""Labelled histories to one dataset file per split; a long history becomes overlapping windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from forewarn.events import History
from forewarn.sequence import EncodedHistory, Featurizer, RaggedWriter, context_length, windows
from forewarn.text import Encoder
from training.labelled import Arrays, progress, unlabel

_CHUNK = 512  # histories encoded at once


def write_split(
    labelled: Iterable[tuple[History, Arrays]],
    featurizer: Featurizer,
    embed: Encoder | None,
    path: Path,
    name: str,
) -> dict[str, int]:
    """Encodes labelled histories into one dataset file; a history beyond `max_length` becomes several windows."""
    counts = {"histories": 0, "events": 0, "windows": 0}
    with RaggedWriter(path) as writer:
        for chunk in chunks(progress(labelled, f"encode {name}"), _CHUNK):
            encoded = featurizer.encode([h for h, _ in chunk], embed.encode if embed is not None else None)
            for history, (_, labels) in zip(encoded, chunk, strict=True):
                for start, window, window_labels in labelled_windows(history, labels, featurizer.config.max_length):
                    # `start` numbers the window's events within its history.
                    writer.add(history.history_id, window.arrays() | window_labels | {"start": np.array([start])})
                    counts["windows"] += 1
                counts["histories"] += 1
                counts["events"] += history.length
    return counts


def labelled_windows(
    history: EncodedHistory, labels: Arrays, longest: int
) -> Iterator[tuple[int, EncodedHistory, Arrays]]:
    """The windows of a history as (start, window, labels); every prefix is labelled once, where it is not context."""
    for start, stop in windows(history.length, longest):
        cut = {name: array[start:stop].copy() for name, array in labels.items()}
        unlabel({name: array for name, array in cut.items() if "." in name}, slice(context_length(start, longest)))
        yield start, history.take(slice(start, stop)), cut


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size` items, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
