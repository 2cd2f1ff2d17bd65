"""How many replicas the service needs, from the requests each has in flight.

Ray Serve counts only requests that pass its proxies. A replica with its own listener reports its load itself
(`record_autoscaling_stats`), and this policy reads it; Ray applies delays, factors and bounds as for its own policy.
"""

from __future__ import annotations

import math
from typing import Any

from ray.serve.config import AutoscalingContext

METRIC = "requests_in_flight"


def replicas_for_load(ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """Replicas so that each has at most `target_ongoing_requests` in flight, at least one."""
    reported = (ctx.aggregated_metrics or {}).get(METRIC, {})
    if not reported or ctx.config is None:
        return ctx.target_num_replicas, {}
    return max(1, math.ceil(sum(reported.values()) / ctx.config.get_target_ongoing_requests())), {}
