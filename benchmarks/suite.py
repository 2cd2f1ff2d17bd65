"""Running a suite: first the grid of raw cells, then the HTTP rows, each between two measurements of its yardstick.

Both go over everything once per repeat, in a random order of its own. The yardstick of a row is the best raw cell of
its workload, measured anew right before and after the row: a ratio is between figures that are seconds apart, so that
drift of the machine hits both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from benchmarks.bundles import bundle_under_test
from benchmarks.ceiling import MatrixProduct, flop_per_event
from benchmarks.config import BenchConfig, workload_name
from benchmarks.provenance import provenance
from benchmarks.raw import RawCell, placement, raw_cells
from benchmarks.statistics import summarise
from benchmarks.workload import Workload, make_workload
from forewarn.bundle import Bundle

if TYPE_CHECKING:  # what has to do with the service is imported where there is one: a GPU machine may lack it
    from benchmarks.service import ServiceUnderTest

FORMAT = 1  # of the result file
Measurement = tuple[str, Callable[[], object]]


def run_suite(config: BenchConfig) -> dict[str, Any]:
    """The whole result of a suite, as plain JSON values; the service is started only when the suite has HTTP rows."""
    suite = config.suite
    result: dict[str, Any] = {"format": FORMAT, "suite": suite.name, "provenance": provenance(config)}
    bundle, trained = bundle_under_test(config)
    workloads = {events: make_workload(bundle, events, suite.pool, config.seed) for events in suite.workloads}
    result["model"] = _model_facts(bundle, trained)
    result["workloads"] = [workload.facts for workload in workloads.values()]
    cells = raw_cells(bundle, config, list(workloads.values()))
    ceiling = MatrixProduct(config.provider, config.precision, config.threads) if suite.raw.ceiling else None
    result["placement"] = placement(bundle, config, next(iter(workloads.values())))

    with _service(config, bundle) as service:
        grid: list[Measurement] = [(cell.name, partial(cell.measure, suite.raw.seconds)) for cell in cells]
        if ceiling is not None:
            grid.append(("matrix product", partial(ceiling.measure, suite.raw.seconds)))
        repeat_all(grid, suite.repeats, config.seed)
        result["raw"] = [cell.result for cell in cells]
        best = {workload.name: best_cell(cells, workload.name) for workload in workloads.values()}
        result["best"] = {name: cell.name for name, cell in best.items()}
        if service is not None:
            result["service"] = service.facts
            result["http"] = _measure_rows(config, service, workloads, cells, best)
    if ceiling is not None:
        result["ceiling"] = ceiling.result
        _add_shares(result, bundle, workloads)
    return result


def _service(config: BenchConfig, bundle: Bundle) -> AbstractContextManager[ServiceUnderTest | None]:
    if not config.suite.http:
        return nullcontext()
    from benchmarks.service import serving

    return serving(config, bundle.path)


def _measure_rows(
    config: BenchConfig,
    service: ServiceUnderTest,
    workloads: dict[int | None, Workload],
    cells: list[RawCell],
    best: dict[str, RawCell],
) -> list[dict[str, Any]]:
    from benchmarks.endtoend import Row

    suite = config.suite
    rows = []
    for own in suite.http:
        workload = workloads[own.events]
        thriftiest = min(cell.mean("cpu_us_per_event") for cell in cells if cell.workload is workload)
        rows += [Row(own, count, workload, best[workload.name], thriftiest) for count in own.connections]
    for row in tqdm(rows, desc="warm-up", unit="row", leave=False):
        row.warm_up(service)
    measurements = [(row.name, partial(row.measure, service, suite.seconds, suite.raw.seconds)) for row in rows]
    repeat_all(measurements, suite.repeats, config.seed)
    return [row.result for row in rows]


def best_cell(cells: list[RawCell], workload: str) -> RawCell:
    """The raw cell with the highest mean throughput on a workload: the ceiling its HTTP rows are held against."""
    return max((cell for cell in cells if cell.workload.name == workload), key=lambda cell: cell.mean("events_per_s"))


def repeat_all(measurements: Sequence[Measurement], repeats: int, seed: int) -> None:
    """Takes every measurement once per repeat, each time in another order."""
    order = random.Random(seed)
    with tqdm(total=repeats * len(measurements), unit="measurement", mininterval=1.0) as bar:
        for repeat in range(repeats):
            for name, measure in order.sample(measurements, len(measurements)):
                bar.set_description(f"repeat {repeat + 1} of {repeats}: {name}", refresh=False)
                measure()
                bar.update()


def _model_facts(bundle: Bundle, trained: bool) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": manifest.model["name"],
        "trained": trained,
        "hash": manifest.model_hash,
        "config": manifest.model,
        "tasks": {task.name: task.outputs for task in manifest.tasks},
        "inputs": {
            "categorical": len(bundle.featurizer.vocabularies),
            "numeric": len(bundle.featurizer.quantiles),
            "text_width": bundle.featurizer.text_width,
        },
    }


def _add_shares(result: dict[str, Any], bundle: Bundle, workloads: dict[int | None, Workload]) -> None:
    """Adds to every raw cell which share of the measured matrix product its model's arithmetic reached."""
    limit = result["ceiling"]["gflop_per_s"]["values"]
    for events, workload in workloads.items():
        length = events or workload.facts["mean_length"]
        giga = flop_per_event(bundle.manifest.model, length) / 1e9
        for cell in result["raw"]:
            if cell["workload"] == workload_name(events):
                rates = cell["events_per_s"]["values"]
                shares = [giga * rate / most for rate, most in zip(rates, limit, strict=True)]
                cell["share_of_ceiling"] = summarise(shares)
