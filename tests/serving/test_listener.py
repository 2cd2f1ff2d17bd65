"""A replica's own listener: a shared port, an honest refusal of a taken one, and a clean end."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving.listener import Listener, reserve


def app_that_says(word: str, after_s: float = 0.0, asked: threading.Event | None = None) -> Starlette:
    async def say(request: Request) -> PlainTextResponse:
        if asked is not None:
            asked.set()
        await asyncio.sleep(after_s)
        return PlainTextResponse(word)

    return Starlette(routes=[Route("/", say)])


def test_a_reserved_port_is_kept_until_a_listener_takes_it() -> None:
    reservation = reserve("127.0.0.1", 0)
    port = reservation.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")
    listener = Listener(app_that_says("hello"), "127.0.0.1", port)
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "hello"
    assert listener.close(2)
    reservation.close()


def test_a_port_that_something_listens_on_is_refused_even_by_another_listener_of_ours() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ValueError, match=r"^port: found \d+ on 127.0.0.1 unusable .*give port=0 for a free one$"):
            reserve("127.0.0.1", other.getsockname()[1])
    with reserve("127.0.0.1", 0) as reservation:
        port = reservation.getsockname()[1]
        listener = Listener(app_that_says("mine"), "127.0.0.1", port)
        with pytest.raises(ValueError, match=rf"^port: found {port} "):
            reserve("127.0.0.1", port)
        assert listener.close(2)


def test_an_address_that_is_not_this_machine_s_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^host: found 'no such host'"):
        reserve("no such host", 0)


def test_listeners_share_a_port_and_the_rest_goes_on_when_one_leaves() -> None:
    reservation = reserve("127.0.0.1", 0)
    port = reservation.getsockname()[1]
    listeners = {word: Listener(app_that_says(word), "127.0.0.1", port) for word in ("one", "two")}
    answers = {httpx.get(f"http://127.0.0.1:{port}/").text for _ in range(50)}
    assert answers == {"one", "two"}
    assert listeners["one"].close(2)
    assert {httpx.get(f"http://127.0.0.1:{port}/").text for _ in range(10)} == {"two"}
    assert listeners["two"].close(2)
    reservation.close()


def test_closing_answers_the_requests_it_has() -> None:
    reservation = reserve("127.0.0.1", 0)
    port = reservation.getsockname()[1]
    asked = threading.Event()
    listener = Listener(app_that_says("done", after_s=0.3, asked=asked), "127.0.0.1", port)
    answers: list[str] = []
    request = threading.Thread(target=lambda: answers.append(httpx.get(f"http://127.0.0.1:{port}/").text))
    request.start()
    assert asked.wait(30)
    assert listener.close(5)
    request.join()
    assert answers == ["done"]
    assert not listener.alive
    reservation.close()
