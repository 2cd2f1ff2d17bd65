"""Prometheus metrics of one replica, in a registry of its own; units are in the names.

Scheduler and queue figures are read when scraped, so they cost a request nothing. Only what has a distribution
(latency) or labels (status) is recorded per request.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.engine import Engine

_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

# name, what it counts, attribute of scheduler.Counters
_COUNTERS = (
    ("forewarn_batches", "graph calls", "batches"),
    ("forewarn_histories_scored", "histories that went through the graph", "items"),
    ("forewarn_tokens_real", "events that went through the graph", "real_tokens"),
    ("forewarn_tokens_padded", "events that went through the graph, padding included", "padded_tokens"),
    ("forewarn_queue_wait_seconds", "time that histories waited for their graph call, summed", "wait_s"),
    ("forewarn_compute_seconds", "time that graph calls took, summed", "compute_s"),
    ("forewarn_histories_rejected", "histories refused because the queue was full", "rejected"),
    ("forewarn_histories_expired", "histories dropped because their deadline had passed", "expired"),
    ("forewarn_histories_cancelled", "histories dropped because the client had gone", "cancelled"),
    ("forewarn_histories_failed", "histories whose graph call failed", "failed"),
)


class Metrics:
    """What `GET /metrics` shows of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_EngineCollector(engine))
        self.requests = Counter(
            "forewarn_requests", "requests answered, by path and status", ("path", "status"), registry=self.registry
        )
        self.latency = Histogram(
            "forewarn_request_duration_seconds",
            "time from a request's head to the end of its answer",
            ("path",),
            buckets=_LATENCY_S,
            registry=self.registry,
        )

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Counts one answered request."""
        self.requests.labels(path, str(status)).inc()
        self.latency.labels(path).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _EngineCollector(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """The engine's figures at this moment."""
        engine, scheduler = self._engine, self._engine.scheduler
        for name, documentation, attribute in _COUNTERS:
            yield CounterMetricFamily(name, documentation, value=getattr(scheduler.counters, attribute))
        unknown = CounterMetricFamily(
            "forewarn_unknown", "attributes and categories that training never saw, accepted", labels=("kind",)
        )
        unknown.add_metric(("field",), engine.unknown_fields)
        unknown.add_metric(("category",), engine.unknown_categories)
        yield unknown
        yield GaugeMetricFamily("forewarn_requests_in_flight", "requests being answered", value=engine.in_flight)
        yield GaugeMetricFamily("forewarn_queue_tokens", "events that wait or run", value=scheduler.tokens_held)
        yield GaugeMetricFamily(
            "forewarn_launch_tokens", "measured fixed cost of a graph call, in events", value=scheduler.launch_tokens
        )
        yield GaugeMetricFamily("forewarn_ready", "1 when the replica takes requests", value=float(engine.ready))
        facts = {"model_hash": engine.bundle.model_hash, "schema_version": engine.bundle.schema_version}
        yield InfoMetricFamily("forewarn_model", "the model that answers", value=facts)
