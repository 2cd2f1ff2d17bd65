"""The figures of the page, each drawn from its part of the report's numbers, with a caption on how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.evaluation.chart import Chart, Ticks
from training.evaluation.document import Figure
from training.evaluation.words import Incident

_ROW = 17  # pixels of one line of a dot plot
_DOT_LEFT = 158  # pixels for its names
_NAME = 25  # characters of a name
_SHARES: Ticks = [(0.0, "0"), (0.25, ".25"), (0.5, ".5"), (0.75, ".75"), (1.0, "1")]
Line = tuple[str, dict[str, Any], str, str]  # name, estimate, style and tip of one line of a dot plot
_HOURS: Ticks = [(0.25, "15 min"), (1, "1 h"), (4, "4 h"), (24, "1 d"), (72, "3 d"), (168, "1 w"), (672, "4 w")]


def reliability_figures(numbers: dict[str, Any], what: str) -> list[Figure]:
    """Reliability and the histogram of the scores behind it; `what` is counted as positive."""
    chart = Chart(
        "Reliability", (0, 1), (0, 1), "mean score of the group", f"share with {what}", x_ticks=_SHARES, y_ticks=_SHARES
    )
    chart.line([0, 1], [0, 1], "plain")
    observed = numbers["observed"]
    chart.line(numbers["score"], observed["value"], "a")
    chart.points(numbers["score"], observed["value"], observed["low"], observed["high"], "a")
    counts = numbers["histogram"]
    edges, positive, negative = counts["edges"], counts["positive"], counts["negative"]
    top = max(a + b for a, b in zip(positive, negative, strict=True))
    bars = Chart("Histogram of scores", (0, 1), (0, top * 1.05), "score", "observation points", x_ticks=_SHARES)
    bars.name(f"with {what}", "b")
    bars.name("without", "a")
    for left, right, own, other in zip(edges[:-1], edges[1:], positive, negative, strict=True):
        bars.bar((left, right), (0, own), "b")
        bars.bar((left, right), (own, own + other), "a")
    return [
        Figure(
            chart.svg(),
            "Reliability",
            "Each dot is a group of equally many observation points, ordered by score; whiskers are 95 % intervals. "
            "On the dashed line a score is the chance it claims to be; below it the model says too much, above too "
            "little.",
        ),
        Figure(bars.svg(), "Scores", f"How many observation points have which score, with {what} and without."),
    ]


def ranking_figures(numbers: dict[str, Any], incident: Incident) -> list[Figure]:
    """Precision against recall, and recall against workload."""
    found = numbers["precision_recall"]
    prevalence = numbers["whole"]["prevalence"]["value"]
    chart = Chart("Precision against recall", (0, 1), (0, 1), "recall", "precision", x_ticks=_SHARES, y_ticks=_SHARES)
    chart.rule(y=prevalence)
    _curve(chart, found["recall"], found["precision"], "a")
    work = numbers["workload"]
    reach = Chart(
        "Recall against workload", (0, 1), (0, 1), "share of observation points alerted", "share found",
        x_ticks=_SHARES, y_ticks=_SHARES,
    )  # fmt: skip
    reach.line([0, 1], [0, 1], "plain")
    for entry in numbers["alerts"]:
        reach.rule(x=entry["share"])
    _curve(reach, work["share"], work["points"], "a", "of points")
    _curve(reach, work["share"], work["incidents"], "b", f"of {incident.many}")
    return [
        Figure(
            chart.svg(),
            "Precision against recall",
            "Of the alerts, how many are right, at each share of the positives found. The dashed line is the "
            "prevalence, which alerts at random would reach. The band is the 95 % interval.",
        ),
        Figure(
            reach.svg(),
            "Recall against workload",
            "What working through the riskiest share of the observation points finds: positive points, and "
            f"{incident.many} with at least one positive point alerted. Vertical lines mark the workloads of the "
            "table below.",
        ),
    ]


def lead_figure(entries: Sequence[dict[str, Any]]) -> Figure:
    """Share of onsets alerted with at least so much notice, per workload."""
    timed = "seconds" in entries[0]["lead"]
    first = entries[0]["lead"]["seconds" if timed else "events"]["notice"]
    label = "notice before the onset" if timed else "events before the onset"
    chart = (
        Chart("Notice", (0.25, 672), (0, 1), label, "share of onsets", x_ticks=_HOURS, y_ticks=_SHARES, log_x=True)
        if timed
        else Chart("Notice", (1, first[-1]), (0, 1), label, "share of onsets", y_ticks=_SHARES)
    )
    for entry, style in zip(entries, "ab", strict=False):
        own = entry["lead"]["seconds" if timed else "events"]
        kept = [i for i, notice in enumerate(own["notice"]) if notice > 0]
        x = [own["notice"][i] / (3_600 if timed else 1) for i in kept]
        _curve(
            chart,
            x,
            {end: [values[i] for i in kept] for end, values in own["share"].items()},
            style,
            f"{entry['share']:.0%} workload",
        )
    return Figure(
        chart.svg(),
        "Notice",
        "Share of all onsets whose first right alert came at least so long before. The left end is the share found "
        "at all; where a curve has fallen to half of it lies the median lead time.",
    )


def month_figures(months: Sequence[dict[str, Any]], kind: str) -> list[Figure]:
    """Measures per calendar month as small charts."""
    x = [float(i) for i in range(len(months))]
    step = max(-(-len(months) // 6), 1)
    labels = [(float(i), month["month"]) for i, month in enumerate(months) if i % step == 0]
    wide = (-0.4, len(months) - 0.6)
    if kind == "hazard":
        plots = [
            (
                "Prevalence and score",
                ("prevalence", "score"),
                "Where the two part, the score no longer means what it did.",
            ),
            ("AUROC", ("auroc",), "How well the month's points are ranked among themselves; .5 is chance."),
            (
                "Brier score",
                ("brier",),
                "Squared error of the score; lower is better, and it falls with rarer positives.",
            ),
        ]
    elif kind == "classification":
        plots = [("Macro-F1", ("macro_f1",), "Mean F1 over classes."), ("Accuracy", ("accuracy",), "Share right.")]
    else:
        plots = [
            ("Mean absolute error", ("mae",), "In the field's unit."),
            ("Bias", ("bias",), "Predicted minus true."),
        ]
    figures = []
    for title, names, caption in plots:
        values = [month[n][end] for month in months for n in names for end in ("value", "low", "high")]
        known = [value for value in values if value is not None]
        low, high = min(known, default=0.0), max(known, default=1.0)
        pad = 0.05 * (high - low) or 0.05
        chart = Chart(
            title, wide, (low - pad, high + pad), "month of the observation point (UTC)", "", x_ticks=labels, height=220
        )
        for name, style in zip(names, "ba" if len(names) > 1 else "a", strict=True):
            ends = {end: [month[name][end] for month in months] for end in ("value", "low", "high")}
            chart.line(x, ends["value"], style, name if len(names) > 1 else None)
            chart.points(x, ends["value"], ends["low"], ends["high"], style)
        figures.append(Figure(chart.svg(), title, f"{caption} Whiskers are 95 % intervals; see n below."))
    return figures


def quantile_figure(groups: Sequence[dict[str, Any]]) -> Figure:
    """True values against predicted ones in groups of like prediction."""
    x = [group["predicted"] for group in groups]
    low, middle, high = zip(*(group["true_quartiles"] for group in groups), strict=True)
    top = max(*x, *high) * 1.05 or 1.0
    ends = (min(0.0, *x, *low), top)
    chart = Chart("True against predicted", ends, ends, "mean prediction of the group", "true value")
    chart.line(ends, ends, "plain")
    chart.points(x, middle, low, high, "a")
    caption = (
        "Each dot is the median of the true values where the model predicted about so much, whiskers are their "
        "quartiles. A mean absolute error is smallest where a prediction is the median, on the dashed line."
    )
    return Figure(chart.svg(), "True against predicted", caption)


def dot_plot(title: str, caption: str, rows: Sequence[Line], guide: float | None, axis: str) -> Figure:
    """One line per row, a dashed line at `guide`."""
    known = [value for _, e, _, _ in rows for value in (e["value"], e["low"], e["high"])]
    ends = [value for value in (*known, guide) if value is not None] or [0.0]
    pad = 0.04 * (max(ends) - min(ends)) or 0.05
    count = len(rows)
    names: Ticks = [(count - i - 0.5, _short(name)) for i, (name, _, _, _) in enumerate(rows)]
    chart = Chart(
        title, (min(ends) - pad, max(ends) + pad), (0, count), axis, "",
        y_ticks=names, height=74 + _ROW * count, left=_DOT_LEFT,
    )  # fmt: skip
    if guide is not None:
        chart.rule(x=guide)
    for i, (_, estimate, style, tip) in enumerate(rows):
        if estimate["value"] is not None:
            chart.row(count - i - 0.5, estimate["value"], estimate["low"], estimate["high"], style, tip)
    return Figure(chart.svg(), title, caption)


def _curve(chart: Chart, x: Sequence[float], ends: dict[str, Any], style: str, name: str | None = None) -> None:
    chart.band(x, ends["low"], ends["high"], style)
    chart.line(x, ends["value"], style, name)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
