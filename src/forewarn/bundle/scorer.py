"""The scorer: histories in, scores per event and task out, through ONNX Runtime.

`encode` and `run` are separate so that a server can featurise on one thread and keep another busy with the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from forewarn.bundle.bundle import Bundle
from forewarn.bundle.session import PROVIDERS, open_session
from forewarn.events import History
from forewarn.sequence import AGGREGATES, SILENCE, EncodedHistory, TokenBudgetBatches, collate, windows
from forewarn.text import CachedEncoder

Scores = dict[str, NDArray[np.float32]]


class Scorer:
    """Scores histories with a bundle's graphs on one provider ("cpu" or "cuda") and precision ("fp32" or "fp16")."""

    def __init__(self, bundle: Bundle, provider: str = "cpu", threads: int = 0, precision: str = "fp32") -> None:
        self.bundle = bundle
        self.tasks = bundle.manifest.tasks
        self.session = open_session(bundle.graph(precision), provider, threads)
        self.input_names = [graph_input.name for graph_input in self.session.get_inputs()]
        self.embed: CachedEncoder | None = None
        if bundle.text_folder is not None:
            self.embed = CachedEncoder.open(bundle.text_folder, providers=PROVIDERS[provider], threads=threads)

    @property
    def ages(self) -> bool:
        """Whether risks move with silence, so that a score may be asked as of a later moment."""
        return SILENCE in self.input_names

    def encode(
        self, histories: Sequence[History], as_of: Sequence[datetime | None] | None = None
    ) -> list[EncodedHistory]:
        """Features and text vectors of histories; of those longer than `max_length`, their last window of events.

        `as_of` holds the moment, or None for that of the last event, at which each history is looked at. ValueError
        where it lies before that event, or the model does not age.
        """
        longest = self.bundle.featurizer.config.max_length
        embed = self.embed.encode if self.embed is not None else None
        encoded = self.bundle.featurizer.encode(histories, embed)
        encoded = [e if e.length <= longest else e.take(slice(*windows(e.length, longest)[-1])) for e in encoded]
        if as_of is None:
            return encoded
        return [
            replace(own, silence_s=self._silence_s(history, moment)) if moment is not None else own
            for own, history, moment in zip(encoded, histories, as_of, strict=True)
        ]

    def _silence_s(self, history: History, as_of: datetime) -> float:
        if not self.ages:
            raise ValueError(
                f"as_of: found {as_of.isoformat()}, expected none, for this model's risk does not move with silence; "
                "leave it out, or train with model.ageing=true"
            )
        silence_s = (as_of - history.events[-1].ingested_at).total_seconds()
        if silence_s < 0:
            raise ValueError(
                f"as_of: found {as_of.isoformat()}, expected no moment before the last event of history "
                f"{history.history_id!r} at {history.events[-1].ingested_at.isoformat()}; leave out later events"
            )
        return silence_s

    def run(self, encoded: Sequence[EncodedHistory]) -> list[Scores]:
        """Scores per history in one call of the graph: per task risk [T, K], probabilities [T, K] or values [T]."""
        feed = collate(encoded, aggregates=AGGREGATES in self.input_names, silence=self.ages)
        outputs = self.session.run(None, {name: feed[name] for name in self.input_names})
        return [
            {
                task.name: _to_user(output[row, : history.length], task.kind, task.transform)
                for task, output in zip(self.tasks, outputs, strict=True)
            }
            for row, history in enumerate(encoded)
        ]

    def run_all(
        self, encoded: Sequence[EncodedHistory], token_budget: int = 8_192, *, progress: bool = False
    ) -> list[Scores]:
        """Scores of any number of histories in length-sorted batches of at most `token_budget` padded events."""
        scores: list[Scores] = [{} for _ in encoded]
        lengths = np.array([history.length for history in encoded], dtype=np.int64)
        batches = TokenBudgetBatches(lengths, token_budget, shuffle=False)
        for batch in tqdm(batches, desc="score", unit=" batches", disable=not progress, leave=False):
            for i, score in zip(batch, self.run([encoded[i] for i in batch]), strict=True):
                scores[i] = score
        return scores

    def score(self, histories: Sequence[History], as_of: Sequence[datetime | None] | None = None) -> list[Scores]:
        """Scores of any number of histories, in the order given; with `as_of` the last risk of each is as of then."""
        return self.run_all(self.encode(histories, as_of))

    def horizons(self, task: str) -> list[str]:
        """The names along a task's last axis: horizons, classes or the unit."""
        for known in self.tasks:
            if known.name == task:
                return known.outputs
        raise ValueError(f"task: found {task!r}, expected one of {[t.name for t in self.tasks]}; correct the name")


def _to_user(output: NDArray[np.float32], kind: str, transform: str) -> NDArray[np.float32]:
    """Undoes a regression's transform and drops its axis of one; probabilities pass unchanged."""
    if kind != "regression":
        return output
    value: NDArray[np.float32] = np.expm1(output[:, 0]) if transform == "log1p" else output[:, 0]
    return value
