"""What stands under the headings of every outcome: figures, the table of the same numbers, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.evaluation import figures
from training.evaluation.document import Block, Figures, Paragraph, Table
from training.evaluation.parts import LEAST_CUSTOMERS, LEAST_ROWS, MOST_VALUES
from training.evaluation.sample import MOST_POINTS
from training.evaluation.words import Incident
from training.report import interval, number

NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier",
    "ece": "ECE-15",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mae": "MAE",
    "bias": "bias",
    "prevalence": "prevalence",
    "score": "mean score",
}
_HIGHER_IS_BETTER = {"auroc", "auprc", "accuracy", "macro_f1"}
_LINES = 32  # most of one dot plot
_MOST_CLASSES = 15  # shown in a confusion matrix
_SELECTED = (
    "A month holds the points of its days, whenever their {many} began. Where a test split takes the {many} that start "
    "after one day, its later months hold the long-lived ones: a change of prevalence may be selection, not drift."
)
_ABLATED = (
    "These are **evaluation-time ablations of one trained model**: it is scored again with a part of its input "
    "hidden or shuffled, and never trained again. A loss shows what this model leans on. No loss does not show that "
    "the part says nothing, since other inputs may say the same; and a model trained without the part might lose "
    "less than this one does. Hidden fields read as they do under the field dropout of training."
)
_HOW_ABLATED = (
    "Shuffling moves what happened between the times of a {one} and leaves the times in place; earlier events are "
    "all but the newest. With time hidden, gaps, hour and weekday are missing and positions lie one apart. With a "
    "family of events removed, a point keeps the score of the newest event that is left of its {one}, and points "
    "before any such event are left out. Differences are paired: each resample of customers measures both."
)
_CASES_ABLATED = (
    " All cases of a history are changed alike, also those that are only context. With **other cases hidden**, each "
    "case is scored as though it were the only one of its history; events that belong to no case stay. **Case "
    "relations** are `case.same`, `case.other_gap_s` and `case.issue_gap_s`."
)


def calibration(numbers: dict[str, Any], what: str) -> list[Block]:
    """Reliability and histogram; `what` is counted as positive."""
    observed = numbers["observed"]
    rows = [
        [f"{i + 1}", f"{n:,}", number(score), interval({end: observed[end][i] for end in observed})]
        for i, (n, score) in enumerate(zip(numbers["rows"], numbers["score"], strict=True))
    ]
    table = Table(["group", "n", "mean score", f"share with {what}"], rows, folded=True)
    return [Figures(figures.reliability_figures(numbers, what)), table]


def months(outcome: dict[str, Any], incident: Incident) -> list[Block]:
    """Measures per calendar month."""
    own = outcome["months"]
    if own is None:
        return [Paragraph("The data has no clock, so there are no months to compare.")]
    names = ["prevalence", "score", "auroc", "brier"] if outcome["kind"] == "hazard" else outcome["measures"]
    rows = [
        [month["month"], f"{month['rows']:,}", f"{month['customers']:,}", *(interval(month[name]) for name in names)]
        for month in own
    ]
    table = Table(["month", "n", "customers", *(NAMES[name] for name in names)], rows)
    return [
        Figures(figures.month_figures(own, outcome["kind"])),
        table,
        Paragraph(_SELECTED.format(many=incident.many)),
    ]


def slices(outcome: dict[str, Any]) -> list[Block]:
    """Measures per value of the categorical inputs."""
    measure = outcome["measures"][0]
    overall = outcome["whole"][measure]["value"]
    names = (["prevalence"] if outcome["kind"] == "hazard" else []) + outcome["measures"]
    lines: list[figures.Line] = []
    rows: list[list[str]] = []
    worse = set()
    for group in outcome["slices"]:
        for value in group["values"]:
            label = f"{group['field']} = {value['value']}"
            if _worse(value[measure], overall, measure):
                worse.add(len(rows))
            style = "bad" if len(rows) in worse else "a"
            lines.append((label, value[measure], style, f"{label}: {interval(value[measure])}, n {value['rows']:,}"))
            counts = [f"{value['rows']:,}", f"{value['customers']:,}"]
            rows.append([label, *counts, *(interval(value[name]) for name in names)])
        if small := group["too_small"]["values"]:
            too_small = f"{group['field']}: {small} more, too small"
            rows.append([too_small, f"{group['too_small']['rows']:,}", *["-"] * (len(names) + 1)])
    blocks: list[Block] = []
    if rows:
        title = NAMES[measure]
        caption = (
            f"{title} within each value; the dashed line is {title} of all points. Red: the whole interval is worse."
        )
        blocks = [
            _dots(f"{title} by slice", caption, lines, overall, title),
            Table(["slice", "n", "customers", *(NAMES[name] for name in names)], rows, strong=frozenset(worse)),
        ]
    note = "" if rows else "No input has two values with enough points. "
    note += (
        f"A slice is a value of a categorical input at the point's own event, with at least {LEAST_ROWS} points and "
        f"{LEAST_CUSTOMERS} customers. `<unknown>` is a value too rare in training to have a token, `<missing>` none "
        "at all. Where nothing differs, 1 slice in 40 still looks worse by chance; and a slice that the input "
        "itself makes alike in risk has a lower AUROC than all points even where its scores are right, so look at "
        "its ECE too."
    )
    if outcome["not_sliced"]:
        fields = ", ".join(f"`{name}`" for name in outcome["not_sliced"])
        note += f" Not sliced, with more than {MOST_VALUES} values: {fields}."
    return [*blocks, Paragraph(note)]


def ablations(outcome: dict[str, Any], numbers: dict[str, Any]) -> list[Block]:
    """Changes of the measures when a part of the input is hidden or shuffled."""
    entries, incident = outcome["ablations"], Incident.of(numbers)
    measures = [name for name in entries[0] if name not in ("group", "name", "rows")]
    first, title = measures[0], NAMES[measures[0]]
    fields = [entry for entry in entries if entry["group"] == "field"]
    fields.sort(key=lambda entry: entry[first]["value"] or 0.0, reverse=first not in _HIGHER_IS_BETTER)
    lines: list[figures.Line] = []
    rows = []
    for entry in [entry for entry in entries if entry["group"] != "field"] + fields:
        label = {"family": "no {} events", "field": "without {}"}.get(entry["group"], "{}").format(entry["name"])
        style = "bad" if _worse(entry[first], 0.0, first) else "a"
        lines.append((label, entry[first], style, f"{label}: {interval(entry[first], 4)}"))
        rows.append([label, f"{entry['rows']:,}", *(interval(entry[name], 4) for name in measures)])
    sample = ""
    if numbers["ablated_histories"] < numbers["histories"]:
        sample = f" Scored on {numbers['ablated_histories']:,} histories at random, at most {MOST_POINTS:,} points."
    caption = f"Change in {title} when a part of the input is hidden or shuffled. Red: the whole interval is a loss."
    return [
        Paragraph(_ABLATED + sample),
        _dots(f"Change in {title}", caption, lines, 0.0, f"change in {title}"),
        Table(["ablation", "n", *(f"change in {NAMES[name]}" for name in measures)], rows, folded=True),
        Paragraph(_HOW_ABLATED.format(one=incident.one) + (_CASES_ABLATED if numbers["per"] else "")),
    ]


def classes(numbers: dict[str, Any]) -> list[Block]:
    """F1 per class and the confusion of the most frequent ones."""
    named, confusion, f1 = numbers["classes"], numbers["confusion"], numbers["f1"]
    ranked = sorted(range(len(named)), key=lambda i: -sum(confusion[i]))
    rows = [
        [named[i], f"{sum(confusion[i]):,}", interval({end: f1[end][i] for end in f1})]
        for i in ranked
        if sum(confusion[i])
    ]
    shown = ranked[:_MOST_CLASSES]
    matrix = [[named[i], *(f"{confusion[i][j]:,}" for j in shown)] for i in shown]
    more = f" The {len(shown)} most frequent of {len(named)} classes." if len(shown) < len(named) else ""
    caption = f"Confusion: rows are true, columns are predicted.{more}"
    return [Table(["class", "n", "F1"], rows), Table(["true", *(named[j] for j in shown)], matrix, caption)]


def quantiles(groups: Sequence[dict[str, Any]]) -> list[Block]:
    """A regression's errors by size of the prediction."""
    rows = []
    for i, group in enumerate(groups, 1):
        true = [f"{quartile:.2f}" for quartile in group["true_quartiles"]]
        errors = [interval(group[name], 2) for name in ("mae", "bias")]
        rows.append([f"{i}", f"{group['rows']:,}", f"{group['predicted']:.2f}", *true, *errors])
    header = ["tenth", "n", "mean predicted", "true 25 %", "true 50 %", "true 75 %", "MAE", "bias"]
    caption = "Tenths of the predictions, from the smallest; bias is predicted minus true."
    return [Figures([figures.quantile_figure(groups)]), Table(header, rows, caption)]


def _dots(title: str, caption: str, lines: Sequence[figures.Line], guide: float | None, axis: str) -> Figures:
    size = -(-len(lines) // -(-len(lines) // _LINES))  # as few plots as need be, of like height
    parts = [lines[start : start + size] for start in range(0, len(lines), size)]
    return Figures([figures.dot_plot(title, caption, part, guide, axis) for part in parts])


def _worse(estimate: dict[str, Any], than: float | None, measure: str) -> bool:
    """Whether a whole interval is worse than a value; a measure with no better side never is."""
    end = estimate["high" if measure in _HIGHER_IS_BETTER else "low"]
    if end is None or than is None:
        return False
    return bool(end < than if measure in _HIGHER_IS_BETTER else end > than)
