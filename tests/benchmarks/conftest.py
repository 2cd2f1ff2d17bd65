"""A small result as a run would write it, with figures that are easy to tell apart."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.config import BenchConfig
from benchmarks.provenance import provenance
from benchmarks.statistics import summarise

Figures = dict[str, Any]


def raw_cell(batch: int, rate: float, share: float = 0.5) -> Figures:
    return {
        "name": f"64 events, batches of {batch}",
        "workload": "64 events",
        "batch": batch,
        "spinning": False,
        "padding_waste": 0.0,
        "sequences_per_s": summarise([rate] * 3),
        "events_per_s": summarise([64 * rate] * 3),
        "call_ms": summarise([1000 * batch / rate] * 3),
        "cpu_us_per_sequence": summarise([2e6 / rate] * 3),
        "cpu_us_per_event": summarise([2e6 / rate / 64] * 3),
        "share_of_ceiling": summarise([share] * 3),
    }


def http_row(per_request: int, ratio: float, statuses: dict[str, int] | None = None) -> Figures:
    statuses = statuses or {"200": 300}
    means = {
        "requests_per_s": 300 * ratio / per_request, "histories_per_s": 300 * ratio, "events_per_s": 19_200 * ratio,
        "server_cpu_us_per_request": 4321.0, "server_cpu_us_per_history": 4321.0 / per_request,
        "server_cpu_us_per_event": 67.5, "client_cpu_us_per_request": 31.0, "answer_bytes": 9000.0,
        "padding_waste": 0.125, "mean_batch": 7.5, "wait_ms": 3.25, "compute_ms": 24.0, "service_ms": 30.5,
        "graph_busy": 0.985, "raw_events_per_s": 19_200.0, "ratio": ratio, "cpu_ratio": 0.8,
    }  # fmt: skip
    return {
        "name": f"64 events, {per_request} per request, 4 connections",
        "workload": "64 events",
        "histories_per_request": per_request,
        "connections": 4,
        "trajectory": True,
        "cold_text": False,
        "body_bytes": 18_000,
        "statuses": statuses,
        "errors": sum(count for status, count in statuses.items() if status != "200"),
        "latency_ms": {"p50": 21.5, "p90": 26.0, "p99": 48.0, "max": 50.0, "n": 300},
        **{name: summarise([0.9 * mean, mean, 1.1 * mean]) for name, mean in means.items()},
    }


@pytest.fixture
def result() -> Figures:
    """A whole result with two raw cells and two HTTP rows."""
    return {
        "format": 1,
        "suite": "smoke",
        "provenance": provenance(BenchConfig()),
        "model": {
            "name": "base", "trained": False, "hash": "0123456789abcdef", "config": {"width": 256}, "tasks": {},
            "inputs": {"categorical": 5, "numeric": 12, "text_width": 384},
        },
        "workloads": [
            {
                "name": "64 events", "histories": 64, "events": 4096, "mean_length": 64.0, "events_with_text": 0.55,
                "distinct_texts": 926, "length": dict.fromkeys(("min", "p10", "p50", "p90", "max"), 64),
            }
        ],
        "placement": {"CPUExecutionProvider": {"MatMul": 40, "Attention": 6}},
        "raw": [raw_cell(1, 200.0), raw_cell(16, 300.0)],
        "best": {"64 events": "64 events, batches of 16"},
        "ceiling": {
            "precision": "fp32", "size": 2048, "gflop_per_s": summarise([100.0, 110.0, 120.0]),
        },
        "service": {"ray_s": 4.7, "ready_s": 3.2, "idle_cores": 0.06},
        "http": [http_row(1, 0.65), http_row(16, 0.8)],
    }  # fmt: skip
