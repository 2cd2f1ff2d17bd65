"""The load generator: a closed loop over a bounded number of connections, one thread, bodies encoded beforehand.

It runs in a process of its own so that its cost is measured and never on the server's account. Every request that was
sent is awaited and counted, so a row's rates and CPU per request are exact however short the row is. wrk, which else
measures the same, drops what is in flight when its time is up: up to a tenth of a row with 16 histories a request.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import msgspec

# A server that is silent for so long is broken: the slowest answer of any suite takes a few seconds.
_SILENCE_S = 60.0
_HEAD_END = b"\r\n\r\n"
OK = 200


class Load(msgspec.Struct, frozen=True):
    """What to send: `bodies` in turn until `seconds` have passed, over and over or, when `once`, each at most once."""

    url: str
    bodies: list[bytes]
    connections: int
    seconds: float
    once: bool = False


class Outcome(msgspec.Struct):
    """What came back; latencies are those of answers with status 200."""

    elapsed_s: float  # from the first byte sent to the last received
    cpu_s: float  # of this process
    latencies_s: list[float]
    answered: list[int]  # index of the body behind each latency
    statuses: dict[int, int]
    received_bytes: int


class _Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=_SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.body = 0
        self.started = 0.0
        self.unsent = memoryview(b"")
        self.head = b""
        self.missing = -1  # bytes of the answer's body still to come; -1 until its head is complete

    def start(self, body: int, request: bytes) -> None:
        self.body, self.unsent, self.head, self.missing = body, memoryview(request), b"", -1
        self.started = time.perf_counter()
        self.send()

    def send(self) -> None:
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return

    def receive(self, scratch: memoryview) -> int:
        """Reads what is there; the answer is complete when `missing` is 0. ConnectionError when the server hung up."""
        try:
            size = self.socket.recv_into(scratch)
        except BlockingIOError:
            return 0
        if not size:
            raise ConnectionError("the server closed the connection before its answer was complete")
        if self.missing >= 0:
            self.missing -= size
        else:
            self.head += scratch[:size]
            if (end := self.head.find(_HEAD_END)) >= 0:
                received = len(self.head) - end - len(_HEAD_END)
                self.head = self.head[:end]
                self.missing = _content_length(self.head) - received
        return size

    @property
    def status(self) -> int:
        return int(self.head[9:12])


def run_load(load: Load) -> Outcome:
    """Sends the load; raises ConnectionError or TimeoutError when the server goes away or falls silent."""
    parts = urlsplit(load.url)
    assert parts.hostname is not None and parts.port is not None
    requests = [_request(parts.netloc, parts.path, body) for body in load.bodies]
    connections = [_Connection((parts.hostname, parts.port)) for _ in range(load.connections)]
    scratch = memoryview(bytearray(1 << 18))
    outcome = Outcome(0.0, 0.0, [], [], {}, 0)
    statuses: Counter[int] = Counter()
    sent = busy = 0

    with selectors.DefaultSelector() as selector:
        cpu, began = time.process_time(), time.perf_counter()

        def start(connection: _Connection) -> None:
            nonlocal sent, busy
            over = sent > 0 and time.perf_counter() - began >= load.seconds
            if over or (load.once and sent >= len(requests)):
                selector.unregister(connection.socket)
                return
            connection.start(sent % len(requests), requests[sent % len(requests)])
            sent, busy = sent + 1, busy + 1
            if connection.unsent:
                selector.modify(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            start(connection)
        while busy:
            ready = selector.select(_SILENCE_S)
            if not ready:
                raise TimeoutError(f"{load.url} did not answer within {_SILENCE_S:.0f} s")
            for key, events in ready:
                connection = key.data
                if events & selectors.EVENT_WRITE:
                    connection.send()
                    if not connection.unsent:
                        selector.modify(connection.socket, selectors.EVENT_READ, connection)
                if events & selectors.EVENT_READ:
                    outcome.received_bytes += connection.receive(scratch)
                    if connection.missing == 0:
                        busy -= 1
                        statuses[connection.status] += 1
                        if connection.status == OK:
                            outcome.latencies_s.append(time.perf_counter() - connection.started)
                            outcome.answered.append(connection.body)
                        start(connection)
        outcome.elapsed_s = time.perf_counter() - began
        outcome.cpu_s = time.process_time() - cpu
    for connection in connections:
        connection.socket.close()
    outcome.statuses = dict(statuses)
    return outcome


def _request(host: str, path: str, body: bytes) -> bytes:
    lines = (f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json", f"content-length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ConnectionError(f"the answer has no content-length: {head[:200]!r}")


def main() -> None:
    """Reads a `Load` from stdin and writes its `Outcome` to stdout, both as msgpack."""
    load = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.msgpack.encode(run_load(load)))


if __name__ == "__main__":
    main()
