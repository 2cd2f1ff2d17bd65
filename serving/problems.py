"""Every error the service answers with: RFC 9457 problem documents, application/problem+json.

`Problem` is raised anywhere below the HTTP layer; `install` makes sure that nothing else leaves the service as an
error, neither the framework's own 404 and 405 nor an unexpected exception, whose details stay in the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

# kind -> HTTP status and title; the kind is the last part of the document's type.
KINDS: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body is not JSON"),
    "bad-request": (400, "The request cannot be read"),
    "not-found": (404, "There is nothing at this path"),
    "method-not-allowed": (405, "This path does not take this method"),
    "too-large": (413, "The request is larger than this service takes"),
    "unsupported-media-type": (415, "The body must be JSON"),
    "invalid-field": (422, "A field cannot be used"),
    "internal-error": (500, "The service failed"),
    "not-ready": (503, "The service is not ready"),
    "overloaded": (503, "The service is overloaded"),
    "deadline-exceeded": (504, "The deadline passed"),
}
_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


class FieldError(msgspec.Struct, frozen=True):
    """One field that cannot be used: where it is in the body, what is there, what should be, and how to repair it."""

    field: str
    found: str
    expected: str
    fix: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error (RFC 9457); `errors` is forewarn's extension."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: Sequence[FieldError] = ()


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """An error for the client, of one of `KINDS`."""

    def __init__(
        self, kind: str, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors, self.headers = kind, detail, errors, headers

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def response(self, instance: str) -> Response:
        """The HTTP response for the request path `instance`."""
        status, title = KINDS[self.kind]
        uri = f"urn:forewarn:problem:{self.kind}"
        document = ProblemDocument(uri, title, status, self.detail, instance, self.errors)
        return Response(msgspec.json.encode(document), status, self.headers, MEDIA_TYPE)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The problem of fields that cannot be used; the detail repeats the first of them in words."""
    first = errors[0]
    more = f" ({len(errors) - 1} more in errors)" if len(errors) > 1 else ""
    return Problem(
        "invalid-field", f"{first.field}: found {first.found}, expected {first.expected}; {first.fix}{more}", errors
    )


def too_large(field: str, found: int, limit: int, setting: str, fix: str) -> Problem:
    """The problem of a request above a limit, which is named with the setting that raises it."""
    error = FieldError(field, str(found), f"at most {limit} ({setting})", fix)
    return Problem("too-large", f"{field}: found {found}, expected at most {limit} ({setting}); {fix}", [error])


def overloaded(retry_after_s: float) -> Problem:
    """The problem of a full queue, with the seconds after which it is worth trying again."""
    seconds = max(1, math.ceil(min(retry_after_s, 3600)))
    return Problem("overloaded", f"the queue is full, try again in {seconds} s", headers={"retry-after": str(seconds)})


def install(app: FastAPI) -> None:
    """Makes the app answer every error with a problem document."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response(request.url.path)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = _BY_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal-error")
        path, method = request.url.path, request.method
        detail = {
            "not-found": f"found no {path}; see /docs for what there is",
            "method-not-allowed": f"{path} does not take {method}; see /docs for what it takes",
        }.get(kind, str(error.detail))
        return Problem(kind, detail, headers=error.headers).response(path)

    async def unexpected(request: Request, error: Exception) -> Response:
        # Starlette logs the exception itself after this answer is sent.
        return Problem("internal-error", "an unexpected error; the service's log has it").response(request.url.path)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected)
