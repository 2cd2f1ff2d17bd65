"""The page's account of alerts: recall, lead time and false alerts at each workload, in a table and in a few cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.evaluation import figures
from training.evaluation.document import Block, Figures, Paragraph, Table
from training.evaluation.words import Incident
from training.report import interval

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))  # seconds
_QUARTILES = (("q25", "lower quartile"), ("q50", "median"), ("q75", "upper quartile"))
_DEFINED = (
    "A {one} counts as **found** when one of its positive points is alerted. **Lead time** runs from the first "
    "right alert, one within the horizon before an onset, to that onset; of a final outcome the onset is the event "
    "that records it. A **false alert** is an unbroken run of alerted points of one {one} that no onset follows "
    "within the horizon: five warnings in a row about one calm customer are one false alert. **Customer-days** are "
    "the days from a {one}'s first point to its end, or to a horizon before the end of the data; {many} of one "
    "customer that run side by side count once, and time in cooldown counts."
)


def alerts(entries: Sequence[dict[str, Any]], incident: Incident) -> list[Block]:
    """Notice as a figure, everything as a table with a column per workload, and the definitions."""
    shares = {
        "workload": "points really alerted",
        "precision": "precision",
        "recall": "recall of points",
        "incidents_alerted": f"{incident.many} alerted",
        "recall_incidents": f"recall of {incident.many}",
    }
    rows = [["threshold", *(f"{entry['threshold']:.3g}" for entry in entries)]]
    rows += [[title, *(interval(entry[name]) for entry in entries)] for name, title in shares.items()]
    rows.append(["onsets found", *(f"{own['lead']['found']:,} of {own['lead']['onsets']:,}" for own in entries)])
    for key, title in (("seconds", "lead time"), ("events", "lead in events")):
        if key in entries[0]["lead"]:
            rows += [
                [f"{title}, {which}", *(span(own["lead"][key][q], key) for own in entries)] for q, which in _QUARTILES
            ]
    rows.append(["false alerts", *(f"{entry['false_alerts']:,}" for entry in entries)])
    if "customer_days" in entries[0]:
        rows.append(["customer-days", *(f"{entry['customer_days']:,.0f}" for entry in entries)])
    for name in ("false_alerts_per_1000_customer_days", "false_alerts_per_1000_points"):
        if name in entries[0]:
            rows.append([_title(name), *(interval(entry[name], 2) for entry in entries)])
    table = Table(["alerts at", *(f"{entry['share']:.0%} workload" for entry in entries)], rows)
    notice: list[Block] = [Figures([figures.lead_figure(entries)])] if "events" in entries[0]["lead"] else []
    return [*notice, table, Paragraph(_DEFINED.format(**incident._asdict()))]


def alert_cards(alert: dict[str, Any], incident: Incident) -> list[tuple[str, str, str]]:
    """What alerts at one workload give, as cards of the summary."""
    at = f"at {alert['share']:.0%} workload"
    cards = [(f"{incident.many} found {at}", *_parts(interval(alert["recall_incidents"])))]
    lead = alert["lead"]
    key = "seconds" if "seconds" in lead else "events"
    low, middle, high = (span(lead.get(key, {}).get(q), key).partition(" [")[0] for q, _ in _QUARTILES)
    cards.append((f"median lead time {at}", middle, f"middle half {low} to {high}" if lead["found"] else ""))
    timed = "false_alerts_per_1000_customer_days"
    name = timed if timed in alert else "false_alerts_per_1000_points"
    return [*cards, (f"{_title(name)} {at}", *_parts(interval(alert[name], 2)))]


def span(estimate: dict[str, Any] | None, key: str) -> str:
    """A duration in seconds (in a unit of its size) or a number of events, with its interval."""
    if estimate is None or estimate["value"] is None:
        return "-"
    size, unit = 1.0, "s" if key == "seconds" else "events" if estimate["value"] != 1 else "event"
    if key == "seconds":
        size, unit = next((own for own in _UNITS if estimate["value"] >= own[0]), (size, unit))
    digits = 1 if size > 1 else 0
    value, low, high = (None if end is None else f"{end / size:.{digits}f}" for end in (
        estimate["value"], estimate["low"], estimate["high"]
    ))  # fmt: skip
    return f"{value} {unit}" if low is None or high is None else f"{value} {unit} [{low}, {high}]"


def _title(name: str) -> str:
    return name.replace("_1000_", " 1,000 ").replace("customer_days", "customer-days").replace("_", " ")


def _parts(text: str) -> tuple[str, str]:
    """A value and its interval apart."""
    value, _, ends = text.partition(" ")
    return value, ends
