"""What Ray must find in its environment before it is imported; values that are already set stay.

Read from ray 2.60. `RAY_SERVE_THROUGHPUT_OPTIMIZED=1` runs user code on the replica's main event loop, buffers request
logs, keeps logs off stderr, talks gRPC between processes, and turns direct ingress on: each replica then listens on
the first port from RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT (30000) on that is free, and stays up 30 s when stopped.
Replicas that listen themselves need none of the last (docs/decisions/0005).
"""

from __future__ import annotations

import os

SETTINGS = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",  # what does not load now does not load at the third try either
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",  # two access log lines may be alike
    # Ray kills workers when the machine's memory is 95 % full, whoever fills it; a replica's memory is bounded.
    "RAY_memory_monitor_refresh_ms": "0",
    # Numeric libraries must not each start a thread per core beside the graph's own.
    "TOKENIZERS_PARALLELISM": "false",
}


def apply() -> None:
    """Sets what is not set yet; to be called before the first import of ray."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
