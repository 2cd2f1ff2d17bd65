"""From the report's numbers to the sections of its page: the summary, each outcome, the model card."""

from __future__ import annotations

import re
from typing import Any

from training.evaluation import figures
from training.evaluation.alert_blocks import alert_cards, alerts
from training.evaluation.blocks import NAMES, ablations, calibration, classes, months, quantiles, slices
from training.evaluation.document import Block, Cards, Figures, Paragraph, Quoted, Section, Table
from training.evaluation.words import Incident
from training.report import interval

_MOST_CARDS = 2  # outcomes shown as cards; more make a table
_HAZARD = ("prevalence", "score", "auroc", "auprc", "brier", "ece", "log_loss")


def sections(numbers: dict[str, Any], card: str) -> list[Section]:
    """Every section of the page; `card` is the bundle's model card in Markdown."""
    result = [_summary(numbers)]
    for outcome in numbers["outcomes"]:
        result += _outcome(outcome, numbers)
    return [*result, Section("Model card", "model-card", 2, [Quoted(card)])]


def outcome_name(outcome: dict[str, Any]) -> str:
    """A task, for a hazard with its horizon."""
    return f"{outcome['task']}, {outcome['horizon']}" if outcome["horizon"] else str(outcome["task"])


def _summary(numbers: dict[str, Any]) -> Section:
    few = len(numbers["outcomes"]) <= _MOST_CARDS
    incident = Incident.of(numbers)
    blocks: list[Block] = (
        [Cards(_cards(outcome, incident)) for outcome in numbers["outcomes"]] if few else _overview(numbers, incident)
    )
    resamples = numbers["resamples"]
    intervals = (
        f"Brackets and whiskers are 95 % bootstrap intervals over {resamples} resamples of whole customers."
        if resamples
        else "There are no intervals, since bootstrap is 0."
    )
    what = f"{numbers['points']:,} observation points of {numbers['incidents']:,} {incident.many}"
    told = "what the model says once that event is known"
    if numbers["per"]:
        what += f" (events of one history with the same `{numbers['per']}`)"
        told += ", with all that its history held by then, other cases too"
    blocks.append(
        Paragraph(
            f"{what} and {numbers['customers']:,} customers. An observation point is one event of a {incident.one}, "
            f"and its score is {told}. {intervals}"
        )
    )
    return Section("Summary", "summary", 2, blocks)


def _cards(outcome: dict[str, Any], incident: Incident) -> list[tuple[str, str, str]]:
    """An outcome in a few figures: (name, value, interval)."""
    shown = ("auroc", "auprc", "ece") if outcome["kind"] == "hazard" else outcome["measures"]
    cards = []
    for key in shown:
        value, _, ends = interval(outcome["whole"][key]).partition(" ")
        cards.append((f"{outcome_name(outcome)}: {NAMES[key]}", value, ends))
    return cards + alert_cards(outcome["alerts"][-1], incident) if outcome["kind"] == "hazard" else cards


def _overview(numbers: dict[str, Any], incident: Incident) -> list[Block]:
    """The same figures of many outcomes: one table per kind of task."""
    tables: list[Block] = []
    for kind in dict.fromkeys(outcome["kind"] for outcome in numbers["outcomes"]):
        own = [outcome for outcome in numbers["outcomes"] if outcome["kind"] == kind]
        cards = [_cards(outcome, incident) for outcome in own]
        header = [kind, "n", *(name.rpartition(": ")[2] for name, _, _ in cards[0])]
        rows = [
            [
                outcome_name(outcome),
                f"{outcome['whole']['rows']:,}",
                *(f"{value} {note}" if note.startswith("[") else value for _, value, note in line),
            ]
            for outcome, line in zip(own, cards, strict=True)
        ]
        tables.append(Table(header, rows))
    return tables


def _outcome(outcome: dict[str, Any], numbers: dict[str, Any]) -> list[Section]:
    name, kind, whole = outcome_name(outcome), outcome["kind"], outcome["whole"]
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    incident = Incident.of(numbers)
    counts = f"{whole['rows']:,} labelled points of {whole['incidents']:,} {incident.many}, "
    counts += f"{whole['customers']:,} customers."
    unit = f" Errors are in {outcome['unit']}." if outcome.get("unit") else ""
    measures = _HAZARD if kind == "hazard" else outcome["measures"]
    table = Table(["measure", "value and interval"], [[NAMES[key], interval(whole[key])] for key in measures])
    result = [Section(name, slug, 2, [Paragraph(counts + unit), table])]

    def add(title: str, anchor: str, blocks: list[Block]) -> None:
        result.append(Section(title, f"{slug}-{anchor}", 3, blocks))

    if kind == "hazard":
        add("Calibration", "calibration", calibration(outcome["reliability"], "an onset"))
        if "workload" in outcome:
            add("Ranking and workload", "ranking", [Figures(figures.ranking_figures(outcome, incident))])
        add("Alerts, lead time and false alerts", "alerts", alerts(outcome["alerts"], incident))
    elif kind == "classification":
        add("Classes", "classes", classes(outcome["by_class"]))
        add("Calibration", "calibration", calibration(outcome["by_class"]["reliability"], "the likeliest class true"))
    else:
        add("Error by prediction", "quantiles", quantiles(outcome["by_quantile"]))
    add("Drift by month", "months", months(outcome, incident))
    add("Slices", "slices", slices(outcome))
    add("Ablations", "ablations", ablations(outcome, numbers))
    return result
