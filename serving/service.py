"""Starting and stopping the whole service on this machine, or on a Ray cluster this process is connected to.

`serving.run`, the demo, the benchmarks and the tests all start it here.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from forewarn.bundle import Bundle
from serving import environment
from serving.config import ServeConfig
from serving.listener import reserve

# Ray's shared memory carries next to nothing here; it would otherwise claim 30 % of the machine's.
_OBJECT_STORE_BYTES = 100 * 1024**2
_ANSWER_S = 30.0


@dataclass
class Service:
    """A running service: where it listens, which model answers, and how long Ray and forewarn took to start."""

    url: str
    model_hash: str
    ray_s: float
    forewarn_s: float
    _reservation: socket.socket
    _owns_ray: bool

    def stop(self) -> None:
        """Finishes accepted requests and ends everything that `start` started."""
        import ray
        from ray import serve

        from serving.deployment import NAME

        # Deleting the application drains its replicas; Serve's own actors end with Ray, or belong to the cluster.
        serve.delete(NAME)
        self._reservation.close()
        if self._owns_ray:
            ray.shutdown()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(config: ServeConfig) -> Service:
    """Starts Ray (unless this process is connected to it) and the service; returns when it answers.

    Raises ValueError for a port that is taken or a bundle that is missing or changed, before anything is started, and
    RuntimeError when the replica does not come up.
    """
    if config.port is None:
        raise ValueError("port: found null, expected 0 to 65535; null is for serve run and serve deploy")
    bundle = Bundle.load(config.bundle)
    bundle.graph(config.precision)
    reservation = reserve(config.host, config.port)
    port = reservation.getsockname()[1]
    try:
        return _start(replace(config, bundle=str(Path(config.bundle).resolve()), port=port), bundle, reservation)
    except BaseException:
        reservation.close()
        raise


def _start(config: ServeConfig, bundle: Bundle, reservation: socket.socket) -> Service:
    environment.apply()
    began = time.monotonic()
    import ray
    from ray import serve

    from serving.deployment import NAME, build

    # It announces the address of a proxy that is not there, and that Ray's default authentication is on.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    owns_ray = not ray.is_initialized()
    if owns_ray:
        ray.init(**_ray_options(config))
    ray_s = time.monotonic() - began
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{config.port}"
    service = Service(url, bundle.model_hash, ray_s, 0.0, reservation, owns_ray)
    try:
        # Replicas listen themselves, so no proxy is needed: one process and its start-up less.
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING", "enable_access_log": False})
        try:
            serve.run(build(vars(config)), name=NAME, route_prefix="/")
        except RuntimeError as error:
            failed = serve.status().applications.get(NAME)
            told = failed.deployments[NAME].message if failed and NAME in failed.deployments else str(error)
            raise RuntimeError(_why(told)) from error
        _await_answer(f"{url}/readyz")
    except BaseException:
        service.stop()
        raise
    service.forewarn_s = time.monotonic() - began - ray_s
    return service


def _ray_options(config: ServeConfig) -> dict[str, Any]:
    # Replicas import serving and forewarn the way this process does.
    path = os.pathsep.join(dict.fromkeys(entry or os.getcwd() for entry in sys.path))
    wanted = config.num_cpus * (config.max_replicas or config.replicas) + 1
    return {
        "include_dashboard": False,
        "log_to_driver": config.access_log,
        "logging_level": logging.WARNING,
        "object_store_memory": _OBJECT_STORE_BYTES,
        # Reservations are book-keeping: a small machine must be able to start what the user asked for.
        "num_cpus": max(os.cpu_count() or 1, int(wanted + 0.999)),
        "runtime_env": {"env_vars": {"PYTHONPATH": path}},
    }


def _why(message: str) -> str:
    """The replica's own error out of the traceback that Ray reports, which ends with how its log can be found."""
    errors = [line for line in message.splitlines() if re.match(r"\w[\w.]*(Error|Exception): ", line)]
    return f"the replica did not start: {errors[-1] if errors else message}"


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} did not answer within {_ANSWER_S:.0f} s: {error}") from error
            time.sleep(0.05)
