"""The HTTP API as an ASGI app: routes, limits on the way in, one observation per request on the way out.

Bodies are read raw and go through msgspec; FastAPI routes them and documents them (`serving.openapi`). The same app
answers behind a replica's own listener, behind Ray Serve's ingress and inside tests.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
import time
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import openapi, problems
from serving.engine import Engine
from serving.metrics import Metrics
from serving.problems import FieldError, Problem, invalid, too_large

ACCESS = logging.getLogger("serving.access")
DEADLINE_HEADER = "x-forewarn-deadline-ms"
_PATHS = frozenset({"/v1/score", "/v1/model", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json"})
# Seconds after which a waiting request starts to look whether its client is still there; most are answered before.
_PATIENCE_S = 0.05


def create_app(engine: Engine) -> FastAPI:
    """The API of one engine."""
    # The Swagger UI comes from the package fastapi-offline: FastAPI's own /docs loads it from a CDN.
    app = FastAPIOffline(title=openapi.TITLE, description=openapi.DESCRIPTION, version="1", redoc_url=None)
    metrics = Metrics(engine)
    problems.install(app)

    @app.post("/v1/score", **openapi.SCORE)
    async def score(request: Request) -> Response:
        _require_json(request)
        deadline_s = _deadline_s(request)
        body = await _body(request, engine.config.max_body_bytes)
        answer = await _while_connected(request, asyncio.ensure_future(engine.score(body, deadline_s)))
        return Response(answer, media_type="application/json")

    @app.get("/v1/model", **openapi.MODEL)
    async def model() -> Response:
        return Response(_facts(engine), media_type="application/json")

    @app.get("/livez", **openapi.LIVEZ)
    async def livez() -> Response:
        if not engine.scheduler.open:
            raise Problem("not-ready", "the inference thread takes no work")
        return Response("ok", media_type="text/plain")

    @app.get("/readyz", **openapi.READYZ)
    async def readyz() -> Response:
        if not engine.ready:
            raise Problem("not-ready", "warming up or shutting down", headers={"retry-after": "1"})
        return Response("ok", media_type="text/plain")

    @app.get("/metrics", **openapi.METRICS)
    async def prometheus() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    openapi.install(app)
    app.add_middleware(_Observer, metrics=metrics, log=engine.config.access_log)
    return app


class _Observer:
    """Counts and times every request, and logs it as JSON when asked to."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: bool) -> None:
        self.app, self.metrics, self.log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"]
            # A fixed set of labels: a scanner's invented paths must not grow the metrics.
            self.metrics.observe(path if path in _PATHS else "other", status, seconds)
            if self.log:
                fields = {"method": scope["method"], "path": path, "status": status, "seconds": round(seconds, 6)}
                ACCESS.info(json.dumps({**fields, "client": (scope.get("client") or ("",))[0]}))


def log_requests() -> None:
    """Sends the access log to stdout, one JSON object a line; for processes whose logging is not set up otherwise."""
    # The process's own stdout, which Ray shows to who started the service: Serve turns `sys.stdout` of a replica into
    # its own log, at a level that is off.
    handler = logging.StreamHandler(sys.__stdout__)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ACCESS.addHandler(handler)
    ACCESS.setLevel(logging.INFO)
    ACCESS.propagate = False


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        fix = "send content-type: application/json"
        found = repr(media_type) if media_type else "nothing"
        error = FieldError("content-type", found, "application/json", fix)
        detail = f"content-type: found {found}, expected application/json; {fix}"
        raise Problem("unsupported-media-type", detail, [error])


def _deadline_s(request: Request) -> float | None:
    given = request.headers.get(DEADLINE_HEADER)
    if given is None:
        return None
    try:
        milliseconds = float(given)
    except ValueError:
        milliseconds = math.nan
    if not (milliseconds > 0 and math.isfinite(milliseconds)):
        raise invalid([FieldError(DEADLINE_HEADER, repr(given), "milliseconds above 0", "send for example 500")])
    return milliseconds / 1000


async def _body(request: Request, limit: int) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    pieces: list[bytes] = []
    if size <= limit:
        size = 0
        async for piece in request.stream():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                break
    if size > limit:
        raise too_large("body", size, limit, "max_body_bytes", "split the request")
    return b"".join(pieces)


async def _while_connected(request: Request, answer: asyncio.Future[bytes]) -> bytes:
    """The answer, withdrawn when the client goes away before it is there."""
    try:
        await asyncio.wait((answer,), timeout=_PATIENCE_S)
        if not answer.done():
            gone = asyncio.ensure_future(request.receive())
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
        if not answer.done():
            answer.cancel()
            raise Problem("bad-request", "the client went away")
        return answer.result()
    except asyncio.CancelledError:
        answer.cancel()
        raise


def _facts(engine: Engine) -> bytes:
    """What the manifest says of the model, the inputs it reads and the limits of this service."""
    manifest, featurizer, config = engine.bundle.manifest, engine.bundle.featurizer, engine.config
    facts: dict[str, Any] = {
        "model_hash": manifest.model_hash,
        "schema_version": manifest.schema_version,
        "created": manifest.created,
        "git_commit": manifest.git_commit,
        "versions": manifest.versions,
        "tasks": manifest.tasks,
        "inputs": {
            "categorical": list(featurizer.vocabularies),
            "numeric": list(featurizer.attributes),
            "text": manifest.text,
            "max_length": featurizer.config.max_length,
            "as_of": engine.scorer.ages,
        },
        "model": manifest.model,
        "data": manifest.data,
        "metrics": manifest.metrics,
        "provider": config.provider,
        "precision": config.precision,
        "limits": {name: getattr(config, name) for name in ("max_body_bytes", "max_histories", "max_events")},
    }
    return msgspec.json.encode(facts)
