"""The Ray Serve application: one deployment whose replicas each hold an engine and, given a port, listen themselves.

`build` is what `serve run serving.deployment:build bundle=…`, a cluster's YAML (serving/cluster.yaml) and
`serving.run` all use; `serve build serving.deployment:application` takes its settings from FOREWARN_BUNDLE.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve import Application, Deployment
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.config import ProxyLocation

from serving.app import create_app, log_requests
from serving.autoscaling import METRIC
from serving.config import ServeConfig, load
from serving.engine import Engine
from serving.listener import Listener

NAME = "forewarn"
_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S = 10.0, 30.0


@serve.deployment(name=NAME)
@serve.ingress()
class Replica:
    """One engine, reachable through Ray Serve's ingress and, when `port` is set, through a listener of its own."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc] # Ray Serve awaits it
        config = load(settings)
        if config.access_log:
            log_requests()
        if config.port is not None and config.port == await _proxy_port():
            # Both would get it, through SO_REUSEPORT, and each would answer some of the connections.
            raise ValueError(
                f"port: found {config.port}, which Serve's proxies listen on, expected another; leave port out to be "
                "reached through them, or turn them off (proxy_location: Disabled in a config file)"
            )
        self.engine = Engine(config)
        await self.engine.warm_up()
        self.api = create_app(self.engine)
        # Listening starts only now: with a shared port, a replica that listens gets requests.
        self.listener = None if config.port is None else Listener(self.api, config.host, config.port)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self.api

    async def check_health(self) -> None:
        """Raises when the inference thread or the listener does not work; Ray then replaces the replica."""
        if self.listener is not None and not self.listener.alive:
            raise RuntimeError("the listener's thread has ended")
        await self.engine.check_health()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The load that `serving.autoscaling` reads."""
        return {METRIC: float(self.engine.in_flight)}

    async def __del__(self) -> None:
        # Ray calls this once when it stops the replica: first the door, then the queue behind it.
        await asyncio.to_thread(self._drain)

    def _drain(self) -> None:
        if (engine := getattr(self, "engine", None)) is not None:  # the constructor may have failed
            engine.ready = False
            if (listener := getattr(self, "listener", None)) is not None:
                listener.close(engine.config.drain_s)
            engine.close()


async def _proxy_port() -> int | None:
    """The port of Serve's proxies, None where they are off.

    `serve.status` tells of proxies only once they run, which may be later than this replica; the controller knows.
    """
    controller: Any = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    location: ProxyLocation | None = await controller.get_proxy_location.remote()
    if location is None or location == ProxyLocation.Disabled:
        return None
    port: int = (await controller.get_http_config.remote()).port
    return port


def build(args: Mapping[str, Any]) -> Application:
    """The application for settings of `ServeConfig` by name; ValueError names what is wrong.

    Without a `port` it is reached through Serve's proxies, which `serve run` starts on port 8000.
    """
    config = load({"port": None, **args})
    if config.port == 0:
        raise ValueError(
            "port: found 0, expected one port for all replicas; name it, or leave it out for Serve's proxies"
        )
    options: dict[str, Any] = {
        "max_ongoing_requests": config.max_ongoing_requests,
        "ray_actor_options": {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus},
        "graceful_shutdown_timeout_s": 2 * config.drain_s + 5,
        "graceful_shutdown_wait_loop_s": 0.1,
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
    }
    if config.max_replicas is None:
        options["num_replicas"] = config.replicas
    else:
        options["autoscaling_config"] = _autoscaling(config)
    deployment: Deployment = Replica  # type: ignore[assignment] # what the decorator makes of the class
    return deployment.options(**options).bind(asdict(config))


def _autoscaling(config: ServeConfig) -> dict[str, Any]:
    bounds = {
        "min_replicas": config.replicas,
        "max_replicas": config.max_replicas,
        "target_ongoing_requests": config.target_load,
    }
    # Behind Serve's proxies Ray counts the requests itself; a replica that listens itself has to be asked.
    own = {} if config.port is None else {"policy": {"policy_function": "serving.autoscaling:replicas_for_load"}}
    return bounds | own


def __getattr__(name: str) -> Application:
    # Made on demand, so that importing this module needs no bundle.
    if name == "application":
        return build({"bundle": os.environ.get("FOREWARN_BUNDLE", "bundle")})
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
