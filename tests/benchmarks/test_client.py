"""The client against a small HTTP server in this process that notes everything it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.client import Load, run_load


class Server(ThreadingHTTPServer):
    """Answers after `delay_s` with `size` bytes in two pieces; every third request with 503 if `overloaded`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.delay_s, self.size, self.overloaded, self.hang_up = 0.0, 10, False, False
        self.lock = threading.Lock()
        self.bodies: list[bytes] = []
        self.content_types: set[str | None] = set()
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/score"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        with server.lock:
            server.bodies.append(body)
            server.content_types.add(self.headers["content-type"])
            number = len(server.bodies)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        time.sleep(server.delay_s)
        with server.lock:
            server.in_flight -= 1
        if server.hang_up:
            self.close_connection = True
            return
        self.send_response(503 if server.overloaded and number % 3 == 0 else 200)
        self.send_header("Content-Length", str(server.size))
        self.end_headers()
        self.wfile.write(b"x" * (server.size // 2))
        self.wfile.flush()
        self.wfile.write(b"x" * (server.size - server.size // 2))

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_request_sent_is_answered_and_counted(server: Server) -> None:
    outcome = run_load(Load(server.url, [b"{}"], connections=3, seconds=0.2))
    assert outcome.statuses == {200: len(server.bodies)}
    assert len(outcome.latencies_s) == len(outcome.answered) == len(server.bodies) > 3
    assert outcome.elapsed_s >= 0.2
    assert outcome.received_bytes > 10 * len(server.bodies)
    assert server.content_types == {"application/json"}


def test_no_more_requests_are_in_flight_than_there_are_connections(server: Server) -> None:
    server.delay_s = 0.01
    run_load(Load(server.url, [b"{}"], connections=4, seconds=0.2))
    assert server.most_in_flight == 4


def test_once_sends_each_body_once_and_tells_which_were_answered(server: Server) -> None:
    bodies = [b"%d" % i for i in range(17)]
    outcome = run_load(Load(server.url, bodies, connections=5, seconds=60.0, once=True))
    assert sorted(server.bodies) == sorted(bodies)
    assert sorted(outcome.answered) == list(range(17))


def test_more_connections_than_bodies_send_nothing_twice(server: Server) -> None:
    run_load(Load(server.url, [b"a", b"b"], connections=8, seconds=60.0, once=True))
    assert sorted(server.bodies) == [b"a", b"b"]


def test_bodies_and_answers_far_larger_than_a_socket_buffer_arrive_whole(server: Server) -> None:
    server.size = 3_000_001
    bodies = [bytes([65 + i]) * 2_000_003 for i in range(3)]
    outcome = run_load(Load(server.url, bodies, connections=2, seconds=60.0, once=True))
    assert sorted(server.bodies) == bodies
    assert outcome.received_bytes > 3 * 3_000_001


def test_latency_is_the_servers_delay_and_refusals_are_counted_apart(server: Server) -> None:
    server.delay_s, server.overloaded = 0.03, True
    outcome = run_load(Load(server.url, [b"{}"] * 9, connections=1, seconds=60.0, once=True))
    assert outcome.statuses == {200: 6, 503: 3}
    assert len(outcome.latencies_s) == 6
    assert min(outcome.latencies_s) >= 0.03


def test_a_server_that_hangs_up_is_an_error_and_no_result(server: Server) -> None:
    server.hang_up = True
    with pytest.raises(ConnectionError, match="closed the connection"):
        run_load(Load(server.url, [b"{}"], connections=1, seconds=0.1))
