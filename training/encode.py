"""Labelled histories to one dataset file per split; a long history becomes overlapping windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from forewarn.events import History
from forewarn.sequence import EncodedHistory, Featurizer, RaggedWriter
from forewarn.text import CachedEncoder
from training.labelled import NO_LABEL, Arrays, progress

_CHUNK = 512  # histories encoded at once


def write_split(
    labelled: Iterable[tuple[History, Arrays]],
    featurizer: Featurizer,
    embed: CachedEncoder | None,
    path: Path,
    name: str,
) -> dict[str, int]:
    """Encodes labelled histories into one dataset file; a history beyond `max_length` becomes several windows."""
    counts = {"histories": 0, "events": 0, "windows": 0}
    with RaggedWriter(path) as writer:
        for chunk in chunks(progress(labelled, f"encode {name}"), _CHUNK):
            encoded = featurizer.encode([h for h, _ in chunk], embed.encode if embed is not None else None)
            for history, (_, labels) in zip(encoded, chunk, strict=True):
                for window, window_labels in windows(history, labels, featurizer.config.max_length):
                    writer.add(history.history_id, window.arrays() | window_labels)
                    counts["windows"] += 1
                counts["histories"] += 1
                counts["events"] += history.length
    return counts


def windows(history: EncodedHistory, labels: Arrays, longest: int) -> Iterator[tuple[EncodedHistory, Arrays]]:
    """Cuts a long history into windows of `longest` events that overlap by half; every prefix is labelled once.

    The first half of every window but the first is context only, so each labelled prefix sees at least half a window.
    """
    for start, stop, context in window_bounds(history.length, longest):
        if stop - start == history.length:
            yield history, labels
            return
        cut = {name: array[start:stop].copy() for name, array in labels.items()}
        for name, array in cut.items():
            array[:context] = NO_LABEL[name.rpartition(".")[2]]
        yield history.take(slice(start, stop)), cut


def window_bounds(length: int, longest: int) -> Iterator[tuple[int, int, int]]:
    """Start and stop of each window of a history of `length` events, and how many of its first events are context."""
    if length <= longest:
        yield 0, length, 0
        return
    step = max(longest // 2, 1)
    for start in range(0, length - longest + step, step):
        stop = min(start + longest, length)
        context = 0 if start == 0 else longest - step
        if start + context >= stop:
            return
        yield start, stop, context


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size` items, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
