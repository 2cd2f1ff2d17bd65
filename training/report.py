"""Results as Markdown: one table of models per task and horizon, one of AUROC per prefix length; deterministic.

Models stand in a fixed order, from the least to the most they know; published rows come last and are marked so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # model -> task -> result of evaluate_task
_ORDER = ("prior", "rule", "logistic", "lightgbm", "gru", "transformer", "hybrid")
_UNDEFINED = "-"
SHOWN_MODELS = {"lightgbm": "LightGBM", "gru": "GRU"}
METRICS = {
    "hazard": {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "brier": "Brier",
        "ece": "ECE-15",
        "log_loss": "log loss",
        "recall_5": "recall at 5 %",
        "recall_12": "recall at 12 %",
        "incidents_5": "incidents at 5 %",
        "incidents_12": "incidents at 12 %",
    },
    "classification": {
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "macro_f1_balanced": "balanced macro-F1",
        "log_loss": "log loss",
    },
    "regression": {"mae": "MAE"},
}


def render_report(results: Results, published: Mapping[str, Mapping[str, Sequence[float]]] | None = None) -> str:
    """Markdown tables of every task; ``published`` maps task and row name to AUROC per prefix.

    Values carry their 95 % bootstrap interval in brackets; a dash is an undefined value. The published AUROC
    are those of k = 1, 2, and so on events.
    """
    models = in_order(results)
    tasks = dict.fromkeys(task for model in models for task in results[model])
    parts = []
    for task in tasks:
        own = {SHOWN_MODELS.get(model, model): results[model][task] for model in models if task in results[model]}
        first = next(iter(own.values()))
        if first["kind"] != "hazard":
            parts.append(_section(task, first["kind"], own))
            continue
        for horizon in first["horizons"]:
            per_model = {model: result["horizons"][horizon] for model, result in own.items()}
            parts.append(_section(f"{task}, {horizon}", "hazard", per_model))
            parts += _prefix_tables(per_model, (published or {}).get(task, {}))
    return "\n\n".join(parts) + "\n"


def in_order(models: Iterable[str]) -> list[str]:
    """Models as tables show them, from the least to the most they know."""
    return sorted(models, key=lambda model: (_ORDER.index(model) if model in _ORDER else len(_ORDER), model))


def _section(title: str, kind: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    first = next(iter(results.values()))
    facts = [f"{first['rows']:,} prefixes of {first['clusters']:,} histories or customers"]
    if kind == "hazard" and "prevalence" in first:
        facts.append(f"prevalence {number(first['prevalence'])}")
    if first.get("unit"):
        facts.append(f"in {first['unit']}")
    digits = 2 if kind == "regression" else 3
    known = {name for result in results.values() for name in result}  # an older record knows fewer measures
    columns = {name: title for name, title in METRICS[kind].items() if name in known} or METRICS[kind]
    rows = [[model, *(interval(result.get(name), digits) for name in columns)] for model, result in results.items()]
    return f"### {title}\n\n{', '.join(facts)}\n\n" + table(["model", *columns.values()], rows)


def _prefix_tables(results: Mapping[str, Mapping[str, Any]], published: Mapping[str, Sequence[float]]) -> list[str]:
    first = next(iter(results.values())).get("by_prefix", [])
    tables = []
    for cohort, who in (
        ("variable", "histories with at least k events"),
        ("fixed", f"those with {len(first)} or more"),
    ):
        if len(first) < 2:
            break
        rows = [
            [model, *(interval(entry[cohort].get("auroc"), 3) for entry in result["by_prefix"])]
            for model, result in results.items()
        ]
        if cohort == "variable":
            rows += [
                [
                    f"{name} (published)",
                    *([number(value) for value in values] + [_UNDEFINED] * len(first))[: len(first)],
                ]
                for name, values in published.items()
            ]
        header = ["model", *(f"k = {entry['k']}" for entry in first)]
        tables.append(f"AUROC after k events, {cohort} cohort ({who})\n\n" + table(header, rows))
    return tables


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A value with its interval in brackets, as far as both are defined."""
    if estimate is None or estimate["value"] is None:
        return _UNDEFINED
    value = number(estimate["value"], digits)
    if estimate["low"] is None or estimate["high"] is None:
        return value
    return f"{value} [{number(estimate['low'], digits)}, {number(estimate['high'], digits)}]"


def number(value: float, digits: int = 3) -> str:
    """A share without its leading zero, as the field writes it; other numbers plainly."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text
