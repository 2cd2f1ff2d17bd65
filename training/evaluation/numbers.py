"""Every number of the report as one JSON-able dict: what goes to report.json, and all that the page is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from forewarn.bundle import Scorer
from forewarn.sequence import EncodedHistory
from forewarn.targets import ClassificationTask, HazardTask
from training.evaluation import ablations, alerts, curves, parts, sample
from training.evaluation.outcomes import MEASURES, Outcome, Scores, outcomes
from training.evaluation.points import Points
from training.labelled import LabelledSplits
from training.measure import SplitRows, score_split

SEED = 0  # of the bootstrap and of every shuffle


def report_numbers(
    splits: LabelledSplits, split: str, scorer: Scorer, rows: SplitRows, scores: Scores, *, clock: bool, resamples: int
) -> dict[str, Any]:
    """The report of a bundle's `scores` of one split, in the layout of `score_split`.

    `clock` tells whether the data's times mean anything; `resamples` is the size of every bootstrap, by customer.
    """
    bundle = scorer.bundle
    points = Points.collect(splits, split, bundle.featurizer.config.max_length, clock)
    judged = outcomes(bundle.target.tasks, rows, scores, points)
    token_NC = np.concatenate([history.categorical for history in rows.histories])[points.counted]
    result = []
    for outcome in tqdm(judged, desc="figures", unit=" outcomes", disable=None, leave=False):
        numbers = _numbers(outcome, resamples)
        numbers["months"] = parts.by_month(outcome, resamples, SEED)
        numbers["slices"], numbers["not_sliced"] = parts.slices(outcome, bundle.featurizer, token_NC, resamples, SEED)
        result.append(numbers)
    sampled = sample.draw(np.bincount(points.history), SEED)
    again = _ablations(splits, split, scorer, set(sampled.tolist()))
    changes = ablations.compare(again, judged, np.flatnonzero(np.isin(points.history, sampled)), resamples, SEED)
    for numbers, own in zip(result, changes, strict=True):
        numbers["ablations"] = own
    return {
        "clock": clock,
        "resamples": resamples,
        "per": points.per,
        "points": len(points),
        "incidents": len(points.ends),
        "histories": len(np.unique(points.history)),
        "customers": len(np.unique(points.customers)),
        "ablated_histories": len(sampled),
        "outcomes": result,
    }


def _numbers(outcome: Outcome, resamples: int) -> dict[str, Any]:
    task = outcome.task
    numbers: dict[str, Any] = {"task": task.name, "kind": task.kind, "horizon": outcome.horizon}
    numbers |= {"measures": list(MEASURES[task.kind]), "whole": parts.whole(outcome, resamples, SEED)}
    if isinstance(task, HazardTask):
        numbers["reliability"] = curves.reliability(outcome, resamples, SEED)
        if outcome.label.any():
            numbers |= curves.ranking_curves(outcome, resamples, SEED)
        numbers["alerts"] = alerts.alerts(outcome, resamples, SEED)
    elif isinstance(task, ClassificationTask):
        numbers["by_class"] = parts.by_class(outcome, resamples, SEED)
    else:
        numbers["unit"] = task.unit if task.field in ("gap", "remaining_time") else None
        numbers["by_quantile"] = parts.by_quantile(outcome, resamples, SEED)
    return numbers


def _ablations(splits: LabelledSplits, split: str, scorer: Scorer, sampled: set[int]) -> ablations.Ablations:
    chosen = [(seen, own) for i, (_, seen, _, own) in enumerate(splits.seen(split)) if i in sampled]

    def score(encoded: Sequence[EncodedHistory]) -> Scores:
        return score_split(scorer, list(encoded), scorer.bundle.target)

    drawn = sample.Sample.of(chosen, splits.target.per)
    return ablations.Ablations(drawn, scorer.bundle.featurizer, scorer.embed, score, SEED)
