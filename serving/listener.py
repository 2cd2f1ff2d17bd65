"""A replica's own HTTP listener: uvicorn on a thread of its own, on a port that replicas share.

Requests then skip Ray Serve's proxy and its per-request bookkeeping, while Ray still starts, watches, scales and stops
the replica (docs/decisions/0005). Replicas of one node share the port through SO_REUSEPORT: the kernel spreads new
connections over them, and during an update the new replica listens before the old one leaves.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 2048
_START_S = 10.0


def reserve(host: str, port: int) -> socket.socket:
    """A bound, silent socket that keeps `port` (0: a free one) for replicas; ValueError when something else has it.

    Connections go only to sockets that listen, so the reservation takes none. It is let go by closing it.
    """
    family, address = _address(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:  # without sharing, so that it collides with anyone
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            port = probe.getsockname()[1]
        except OSError as error:
            raise ValueError(
                f"port: found {port} on {host} unusable ({error.strerror}), expected a port that nothing listens on; "
                "stop what has it, or give port=0 for a free one"
            ) from error
    return _bind(host, port)


class Listener:
    """Serves an ASGI app on host and port from a thread with its own event loop."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, lifespan="off", backlog=_BACKLOG, access_log=False, log_config=None, ws="none", server_header=False
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the listener on {host}:{port} did not start")
            time.sleep(0.005)

    @property
    def alive(self) -> bool:
        """Whether the listener's thread runs."""
        return self._thread.is_alive()

    def close(self, timeout_s: float) -> bool:
        """Takes no more connections, answers the requests it has and ends; False when that takes too long."""
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout_s))
        self._server.should_exit = True
        self._thread.join(timeout_s + 1)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._server.serve(sockets=[self._socket]))


def _bind(host: str, port: int) -> socket.socket:
    family, address = _address(host, port)
    shared = socket.socket(family, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(address)
    return shared


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise ValueError(f"host: found {host!r}, expected an address of this machine; correct host") from error
    return family, (str(address[0]), int(address[1]))
