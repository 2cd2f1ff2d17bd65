"""Where a history longer than the model reads is cut: one rule for training, evaluation and serving."""

from __future__ import annotations


def windows(length: int, longest: int) -> list[tuple[int, int]]:
    """Start and stop of the windows of at most `longest` events that cover a history of `length`, overlapping by half.

    Starts depend on `longest` alone, never on `length`. So the last window of a prefix, which is what a service reads
    when the history ends there, is the window in which training labels and evaluation scores that prefix: the first
    that reaches it. Every prefix beyond `longest` is seen with at least half a window of events before it.
    """
    step = max(longest // 2, 1)
    last = -(-max(length - longest, 0) // step) * step
    return [(start, min(start + longest, length)) for start in range(0, last + 1, step)]


def context_length(start: int, longest: int) -> int:
    """How many first events of the window at `start` belong to the window before and are read as context only."""
    return 0 if start == 0 else longest - max(longest // 2, 1)
