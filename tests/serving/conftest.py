"""Warm engines in this process, and one real Ray Serve instance for the whole session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serving.app import create_app
from serving.config import load
from serving.engine import Engine
from serving.service import Service, start

Events = Callable[..., list[dict[str, Any]]]
EngineOf = Callable[..., Engine]


class Client:
    """Requests to an app in this process without a socket between, each on an event loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://forewarn", timeout=60) as client:
            return await client.request(method, path, **options)

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self.request("GET", path))

    def score(self, body: Any, **options: Any) -> httpx.Response:
        return asyncio.run(self.request("POST", "/v1/score", json=body, **options))

    def post(self, **options: Any) -> httpx.Response:
        return asyncio.run(self.request("POST", "/v1/score", **options))


@pytest.fixture(scope="session")
def events() -> Events:
    """Flat event records, a minute apart: `events(3, queue="billing")`."""

    def make(count: int, **fields: Any) -> list[dict[str, Any]]:
        start = datetime(2026, 11, 20, 13, tzinfo=UTC)
        return [
            {
                "event_id": f"e{i}",
                "type": ("ticket.created", "conversation.message")[i > 0],
                "occurred_at": (start + timedelta(minutes=i)).isoformat(),
                "channel": "chat",
                "actor": ("customer", "agent")[i % 2],
                **fields,
            }
            for i in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def engine_of(tiny_bundle: Path) -> Iterator[EngineOf]:
    """Engines with settings of their own, ready for requests."""
    made: list[Engine] = []

    def make(*, warm: bool = True, **settings: Any) -> Engine:
        engine = Engine(load({"bundle": str(tiny_bundle), "threads": 1, **settings}))
        made.append(engine)
        if warm:
            asyncio.run(engine.warm_up())
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="session")
def engine(engine_of: EngineOf) -> Engine:
    return engine_of()


@pytest.fixture(scope="session")
def client_of() -> Callable[[Engine], Client]:
    return lambda engine: Client(create_app(engine))


@pytest.fixture(scope="session")
def client(engine: Engine, client_of: Callable[[Engine], Client]) -> Client:
    return client_of(engine)


@pytest.fixture(scope="session")
def service(tiny_bundle: Path) -> Iterator[Service]:
    with start(load({"bundle": str(tiny_bundle), "port": 0, "drain_s": 5})) as service:
        yield service
