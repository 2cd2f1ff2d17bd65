"""Token-budget batches: histories of like length together, so that nearly every token computed is a real event."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class TokenBudgetBatches:
    """Index batches with `len(batch) * longest <= token_budget`, reshuffled every epoch, sharded over processes.

    A history longer than the budget forms a batch of its own. The order depends on (seed, epoch) only, so a resumed
    run continues with the batches that the killed one would have seen.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        token_budget: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pool: int = 65_536,
    ) -> None:
        if token_budget < 1:
            raise ValueError(f"token_budget: found {token_budget}, expected at least 1 token; use 4096")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.token_budget, self.shuffle, self.seed, self.pool = token_budget, shuffle, seed, pool
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    @property
    def sampler(self) -> TokenBudgetBatches:
        """Itself: training loops look for `set_epoch` on the sampler of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order the next iteration follows."""
        self.epoch = epoch

    def batches(self) -> list[NDArray[np.int64]]:
        """All batches of this epoch for this process."""
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths)) if self.shuffle else np.arange(len(self.lengths))
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), self.pool):
            members = order[start : start + self.pool]
            # A stable sort keeps the shuffled order among equal lengths.
            members = members[np.argsort(self.lengths[members], kind="stable")]
            batches.extend(self._pack(members))
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        if self.world_size > 1:
            # Every process must run the same number of steps: the last few repeat from the front.
            steps = -(-len(batches) // self.world_size)
            batches = [batches[(step * self.world_size + self.rank) % len(batches)] for step in range(steps)]
        return batches

    def _pack(self, members: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        start = 0
        for i, length in enumerate(self.lengths[members].tolist()):
            if i > start and (i - start + 1) * length > self.token_budget:
                yield members[start:i]
                start = i
        if start < len(members):
            yield members[start:]

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches():
            yield batch.tolist()

    def __len__(self) -> int:
        return len(self.batches())

    def real_token_share(self) -> float:
        """Share of computed tokens that are real events, 1.0 meaning no padding at all."""
        batches = self.batches()
        real = sum(int(self.lengths[batch].sum()) for batch in batches)
        return real / sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
