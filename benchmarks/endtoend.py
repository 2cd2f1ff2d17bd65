"""One row of the end-to-end table: a closed loop over HTTP, measured from outside and by the service's own counters."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from typing import Any

import msgspec

from benchmarks.client import OK, Load, Outcome
from benchmarks.config import RowConfig
from benchmarks.raw import RawCell
from benchmarks.service import REPOSITORY, ServiceUnderTest
from benchmarks.statistics import percentiles_ms, summarise_each
from benchmarks.workload import Workload

_PATH = "/v1/score"
# Longest a client may take beyond its time: the answers it still waits for, each with a time limit of its own.
_PATIENCE_S = 120.0
_WHOLE_PASS_S = 600.0  # warm-up ends when every body was sent
_SHARED_PASSES = 6  # replicas share a port by chance: after so many passes each has likely seen every text


class Row:
    """Histories per request x connections on one workload; `measure` runs it for one repeat.

    `yardstick` is the best raw cell of the workload, `raw_cpu_us` the CPU time per event of the thriftiest one.
    """

    def __init__(
        self, config: RowConfig, connections: int, workload: Workload, yardstick: RawCell, raw_cpu_us: float
    ) -> None:
        self.config, self.connections, self.workload = config, connections, workload
        self.yardstick, self.raw_cpu_us = yardstick, raw_cpu_us
        self.name = f"{workload.name}, {config.histories} per request, {_counted(connections, 'connection')}"
        self.name += ("" if config.trajectory else ", no trajectory") + (", cold text" if config.cold_text else "")
        self._bodies = [] if config.cold_text else workload.bodies(config.histories, trajectory=config.trajectory)
        # Histories and events that each body holds.
        lengths = [history.length for history in workload.encoded]
        groups = [lengths[start : start + config.histories] for start in range(0, len(lengths), config.histories)]
        self._sizes = [(len(group), sum(group)) for group in groups]
        self.repeats: list[dict[str, float]] = []
        self._latencies_s: list[float] = []
        self._statuses: Counter[int] = Counter()

    def warm_up(self, service: ServiceUnderTest) -> None:
        """Sends every body once, so that its texts have vectors and its shapes have run."""
        if self.config.cold_text:
            return
        for _ in range(_SHARED_PASSES if service.several_replicas else 1):
            _run_client(Load(service.url + _PATH, self._bodies, self.connections, _WHOLE_PASS_S, once=True))

    def measure(self, service: ServiceUnderTest, seconds: float, raw_seconds: float) -> None:
        """Adds one repeat between two of the yardstick; RuntimeError when no request was answered with scores."""
        bodies = self._bodies
        if self.config.cold_text:
            mark = f"#{len(self.repeats)}"
            bodies = self.workload.bodies(self.config.histories, trajectory=self.config.trajectory, new_texts=mark)
        load = Load(service.url + _PATH, bodies, self.connections, seconds, once=self.config.cold_text)
        raw = self.yardstick.measure(raw_seconds)["events_per_s"]
        before = service.metrics()
        cpu, began = service.cpu_s(), time.perf_counter()
        outcome = _run_client(load)
        cpu = service.cpu_s() - cpu - service.idle_cores * (time.perf_counter() - began)
        after = service.metrics()
        raw = (raw + self.yardstick.measure(raw_seconds)["events_per_s"]) / 2
        if not outcome.latencies_s:
            raise RuntimeError(f"{self.name}: found no answer with scores, only statuses {outcome.statuses}")
        self._latencies_s += outcome.latencies_s
        self._statuses.update(outcome.statuses)
        figures = self._figures(outcome, cpu)
        if before is not None and after is not None:
            changed = {name: value - before.get(name, 0.0) for name, value in after.items()}
            figures |= _counted_by_service(changed, outcome.elapsed_s)
        # Both ratios are 1 for a service that costs nothing.
        figures["raw_events_per_s"] = raw
        figures["ratio"] = figures["events_per_s"] / raw
        figures["cpu_ratio"] = self.raw_cpu_us / figures["server_cpu_us_per_event"]
        self.repeats.append(figures)

    def _figures(self, outcome: Outcome, cpu_s: float) -> dict[str, float]:
        requests = len(outcome.answered)
        histories = sum(self._sizes[body][0] for body in outcome.answered)
        events = sum(self._sizes[body][1] for body in outcome.answered)
        return {
            "requests_per_s": requests / outcome.elapsed_s,
            "histories_per_s": histories / outcome.elapsed_s,
            "events_per_s": events / outcome.elapsed_s,
            "server_cpu_us_per_request": 1e6 * cpu_s / requests,
            "server_cpu_us_per_history": 1e6 * cpu_s / histories,
            "server_cpu_us_per_event": 1e6 * cpu_s / events,
            "client_cpu_us_per_request": 1e6 * outcome.cpu_s / requests,
            "answer_bytes": outcome.received_bytes / sum(outcome.statuses.values()),
        }

    @property
    def result(self) -> dict[str, Any]:
        """What it was and what it measured over all repeats; latencies are pooled."""
        return {
            "name": self.name,
            "workload": self.workload.name,
            "histories_per_request": self.config.histories,
            "connections": self.connections,
            "trajectory": self.config.trajectory,
            "cold_text": self.config.cold_text,
            "body_bytes": round(sum(map(len, self._bodies)) / len(self._bodies)) if self._bodies else None,
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "errors": self._statuses.total() - self._statuses[OK],
            "latency_ms": percentiles_ms(self._latencies_s),
            **summarise_each(self.repeats),
        }


def _counted_by_service(changed: dict[str, float], elapsed_s: float) -> dict[str, float]:
    """The row's figures from what the service's own counters gained."""
    items, calls = changed["forewarn_histories_scored_total"], changed["forewarn_batches_total"]
    real, padded = changed["forewarn_tokens_real_total"], changed["forewarn_tokens_padded_total"]
    timed = f"forewarn_request_duration_seconds_%s{{{_PATH}}}"
    return {
        "padding_waste": 1 - real / padded,
        "mean_batch": items / calls,
        "wait_ms": 1000 * changed["forewarn_queue_wait_seconds_total"] / items,
        "compute_ms": 1000 * changed["forewarn_compute_seconds_total"] / calls,
        "service_ms": 1000 * changed[timed % "sum"] / changed[timed % "count"],
        "graph_busy": changed["forewarn_compute_seconds_total"] / elapsed_s,
    }


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _run_client(load: Load) -> Outcome:
    """Runs the client in a process of its own; RuntimeError with its own words when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.client"],
        input=msgspec.msgpack.encode(load),
        capture_output=True,
        cwd=REPOSITORY,
        timeout=load.seconds + _PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the client ended with code {done.returncode}:\n{done.stderr.decode()}")
    return msgspec.msgpack.decode(done.stdout, type=Outcome)
