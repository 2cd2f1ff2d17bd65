"""The page of a rolling origin: where its origins lie, the mean over them, and each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.report import METRICS, SHOWN_MODELS, in_order, interval, render_report, table
from training.results.record import Record


def rolling_page(record: Record) -> str:
    """Markdown from the record of a rolling origin."""
    versions, origins, model = record["versions"], record["origins"], record["model"]
    where = "The last test ends with the data."
    if until := record["known_until"]:
        where = f"All origins lie before {until[:16]}, the test cut of the protocol, and nothing after it was read."
    parts = [
        f"# {record['title']}, rolling origin",
        f"Written by `{record['command']}` on {record['date']}, commit `{record['commit']}`, {record['machine']}, "
        f"torch {versions['torch']}, onnxruntime {versions['onnxruntime']}.",
        f"Model `{model['name']}`, trained anew at each of {len(origins)} origins. A run learns from what was visible "
        "before its origin alone; histories still going on there are censored, none is dropped. It is tested on those "
        f"that start before the next origin. {where} Every model sees the same rows and the same information.",
        table(
            ("origin", "cut", "tested on starts until", "train", "valid", "test", "shipped"),
            [_origin(number, own) for number, own in enumerate(origins, 1)],
        ),
        "## Mean over the origins",
        "Each origin counts alike. Brackets hold 95 % intervals of a bootstrap over the histories of all origins.",
        render_report(record["metrics"]).strip(),
        "## Origin by origin",
        *_by_origin(record["metrics"], origins),
    ]
    return "\n\n".join(parts) + "\n"


def _origin(number: int, own: Mapping[str, Any]) -> list[str]:
    counts = [f"{own['histories'].get(split, 0):,}" for split in ("train", "valid", "test")]
    shipped = " and ".join(dict.fromkeys(own["shipped"].values()))
    return [str(number), own["cut"][:16], own["end"][:16] if own["end"] else "the end of the data", *counts, shipped]


def _by_origin(pooled: Mapping[str, Any], origins: Sequence[Mapping[str, Any]]) -> list[str]:
    models, tables = in_order(pooled), []
    for task, result in pooled[models[0]].items():
        kind = result["kind"]
        name, title = next(iter(METRICS[kind].items()))
        digits = 2 if kind == "regression" else 3
        for horizon in result.get("horizons", {None: None}):
            rows = []
            for model in (own for own in models if task in pooled[own]):
                found = [_found(own["metrics"][model][task], horizon).get(name) for own in origins]
                rows.append([SHOWN_MODELS.get(model, model), *(interval(own, digits) for own in found)])
            header = ("model", *(f"origin {number}" for number in range(1, len(origins) + 1)))
            tables += [f"### {', '.join(part for part in (task, horizon, title) if part)}", table(header, rows)]
    return tables


def _found(result: Mapping[str, Any], horizon: str | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = result if horizon is None else result["horizons"][horizon]
    return found
