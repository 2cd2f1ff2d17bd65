"""What alerts at a fixed workload give: recall, notice before the onset, and false alerts per customer-days.

Definitions
- An alert threshold is the score that the given share of the observation points reaches; a point at or above it is
  alerted. The share really alerted stands beside it, since equal scores go together.
- An incident is what has to be found once: a case under the target's `per`, else a history. It is found when one of
  its positive points is alerted.
- Lead time of an onset: from its first alerted point within the horizon to the onset itself.
- A false alert: a run of alerted points of one incident, one after the other, none of which is followed by an onset
  within the horizon. Being warned five times in a row about the same calm customer is one false alert. Points of other
  incidents in between do not break a run.
- Customer-days: the time during which an onset could have been foreseen and seen to come or not: from an incident's
  first point to its last judged point or, in clock time, to its end or a horizon before the end of the observation.
  Where several incidents of one customer run at once, the time counts once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from forewarn.targets import HazardTask
from forewarn.targets.horizon import FOREVER
from training.bootstrap import WORKLOADS, Floats, bands, estimates
from training.evaluation.outcomes import Outcome
from training.evaluation.points import MICROSECONDS, Int64s, Points

DAY_US = 86_400 * MICROSECONDS
QUARTILES = (0.25, 0.5, 0.75)
NOTICES_S = 3_600.0 * np.array([0.0, 0.25, 0.5, 1, 2, 4, 8, 12, 24, 48, 72, 120, 168, 336, 672])
NOTICES_EVENTS = np.arange(1.0, 13.0)


def alerts(outcome: Outcome, resamples: int, seed: int) -> list[dict[str, Any]]:
    """One entry per workload of `WORKLOADS`, see the definitions above."""
    return [_at(outcome, share, resamples, seed) for share in WORKLOADS]


def _at(outcome: Outcome, share: float, resamples: int, seed: int) -> dict[str, Any]:
    points = outcome.points
    threshold = float(np.quantile(outcome.score, 1 - share, method="higher"))
    alert = outcome.score >= threshold
    positive = outcome.label > 0
    incident = outcome.incidents
    customers = points.customers.max() + 1

    def per_customer(rows: Any, ids: Int64s | None = None) -> Floats:
        """How many rows, or distinct ids of theirs, each customer has."""
        first = rows if ids is None else rows[np.unique(ids[rows], return_index=True)[1]]
        return np.bincount(outcome.clusters[first], minlength=customers).astype(np.float64)

    every, alerted = np.arange(len(alert)), np.flatnonzero(alert)
    hit, onset_rows = np.flatnonzero(alert & positive), np.flatnonzero(positive)
    false_runs = _false_runs(alert, positive, incident)
    # Ratios of sums over customers: (numerator, denominator) per measure.
    parts = {
        "workload": (per_customer(alerted), per_customer(every)),
        "precision": (per_customer(hit), per_customer(alerted)),
        "recall": (per_customer(hit), per_customer(onset_rows)),
        "incidents_alerted": (per_customer(alerted, incident), per_customer(every, incident)),
        "recall_incidents": (per_customer(hit, incident), per_customer(onset_rows, incident)),
        "false_alerts_per_1000_points": (1_000 * per_customer(false_runs), per_customer(every)),
    }
    result: dict[str, Any] = {"share": share, "threshold": threshold, "false_alerts": len(false_runs)}
    if points.clock:
        days = exposure_us(outcome) / DAY_US
        parts["false_alerts_per_1000_customer_days"] = (1_000 * per_customer(false_runs), days)
        result["customer_days"] = float(days.sum())
    present = np.flatnonzero(per_customer(every))

    def ratios(weight_RN: Floats) -> dict[str, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                name: weight_RN @ top[present] / (weight_RN @ under[present]) for name, (top, under) in parts.items()
            }

    result |= estimates(ratios, present, resamples, seed)
    return result | {"lead": _lead(outcome, alert & positive, resamples, seed)}


def _false_runs(alert: Any, positive: Any, incident: Int64s) -> Any:
    """First row of every run of alerted rows of one incident that holds no positive one."""
    order = np.argsort(incident, kind="stable")  # the rows of incidents that run at once alternate
    alert, positive, incident = alert[order], positive[order], incident[order]
    starts = alert & ~np.r_[False, alert[:-1] & (incident[1:] == incident[:-1])]
    run = np.cumsum(starts) - 1
    right = np.zeros(max(int(starts.sum()), 1), bool)
    right[run[alert & positive]] = True
    return order[starts][~right[: starts.sum()]]


def _lead(outcome: Outcome, hit: Any, resamples: int, seed: int) -> dict[str, Any]:
    """Quartiles of the lead time, and the share of all onsets alerted with at least so much notice."""
    points, ahead = outcome.points, outcome.points.onsets[outcome.task.name]
    number = ahead.number[outcome.rows]
    onset = outcome.incidents * (number.max() + 2) + number  # one key per onset of an incident
    due = np.flatnonzero(outcome.label > 0)
    _, first = np.unique(onset[due], return_index=True)
    customer = outcome.clusters[due[first]]  # of every onset that could be foreseen
    found = np.flatnonzero(hit)
    keys, first = np.unique(onset[found], return_index=True)
    known = np.isin(np.unique(onset[due]), keys)
    result: dict[str, Any] = {"onsets": len(customer), "found": len(keys)}
    if not len(customer):
        return result
    alerted = outcome.rows[found[first]]
    for name, span, notices in (
        ("seconds", ahead.span / MICROSECONDS, NOTICES_S),
        ("events", ahead.events.astype(np.float64), NOTICES_EVENTS),
    ):
        if name == "seconds" and not points.clock:
            continue
        lead = np.full(len(customer), -1.0)
        lead[known] = span[alerted]
        result[name] = (
            {f"q{round(100 * q)}": None for q in QUARTILES}
            if not len(keys)
            else _quartiles(lead[known], customer[known], resamples, seed)
        )
        result[name] |= {"notice": notices.tolist(), "share": _notice(lead, notices, customer, resamples, seed)}
    return result


def _quartiles(lead: Floats, customer: Int64s, resamples: int, seed: int) -> dict[str, Any]:
    order = np.argsort(lead)

    def quartiles(weight_RN: Floats) -> dict[str, Floats]:
        total_RN = np.cumsum(weight_RN[:, order], axis=1)
        result = {}
        for q in QUARTILES:
            at_R = [np.searchsorted(total, q * total[-1]) if total[-1] else -1 for total in total_RN]
            result[f"q{round(100 * q)}"] = np.array([lead[order[i]] if i >= 0 else np.nan for i in at_R])
        return result

    return estimates(quartiles, customer, resamples, seed)


def _notice(lead: Floats, notices: Floats, customer: Int64s, resamples: int, seed: int) -> dict[str, Any]:
    enough = (lead[:, None] >= notices[None, :]).astype(np.float64)
    found = bands(lambda w: {"share": w @ enough / w.sum(axis=1, keepdims=True)}, customer, resamples, seed)
    return found["share"]


def exposure_us(outcome: Outcome) -> Floats:
    """Microseconds of exposure of every customer, overlapping incidents joined (see customer-days above)."""
    points = outcome.points
    start, stop = _exposed(outcome, points)
    total = np.zeros(points.customers.max() + 1)
    customer = points.customers[np.unique(outcome.incidents)]
    reached, latest = -1, 0
    for i in np.lexsort((start, customer)).tolist():
        if customer[i] != reached:
            reached, latest = int(customer[i]), int(start[i])
        total[reached] += max(int(stop[i]) - max(int(start[i]), latest), 0)
        latest = max(latest, int(stop[i]))
    return total


def _exposed(outcome: Outcome, points: Points) -> tuple[Int64s, Int64s]:
    assert isinstance(outcome.task, HazardTask)
    horizons = outcome.task.horizons
    incident, first = np.unique(outcome.incidents, return_index=True)
    last = len(outcome.rows) - 1 - np.unique(outcome.incidents[::-1], return_index=True)[1]
    time = points.time[outcome.rows]
    start, stop = time[first], time[last]
    if horizons.clock:
        reach = horizons.edges[outcome.k + 1]
        end = points.ends[incident]
        latest = end if reach >= FOREVER else np.minimum(end, points.untils[incident] - reach)
        stop = np.maximum(stop, latest)
    return start, stop
