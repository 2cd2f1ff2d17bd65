"""The result of a comparison of trainings as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.environment import PEER
from benchmarks.table import markdown_table, number, percent, spread


def render(result: Mapping[str, Any]) -> str:
    """The page of a result file; the same result gives the same page."""
    own, data = result["provenance"], result["data"]
    host, versions = own["host"], result["rows"][0]["versions"] | result["rows"][-1]["versions"]
    commit = f"`{own['commit'][:12]}`" + (" with changes that are not committed" if own["dirty"] else "")
    shown = ", ".join(
        f"{name} {value}" for name, value in sorted((own["versions"] | versions).items()) if name in _VERSIONS
    )
    threads = own["settings"]["threads"]
    head = (
        f"Written by `{own['command']}` at {own['time']}, commit {commit}, on {host['cores']} cores of "
        f"{host['processor']} with {host['memory_gib']} GiB ({host['system']}, load {host['load_1m']} before the run), "
        f"{threads} thread{'s' if threads > 1 else ''} each, fp32; {shown}.\n\n"
        f"Training split of `{data['name']}` under protocol `{data['protocol']}`: {data['events']:,} events in "
        f"{data['histories']:,} histories, {data['mean_length']:.1f} in the mean and {data['longest']} at most."
    )
    parts = ["# Training: real tokens per second", head, "## Ratio", _ratios(result), "## Figures", _rows(result)]
    return "\n\n".join(parts) + "\n"


_VERSIONS = ("forewarn", "hotpp-benchmark", "python", "pytorch-lightning", "torch")


def _ratios(result: Mapping[str, Any]) -> str:
    header = ["model", "batch", "real tokens/s", "real tokens per CPU second", "size of the peer's model"]
    rows = [
        [
            own["model"],
            own["batch"],
            f"**{spread(own['tokens_per_s'])}**",
            spread(own["tokens_per_cpu_s"]),
            percent(own["size"]),
        ]
        for own in result["ratios"]
    ]
    return f"{markdown_table(header, rows)}\n\nforewarn over {PEER}, repeat by repeat: mean with [min, max]."


def _rows(result: Mapping[str, Any]) -> str:
    header = ["model", "toolkit", "batch", "parameters", "real tokens/s", "per CPU second", "real of computed"]
    header += ["waiting for batches", "ms per step", "real tokens per step"]
    rows = []
    for own in result["rows"]:
        row = [
            own["model"],
            own["toolkit"],
            f"{own['budget']:,}",
            f"{own['parameters']:,}",
            spread(own["tokens_per_s"]),
        ]
        row += [number(own["tokens_per_cpu_s"]["mean"]), percent(own["real_token_share"]["mean"])]
        row += [percent(own["waiting_share"]["mean"])]
        rows.append([*row, *(number(own[name]["mean"]) for name in ("step_ms", "tokens_per_step"))])
    return markdown_table(header, rows)
