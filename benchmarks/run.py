"""`python -m benchmarks.run suite=…`: runs a suite, writes its result file and the table beside it.

<out>/<suite>-<device>-<date>.json  and  .md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from benchmarks.config import BenchConfig, load
from benchmarks.provenance import slug
from benchmarks.suite import run_suite
from benchmarks.table import render
from training.command import run_command


def run(config: BenchConfig) -> dict[str, Any]:
    """Runs, writes, and returns the files written and the headline figures."""
    result = run_suite(config)
    day = result["provenance"]["time"][:10]
    path = Path(config.out) / f"{config.suite.name}-{slug(config)}-{day}.json"
    table = path.with_suffix(".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    table.write_text(render(result))
    return {"folder": path.parent, "file": path, "table": table, "headline": headline(result)}


def headline(result: dict[str, Any]) -> dict[str, Any]:
    """Raw sequences per second of each workload, and the best ratio over HTTP per number of histories in a request.

    Only whole answers to warm texts at the first workload's length count.
    """
    rates = {cell["name"]: cell["sequences_per_s"]["mean"] for cell in result["raw"]}
    figures = {f"raw sequences/s, {workload}": rates[cell] for workload, cell in result["best"].items()}
    first = next(iter(result["best"]))
    for row in result.get("http", ()):
        if row["workload"] == first and row["trajectory"] and not row["cold_text"]:
            name = f"ratio to raw, {row['histories_per_request']} per request"
            figures[name] = max(figures.get(name, 0.0), row["ratio"]["mean"])
    if "http" in result:
        figures["errors"] = sum(row["errors"] for row in result["http"])
    return figures


@hydra.main(version_base="1.3", config_path="../conf", config_name="bench")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(lambda composed: run(load(composed)), config)


if __name__ == "__main__":
    command()
