"""A result as Markdown: what was measured on what, the raw runtime, the service, and how to read the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]


def render(result: Result) -> str:
    """The page of a result file; the same result gives the same page."""
    parts = [f"# {result['suite']} on {result['provenance']['device']['name']}", _provenance(result), _load(result)]
    parts += ["## Raw runtime", _raw(result)]
    if "http" in result:
        parts += ["## End to end over HTTP", _http(result), "## Where the time goes", _costs(result)]
    return "\n\n".join(parts) + "\n"


def _provenance(result: Result) -> str:
    own, model = result["provenance"], result["model"]
    machine, device, versions = own["host"], own["device"], own["versions"]
    commit = f"`{own['commit'][:12]}`" + (" with changes that are not committed" if own["dirty"] else "")
    shown = [f"{name} {versions[name]}" for name in ("python", "onnxruntime", "numpy", "ray") if name in versions]
    weights = "" if model["trained"] else ", untrained: speed does not depend on the weights"
    text = f"text vectors of {model['inputs']['text_width']}" if model["inputs"]["text_width"] else "no text"
    return (
        f"Written by `{own['command']}` at {own['time']}, commit {commit}, on {machine['cores']} cores of "
        f"{machine['processor']} with {machine['memory_gib']} GiB ({machine['system']}, load {machine['load_1m']} "
        f"before the run), provider {device['provider']}, {device['precision']}; {', '.join(shown)}.\n\n"
        f"Model `{model['name']}`, {text}, hash `{model['hash'][:12]}`{weights}."
    )


def _load(result: Result) -> str:
    header = ["workload", "histories", "mean events", "p10", "p50", "p90", "events with text", "distinct texts"]
    rows = []
    for own in result["workloads"]:
        row = [own["name"], str(own["histories"]), f"{own['mean_length']:g}"]
        row += [str(own["length"][name]) for name in ("p10", "p50", "p90")]
        rows.append([*row, percent(own["events_with_text"]), f"{own['distinct_texts']:,}"])
    return markdown_table(header, rows)


def _raw(result: Result) -> str:
    ceiling, best = result.get("ceiling"), set(result["best"].values())
    header = ["workload", "batch", "spinning", "sequences/s", "events/s", "CPU µs per sequence", "ms per call"]
    header += ["padding"] + (["of matrix product"] if ceiling else [])
    rows = []
    for cell in result["raw"]:
        rate = spread(cell["sequences_per_s"])
        row = [cell["workload"], str(cell["batch"]), {None: "-", True: "yes", False: "no"}[cell["spinning"]]]
        row.append(f"**{rate}**" if cell["name"] in best else rate)
        row += [number(cell[name]["mean"]) for name in ("events_per_s", "cpu_us_per_sequence", "call_ms")]
        row.append(percent(cell["padding_waste"]))
        rows.append(row + ([percent(cell["share_of_ceiling"]["mean"])] if ceiling else []))
    notes = (
        "Means with [min, max] of the repeats. The best setting of each workload, in bold, is the service's ceiling."
    )
    if ceiling:
        notes += (
            f" The matrix product, {ceiling['size']} x {ceiling['size']} in {ceiling['precision']}, reached "
            f"{spread(ceiling['gflop_per_s'])} GFLOP/s."
        )
    return f"{markdown_table(header, rows)}\n\n{notes} Nodes by provider: {_placement(result['placement'])}."


_ROW = ["workload", "per request", "connections", "answer"]


def _http(result: Result) -> str:
    header = [*_ROW, "histories/s", "ratio to raw", "p50 ms", "p90 ms", "p99 ms", "requests", "errors"]
    rows = []
    for own in result["http"]:
        latency = own["latency_ms"]
        row = [*_row(own), spread(own["histories_per_s"]), f"**{spread(own['ratio'])}**"]
        row += [number(latency[name]) for name in ("p50", "p90", "p99")]
        rows.append([*row, f"{latency['n']:,}", _errors(own)])
    notes = (
        "Closed loop through `python -m serving.run`, the client in a process of its own; all share the cores. "
        "*Ratio to raw*: events per second over those of the best raw setting, measured again right before and after. "
        "p99 of few requests is little more than the slowest. *Cold text*: every text is new and has to be encoded; "
        "in the other rows its vector is cached."
    )
    return f"{markdown_table(header, rows)}\n\n{notes}"


def _costs(result: Result) -> str:
    header = [*_ROW, "CPU µs per request", "per history", "CPU ratio", "client CPU µs", "padding", "mean batch"]
    header += ["wait ms", "graph ms", "in service ms", "graph busy"]
    rows = []
    for own in result["http"]:
        row = [*_row(own), *_means(own, "server_cpu_us_per_request", "server_cpu_us_per_history")]
        row += [spread(own["cpu_ratio"]), *_means(own, "client_cpu_us_per_request")]
        if "mean_batch" in own:
            row.append(percent(own["padding_waste"]["mean"]))
            row += _means(own, "mean_batch", "wait_ms", "compute_ms", "service_ms")
            row.append(percent(own["graph_busy"]["mean"]))
        rows.append([*row, *["-"] * (len(header) - len(row))])
    service = result["service"]
    notes = (
        "CPU is that of all processes of the service, Ray included, less what they use idle "
        f"({service['idle_cores']:.3f} cores). *CPU ratio*: CPU time per event of the thriftiest raw setting over "
        "the service's. *Wait*: a history's time in the queue. *Graph*: one graph call. *In service*: from a request's "
        "head to the end of its answer. *Graph busy*: share of the time in which a graph call ran. From start to "
        f"ready: {service['ready_s']:g} s after Ray, which took {service['ray_s']:g} s."
    )
    return f"{markdown_table(header, rows)}\n\n{notes}"


def _row(row: Mapping[str, Any]) -> list[str]:
    answer = "cold text" if row["cold_text"] else "trajectory" if row["trajectory"] else "last event"
    return [row["workload"], str(row["histories_per_request"]), str(row["connections"]), answer]


def _means(row: Mapping[str, Any], *names: str) -> list[str]:
    return [number(row[name]["mean"]) for name in names]


def _placement(placement: Mapping[str, Mapping[str, int]]) -> str:
    shown = []
    for provider, operators in sorted(placement.items()):
        few = ", ".join(f"{name} {count}" for name, count in sorted(operators.items()))
        detail = f" ({few})" if provider == "CPUExecutionProvider" and len(placement) > 1 else ""
        shown.append(f"{provider.removesuffix('ExecutionProvider')} {sum(operators.values())}{detail}")
    return "; ".join(shown)


def _errors(row: Mapping[str, Any]) -> str:
    failed = {status: count for status, count in row["statuses"].items() if status != "200"}
    return ", ".join(f"{count} x {status}" for status, count in failed.items()) or "0"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows below their header, numbers to the right."""
    aligned = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, aligned, *rows))


def spread(figure: Mapping[str, Any]) -> str:
    """Mean with the extremes of the repeats."""
    return f"{number(figure['mean'])} [{number(figure['min'])}, {number(figure['max'])}]"


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.1f} %"


def number(value: float) -> str:
    """Three digits at least, two where it is far below one."""
    for least, form in ((100, ",.0f"), (10, ".1f"), (0.1, ".2f")):
        if abs(value) >= least:
            return format(value, form)
    return f"{value:.2g}"
