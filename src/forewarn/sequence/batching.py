"""Token-budget batches: histories of like length together, so that nearly every token computed is a real event."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class TokenBudgetBatches:
    """Index batches with `len(batch) * longest <= token_budget`, reshuffled every epoch, sharded over processes.

    A history longer than the budget forms a batch of its own. The order depends on (seed, epoch) only, so a resumed
    run continues with the batches that the killed one would have seen. An epoch of fewer than `at_least` batches for
    each process goes on with further passes over the histories, each in an order of its own, until it has so many.
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
        at_least: int = 0,
    ) -> None:
        if token_budget < 1:
            raise ValueError(f"token_budget: found {token_budget}, expected at least 1 token; use 4096")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.token_budget, self.shuffle, self.seed, self.pool = token_budget, shuffle, seed, pool
        self.rank, self.world_size, self.at_least = rank, world_size, at_least
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
        batches, wanted = self._pass(rng), self.at_least * self.world_size
        if 0 < len(batches) < wanted:
            while len(batches) < wanted:
                batches.extend(self._pass(rng))
            del batches[wanted:]
        if self.world_size > 1:
            # Every process must run the same number of steps: the last few repeat from the front.
            steps = -(-len(batches) // self.world_size)
            batches = [batches[(step * self.world_size + self.rank) % len(batches)] for step in range(steps)]
        return batches

    def _pass(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Every history once."""
        order = rng.permutation(len(self.lengths)) if self.shuffle else np.arange(len(self.lengths))
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), self.pool):
            members = order[start : start + self.pool]
            # A stable sort keeps the shuffled order among equal lengths.
            members = members[np.argsort(self.lengths[members], kind="stable")]
            batches.extend(self._pack(members))
        return [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches

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

    @property
    def passes(self) -> float:
        """How often an epoch reads the histories: 1.0, or more where `at_least` asks for it."""
        once = len(self._pass(np.random.default_rng((self.seed, self.epoch))))
        return max(self.at_least * self.world_size / once, 1.0) if once else 1.0

    def real_token_share(self) -> float:
        """Share of computed tokens that are real events, 1.0 meaning no padding at all."""
        batches = self.batches()
        real = sum(int(self.lengths[batch].sum()) for batch in batches)
        return real / sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
