"""The featurizer: fitted on training histories, then the only way from a history to the network's inputs.

Everything at event i is computed from events 0..i alone, so a stream, a batch and a training run give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.events import Event, History
from forewarn.events.config import InputsConfig
from forewarn.sequence.config import SequenceConfig
from forewarn.sequence.crosses import Value, check_crosses, cross_name, cross_values, field_values
from forewarn.sequence.derived import CASE_FIELDS, DERIVED_FIELDS, derived_fields, event_times, rotary_positions
from forewarn.sequence.encoded import EncodedHistory
from forewarn.sequence.quantiles import QuantileMap
from forewarn.sequence.selection import FieldStatistics, check_issue, choose_fields
from forewarn.sequence.vocabulary import Vocabulary
from forewarn.text.words import WordCounts, WordVocabulary

Embed = Callable[[Sequence[str]], NDArray[np.float32]]  # distinct texts [U] -> vectors [U, E]


class Featurizer:
    """Turns histories into `EncodedHistory` arrays with fitted vocabularies and quantile maps.

    Fields, in column order: `vocabularies` (C categorical, those of `crosses` last), `quantiles` (F numeric:
    attributes, then derived). Texts become vectors of `text_width` by a pre-trained encoder, or ids of `words` for one
    that the network learns.
    """

    def __init__(
        self,
        config: SequenceConfig,
        vocabularies: dict[str, Vocabulary],
        quantiles: dict[str, QuantileMap],
        known: Iterable[str],
        text_width: int,
        issue: str | None = None,
        words: WordVocabulary | None = None,
        crosses: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.config, self.vocabularies, self.quantiles, self.issue = config, vocabularies, quantiles, issue
        self.known, self.text_width, self.words = frozenset(known), text_width, words
        self.crosses = dict(crosses or {})  # name -> the fields that it combines
        self.attributes = [name for name in quantiles if name not in DERIVED_FIELDS]
        self._derived = [i for i, name in enumerate(DERIVED_FIELDS) if name in quantiles]
        self._maps = list(quantiles.values())

    @classmethod
    def fit(
        cls,
        histories: Iterable[History],
        inputs: InputsConfig,
        config: SequenceConfig,
        *,
        exclude: set[str],
        text_width: int,
        words: WordCounts | None = None,
    ) -> Featurizer:
        """Fits on training histories only; `exclude` names the target's evidence.

        `text_width` is E of a pre-trained text encoder, else 0; `words` is filled where the network learns its own.
        A `HistoryStore` iterates in hash order, so the first `config.fit_histories` are a random part of any data set.
        """
        sample: list[NDArray[np.float64]] = []

        def observe(stream: Iterable[History]) -> Iterable[History]:
            for history in stream:
                sample.append(derived_fields(history.events, event_times(history.events), inputs.issue))
                if words is not None and inputs.text:
                    for event in history.events:
                        words.add(event.text or "")
                yield history

        crosses = {cross_name(fields): list(fields) for fields in inputs.crosses}
        statistics = FieldStatistics.collect(observe(islice(histories, config.fit_histories)), crosses)
        if not sample:
            raise ValueError("training split: found no history, expected at least one; check the split and the filters")
        exclude = exclude | set(inputs.exclude)
        categorical, numeric = choose_fields(statistics, inputs.categorical, inputs.numeric, exclude)
        check_issue(statistics, inputs.issue, exclude)
        check_crosses(inputs.crosses, categorical)
        vocabularies = {
            name: Vocabulary.fit(statistics.categories(name), config.min_count, config.max_vocabulary)
            for name in (*categorical, *crosses)
        }
        quantiles = {name: QuantileMap.fit(statistics.values(name), config.knots) for name in numeric}
        derived = dict(zip(DERIVED_FIELDS, np.concatenate(sample).T, strict=True))
        if not (derived["case.same"] == 0).any():  # every history is one case, which has no relations
            exclude |= CASE_FIELDS
        for name, column in derived.items():
            if name not in exclude and np.isfinite(column).any():
                quantiles[name] = QuantileMap.fit(column, config.knots)
        width = text_width if inputs.text and statistics.has_text else 0
        vocabulary = words.vocabulary() if words is not None and words.texts else None
        return cls(config, vocabularies, quantiles, statistics.attributes, width, inputs.issue, vocabulary, crosses)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Vocabulary size of every categorical field."""
        return tuple(len(vocabulary) for vocabulary in self.vocabularies.values())

    def encode(self, histories: Sequence[History], embed: Embed | None = None) -> list[EncodedHistory]:
        """Encodes whole histories; `embed` is needed where the model reads text."""
        if not histories:
            return []
        events = [event for history in histories for event in history.events]
        bounds = np.cumsum([0, *(len(history.events) for history in histories)]).tolist()
        times = [event_times(history.events) for history in histories]
        categorical = self._categorical(events)
        relations = not CASE_FIELDS.isdisjoint(self.quantiles)
        derived = [
            derived_fields(h.events, time_T, self.issue, relations=relations)
            for h, time_T in zip(histories, times, strict=True)
        ]
        raw = np.column_stack([self._numeric(events), np.concatenate(derived)[:, self._derived]])
        numeric = np.empty(raw.shape, dtype=np.float32)
        for i, quantile_map in enumerate(self._maps):
            numeric[:, i] = quantile_map(raw[:, i])
        texts = [self._texts(history.events) for history in histories]
        vectors = self._embed([distinct for _, distinct in texts], embed)
        return [
            EncodedHistory(
                history_id=history.history_id,
                event_ids=tuple(event.event_id for event in history.events),
                categorical=categorical[start:stop],
                numeric=numeric[start:stop],
                position=rotary_positions(time_T, self.config.rotary_time, self.config.rotary_tau_s),
                text_index=text_index,
                text_vectors=text_vectors,
                text_words=self._words(distinct),
            )
            for history, start, stop, time_T, (text_index, distinct), text_vectors in zip(
                histories, bounds, bounds[1:], times, texts, vectors, strict=False
            )
        ]

    def _categorical(self, events: Sequence[Event]) -> NDArray[np.int32]:
        values: dict[str, Sequence[Value]] = {}
        for name in self.vocabularies:  # crosses come last
            parts = self.crosses.get(name)
            values[name] = cross_values([values[part] for part in parts]) if parts else field_values(events, name)
        return np.column_stack([self.vocabularies[name].encode(column) for name, column in values.items()])

    def _numeric(self, events: Sequence[Event]) -> NDArray[np.float64]:
        attributes = [event.attributes for event in events]
        columns = [_numbers([own.get(name) for own in attributes]) for name in self.attributes]
        return np.column_stack(columns) if columns else np.empty((len(events), 0))

    def _texts(self, events: Sequence[Event]) -> tuple[NDArray[np.int32], list[str]]:
        """Index per event [T] into the history's distinct texts, 0 for none, and those texts."""
        if not self.text_width and self.words is None:
            return np.zeros(len(events), dtype=np.int32), []
        rows: dict[str, int] = {}
        index = [
            rows.setdefault(event.text, len(rows) + 1) if event.text and not event.text.isspace() else 0
            for event in events
        ]
        return np.array(index, dtype=np.int32), list(rows)

    def _words(self, texts: list[str]) -> NDArray[np.int32]:
        """Word ids [U, W] of one history's distinct texts; W is 0 where the network learns no words."""
        return self.words.encode(texts) if self.words is not None else np.empty((0, 0), dtype=np.int32)

    def _embed(self, texts: Sequence[list[str]], embed: Embed | None) -> list[NDArray[np.float32]]:
        distinct = {text: i for i, text in enumerate(dict.fromkeys(text for own in texts for text in own))}
        if not distinct or not self.text_width:
            return [np.empty((0, self.text_width), dtype=np.float32)] * len(texts)
        if embed is None:
            raise ValueError("text: found texts and no text encoder, expected one; give the featurizer its encoder")
        vectors = embed(list(distinct))
        return [vectors[[distinct[text] for text in own]] for own in texts]

    def to_dict(self) -> dict[str, Any]:
        """Everything that `from_dict` needs, as plain JSON values."""
        return {
            "config": asdict(self.config),
            "categorical": {name: vocabulary.values for name, vocabulary in self.vocabularies.items()},
            "numeric": {name: quantile_map.knots.tolist() for name, quantile_map in self.quantiles.items()},
            "crosses": self.crosses,
            "known_attributes": sorted(self.known),
            "text_width": self.text_width,
            "issue": self.issue,
            "words": self.words.to_dict() if self.words is not None else None,
        }

    @classmethod
    def from_dict(cls, fitted: dict[str, Any]) -> Featurizer:
        """The featurizer that `to_dict` described."""
        return cls(
            SequenceConfig(**fitted["config"]),
            {name: Vocabulary(values) for name, values in fitted["categorical"].items()},
            {name: QuantileMap(np.array(knots)) for name, knots in fitted["numeric"].items()},
            fitted["known_attributes"],
            fitted["text_width"],
            fitted.get("issue"),  # absent from bundles that knew no issue
            WordVocabulary(**fitted["words"]) if fitted.get("words") else None,
            fitted.get("crosses"),  # absent from bundles that knew none
        )


def _numbers(values: list[str | float | None]) -> NDArray[np.float64]:
    """A numeric attribute's values [T]; what is absent, or text that is not a number, is missing."""
    try:
        return np.array(values, dtype=np.float64)  # None becomes NaN
    except ValueError:
        return np.array([_number(value) for value in values])


def _number(value: str | float | None) -> float:
    try:
        return float(value) if value is not None else np.nan
    except ValueError:
        return np.nan
