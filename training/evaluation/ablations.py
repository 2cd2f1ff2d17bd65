"""Evaluation-time ablations: what a trained model's scores lose when a part of its input is hidden or shuffled.

The model is not trained again. A loss shows what this model leans on; no loss does not show that a part carries
nothing, for a model trained without it may find the same elsewhere, and a model that is shown what it never saw may
lose more than the part was worth. Hidden fields read as in training's own field dropout, so no token is strange to it.

Each variant is scored on the observation points of the whole input, and the differences are bootstrapped in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from forewarn.events import Event, History
from forewarn.sequence import EncodedHistory, Featurizer, context_length, windows
from forewarn.sequence.vocabulary import UNKNOWN
from forewarn.text import CachedEncoder
from training.bootstrap import Floats, estimates
from training.evaluation.outcomes import COMPARED, Outcome, Scores
from training.labelled import progress

Score = Callable[[Sequence[EncodedHistory]], Scores]  # scores of every event of whole arrays, joined
MOST_POINTS = 20_000  # observation points that are scored again for every variant
MOST_SHUFFLED = 300_000  # events: a shuffled prefix is a sequence of its own
_CHUNK = 256  # histories held encoded at once


@dataclass(frozen=True)
class Variant:
    """One ablation: scores of some of the sampled points, by index into them."""

    group: str
    name: str
    rows: NDArray[np.int64]
    scores: Scores


class Ablations:
    """Scores every variant of the sampled histories, one observation point per event."""

    def __init__(
        self, histories: list[History], featurizer: Featurizer, embed: CachedEncoder | None, score: Score, seed: int
    ) -> None:
        self.histories, self.featurizer, self.score = histories, featurizer, score
        self.embed = embed.encode if embed is not None else None
        self.rng = np.random.default_rng(seed)
        self.longest = featurizer.config.max_length
        self.lengths = np.array([len(history.events) for history in histories])
        self.encoded = self._encode(histories)
        self.base = self._score(self.encoded)

    def variants(self) -> Iterator[Variant]:
        """Every ablation that the inputs allow; a part that no event carries has none."""
        yield from self._orders()
        numeric, fields = list(self.featurizer.quantiles), list(self.featurizer.vocabularies)
        timed = [i for i, name in enumerate(numeric) if name.startswith("time.")]
        yield self._hidden("time", "time hidden", numeric=timed, clock=False)
        if self.featurizer.text_width:
            yield self._hidden("text", "text hidden", text=False)
        yield from self._families()
        counted = [i for i, name in enumerate(numeric) if name.startswith("count.")]
        yield self._hidden("field", "running counts", numeric=counted)
        for i, name in enumerate(fields):
            if name not in self.featurizer.crosses:
                combined = [fields.index(cross) for cross, parts in self.featurizer.crosses.items() if name in parts]
                yield self._hidden("field", name, categorical=[i, *combined])
        for i, name in enumerate(numeric):
            if name in self.featurizer.attributes:
                yield self._hidden("field", name, numeric=[i])

    def _orders(self) -> Iterator[Variant]:
        ends = np.cumsum(self.lengths)
        size = np.concatenate([np.arange(1, length + 1) for length in self.lengths])
        size = np.minimum(size, self.longest)
        chosen = self.rng.permutation(len(size))
        chosen = np.sort(chosen[: np.searchsorted(np.cumsum(size[chosen]), MOST_SHUFFLED, side="right")])
        for name, last in (("earlier events shuffled", 1), ("all events shuffled", 0)):
            shuffled = []
            for row in chosen.tolist():
                owner = int(np.searchsorted(ends, row, side="right"))
                stop = row - int(ends[owner] - self.lengths[owner]) + 1
                history = self.histories[owner]
                events = history.events[max(stop - self.longest, 0) : stop]
                order = self.rng.permutation(len(events) - last).tolist() + [len(events) - 1] * last
                shuffled.append(History(history.history_id, history.customer_id, reordered(events, order)))
            newest = np.cumsum([len(history.events) for history in shuffled]) - 1
            scores = {task: values[newest] for task, values in self._score(self._encode(shuffled)).items()}
            yield Variant("order", name, chosen, scores)

    def _families(self) -> Iterator[Variant]:
        names = sorted({event.type.partition(".")[0] for history in self.histories for event in history.events})
        for name in names if len(names) > 1 else []:
            kept_N = np.array(
                [event.type.partition(".")[0] != name for history in self.histories for event in history.events]
            )
            owner_N = np.repeat(np.arange(len(self.lengths)), self.lengths)
            left = [
                History(h.history_id, h.customer_id, [e for e in h.events if e.type.partition(".")[0] != name])
                for h in self.histories
            ]
            # A point keeps the score of the newest event that is left; points before any such event are not compared.
            before_N = np.cumsum(kept_N) - 1
            first_N = (np.cumsum(kept_N) - kept_N)[np.cumsum(self.lengths) - self.lengths][owner_N]
            rows = np.flatnonzero(before_N >= first_N)
            if len(rows):
                scores = self._score(self._encode([history for history in left if history.events]))
                yield Variant("family", name, rows, {task: values[before_N[rows]] for task, values in scores.items()})

    def _hidden(
        self,
        group: str,
        name: str,
        categorical: Sequence[int] = (),
        numeric: Sequence[int] = (),
        *,
        clock: bool = True,
        text: bool = True,
    ) -> Variant:
        changed = []
        for history in self.encoded:
            token_TC, value_TF = history.categorical.copy(), history.numeric.copy()
            token_TC[:, list(categorical)] = UNKNOWN
            value_TF[:, list(numeric)] = np.nan
            position = history.position if clock else np.arange(history.length, dtype=np.float32)
            index = history.text_index if text else np.zeros_like(history.text_index)
            changed.append(
                replace(history, categorical=token_TC, numeric=value_TF, position=position, text_index=index)
            )
        return Variant(group, name, np.arange(self.lengths.sum()), self._score(changed))

    def _encode(self, histories: list[History]) -> list[EncodedHistory]:
        return [
            encoded
            for start in range(0, len(histories), _CHUNK)
            for encoded in self.featurizer.encode(histories[start : start + _CHUNK], self.embed)
        ]

    def _score(self, encoded: list[EncodedHistory]) -> Scores:
        """Scores of every event, long histories in the windows of `write_split`."""
        parts, counted = [], []
        for history in encoded:
            for start, stop in windows(history.length, self.longest):
                parts.append(history if stop - start == history.length else history.take(slice(start, stop)))
                counted.append(np.arange(stop - start) >= context_length(start, self.longest))
        keep = np.concatenate(counted)
        return {task: values[keep] for task, values in self.score(parts).items()}


def reordered(events: list[Event], order: Sequence[int]) -> list[Event]:
    """The events in another order, each at the time of the place it takes: what happened moves, the clock stays."""
    return [
        msgspec.structs.replace(events[i], occurred_at=place.occurred_at, ingested_at=place.ingested_at)
        for i, place in zip(order, events, strict=True)
    ]


def compare(
    ablations: Ablations, outcomes: Sequence[Outcome], sampled: NDArray[np.int64], resamples: int, seed: int
) -> list[list[dict[str, Any]]]:
    """Per outcome one entry per variant: measures changed by the ablation, with paired intervals.

    `sampled` are the points behind the rows of `ablations`, ascending.
    """
    result: list[list[dict[str, Any]]] = [[] for _ in outcomes]
    for variant in progress(ablations.variants(), "ablations"):
        points = sampled[variant.rows]
        for outcome, entries in zip(outcomes, result, strict=True):
            _, chosen, there = np.intersect1d(outcome.rows, points, assume_unique=True, return_indices=True)
            if not len(chosen):
                continue
            full = outcome.metric(chosen, outcome.pick(ablations.base, variant.rows[there]))
            cut = outcome.metric(chosen, outcome.pick(variant.scores, there))
            names = COMPARED[outcome.task.kind]

            def change(weight_RN: Floats, full: Any = full, cut: Any = cut, names: Any = names) -> dict[str, Floats]:
                before, after = full(weight_RN), cut(weight_RN)
                return {name: after[name] - before[name] for name in names}

            changes = estimates(change, outcome.clusters[chosen], resamples, seed)
            entries.append({"group": variant.group, "name": variant.name, "rows": len(chosen), **changes})
    return result


def sample_histories(lengths: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Numbers of the histories, ascending, whose points are scored again: a random part with at most MOST_POINTS."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    return np.sort(order[: max(int(np.searchsorted(np.cumsum(lengths[order]), MOST_POINTS, side="right")), 1)])
