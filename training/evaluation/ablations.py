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

import numpy as np
from numpy.typing import NDArray

from forewarn.events import Event, History
from forewarn.sequence import EncodedHistory, Featurizer, context_length, windows
from forewarn.sequence.vocabulary import UNKNOWN
from forewarn.text import CachedEncoder
from training.bootstrap import Floats, estimates
from training.evaluation.outcomes import COMPARED, Outcome, Scores
from training.evaluation.sample import Sample, reordered, shuffled
from training.labelled import progress

Score = Callable[[Sequence[EncodedHistory]], Scores]  # scores of every event of whole arrays, joined
MOST_SHUFFLED = 300_000  # events: a shuffled prefix is a sequence of its own
_CHUNK = 256  # histories encoded at once
# Of the fields `case.*`: what tells time, and what tells of other cases.
_CASE_TIMES = {"case.elapsed_s", "case.other_gap_s", "case.issue_gap_s"}
_CASE_RELATIONS = {"case.same", "case.other_gap_s", "case.issue_gap_s"}


@dataclass(frozen=True)
class Variant:
    """One ablation: scores of some of the sampled points, by index into them."""

    group: str
    name: str
    rows: NDArray[np.int64]
    scores: Scores


class Ablations:
    """Scores every variant of the sampled histories, at their observation points."""

    def __init__(
        self, sample: Sample, featurizer: Featurizer, embed: CachedEncoder | None, score: Score, seed: int
    ) -> None:
        self.sample, self.featurizer, self.score = sample, featurizer, score
        self.embed = embed.encode if embed is not None else None
        self.rng = np.random.default_rng(seed)
        self.longest = featurizer.config.max_length
        self.encoded = self._encode(sample.histories)
        self.base = self._points(self.encoded)

    def variants(self) -> Iterator[Variant]:
        """Every ablation that the inputs allow; a part that no event carries has none."""
        yield from self._orders()
        numeric, fields = list(self.featurizer.quantiles), list(self.featurizer.vocabularies)
        timed = [i for i, name in enumerate(numeric) if name.startswith("time.") or name in _CASE_TIMES]
        yield self._hidden("time", "time hidden", numeric=timed, clock=False)
        if self.featurizer.text_width:
            yield self._hidden("text", "text hidden", text=False)
        yield from self._families()
        if self.sample.per is not None:
            yield self._alone()
        counted = [i for i, name in enumerate(numeric) if name.startswith("count.") or name == "case.events"]
        yield self._hidden("field", "running counts", numeric=counted)
        if relations := [i for i, name in enumerate(numeric) if name in _CASE_RELATIONS]:
            yield self._hidden("field", "case relations", numeric=relations)
        for i, name in enumerate(fields):
            if name not in self.featurizer.crosses:
                combined = [fields.index(cross) for cross, parts in self.featurizer.crosses.items() if name in parts]
                yield self._hidden("field", name, categorical=[i, *combined])
        for i, name in enumerate(numeric):
            if name in self.featurizer.attributes:
                yield self._hidden("field", name, numeric=[i])

    def _orders(self) -> Iterator[Variant]:
        owner_P, place_P = self.sample.places()
        chosen = self.rng.permutation(len(place_P))
        total = np.cumsum(place_P[chosen] + 1)
        chosen = np.sort(chosen[: max(int(np.searchsorted(total, MOST_SHUFFLED, side="right")), 1)])
        for name, last in (("earlier events shuffled", 1), ("all events shuffled", 0)):
            prefixes = []
            for owner, place in zip(owner_P[chosen].tolist(), place_P[chosen].tolist(), strict=True):
                history = self.sample.histories[owner]
                start, stop = windows(place + 1, self.longest)[-1]
                first = int(self.sample.starts[owner])
                moved = start + shuffled(self.sample.cases[first + start : first + stop - last], self.rng)
                order = [*range(start), *moved.tolist(), *range(stop - last, stop)]
                events = reordered(history.events[:stop], order)
                prefixes.append(History(history.history_id, history.customer_id, events))
            read = [own.take(slice(windows(own.length, self.longest)[-1][0], None)) for own in self._encode(prefixes)]
            newest = np.cumsum([own.length for own in read]) - 1
            scores = {task: values[newest] for task, values in self.score(read).items()}
            yield Variant("order", name, chosen, scores)

    def _families(self) -> Iterator[Variant]:
        histories = self.sample.histories
        family_N = np.array([_family(event) for history in histories for event in history.events])
        names = np.unique(family_N).tolist()
        for name in names if len(names) > 1 else []:
            kept_N = family_N != name
            newest_P = self.sample.newest(kept_N)
            rows = np.flatnonzero(newest_P >= 0)
            if len(rows):
                left = [
                    History(h.history_id, h.customer_id, [event for event in h.events if _family(event) != name])
                    for h in histories
                ]
                scores = self._score(self._encode([history for history in left if history.events]))
                at = np.cumsum(kept_N)[newest_P[rows]] - 1
                yield Variant("family", name, rows, {task: values[at] for task, values in scores.items()})

    def _alone(self) -> Variant:
        histories, event_P = self.sample.alone()
        scores = {task: values[event_P] for task, values in self._score(self._encode(histories)).items()}
        return Variant("cases", "other cases hidden", np.arange(len(event_P)), scores)

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
        return Variant(group, name, np.arange(len(self.sample.points)), self._points(changed))

    def _encode(self, histories: list[History]) -> list[EncodedHistory]:
        return [
            encoded
            for start in range(0, len(histories), _CHUNK)
            for encoded in self.featurizer.encode(histories[start : start + _CHUNK], self.embed)
        ]

    def _points(self, encoded: list[EncodedHistory]) -> Scores:
        return {task: values[self.sample.points] for task, values in self._score(encoded).items()}

    def _score(self, encoded: list[EncodedHistory]) -> Scores:
        """Scores of every event, long histories in the windows of `write_split`."""
        parts, counted = [], []
        for history in encoded:
            for start, stop in windows(history.length, self.longest):
                parts.append(history if stop - start == history.length else history.take(slice(start, stop)))
                counted.append(np.arange(stop - start) >= context_length(start, self.longest))
        keep = np.concatenate(counted)
        return {task: values[keep] for task, values in self.score(parts).items()}


def _family(event: Event) -> str:
    return event.type.partition(".")[0]


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
