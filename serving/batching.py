"""Which pending items make the next batch.

Design choices
- A batch costs what it pads to, B x max T, and may cost at most the token budget. What does not fit is deferred and
  keeps its place in front. Only an item longer than the whole budget exceeds it, alone.
- The most urgent item leads the batch, so nothing starves. Items of its length bucket join it in order of urgency.
- An item of another bucket joins only while all padding together costs less than the launch that it saves: where a
  launch is dear against an event (a GPU, a tiny model) lengths mix, where it is cheap they do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Histories up to this length share one bucket; above it, four buckets per doubling keep padding inside one below 19 %.
_SHORT = 16
_BUCKETS_PER_DOUBLING = 4


def choose_batch(lengths: Sequence[int], token_budget: int, launch_tokens: float) -> list[int]:
    """Positions of the items that make the next batch, from the lengths of all pending ones, most urgent first.

    `launch_tokens` is the fixed cost of one graph call, expressed in events.
    """
    batch, longest, real, home = [0], lengths[0], lengths[0], bucket(lengths[0])
    for position in range(1, len(lengths)):
        size, length = len(batch) + 1, lengths[position]
        if size * longest > token_budget:
            break
        cost = size * max(longest, length)
        alike = home == bucket(length) == bucket(longest)
        if cost <= token_budget and (alike or cost - real - length < launch_tokens):
            batch.append(position)
            longest, real = max(longest, length), real + length
    return batch


def bucket(length: int) -> int:
    """The length bucket of a history of so many events."""
    return 0 if length <= _SHORT else math.ceil(_BUCKETS_PER_DOUBLING * math.log2(length / _SHORT))
