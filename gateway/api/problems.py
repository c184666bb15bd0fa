"""Turn errors into RFC 9457 problems; the only module that knows which error is which HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.storage.errors import StoreError, StoreFull

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2
"""Store and database restarts take seconds; clients add their own jitter."""

STATUSES: Mapping[type[GatewayError], int] = {
    errors.ExtensionNotAllowed: 400,
    errors.TypeRejected: 415,
    errors.UnsupportedBody: 415,
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.NotConfigured: 501,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.Malformed: 400,
    errors.BadHost: 400,
    errors.UnknownHost: 421,
    errors.RequestTimeout: 408,
    errors.LengthRequired: 411,
    errors.TooMany: 429,
    StoreFull: 507,
    errors.DiskFull: 507,
    errors.Unavailable: 503,
    StoreError: 502,
}
"""The most specific class of an error decides."""


class FieldError(BaseModel):
    """One wrong field of a request."""

    pointer: str = Field(description="Where it is: a JSON pointer into the body, or the name of a parameter.")
    detail: str


class Problem(BaseModel):
    """An error answer (RFC 9457). Switch on `code`: it is stable, the sentences are not."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:upload-gateway:problem:wrong_state"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["wrong_state"])
    errors: list[FieldError] | None = None


def status_of(error: GatewayError) -> int:
    """Return the HTTP status of the most specific known class of *error*."""
    return next((STATUSES[known] for known in type(error).__mro__ if known in STATUSES), 500)


def problem_of(error: GatewayError) -> dict[str, Any]:
    """Return the fields of the problem, with the additional fields of the error."""
    return {
        "type": f"urn:upload-gateway:problem:{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail,
        "code": error.code,
        **error.fields,
    }


def problem_response(error: GatewayError) -> Response:
    """Answer with a problem, and with the headers that its status asks for."""
    status = status_of(error)
    headers: dict[str, str] = {"cache-control": "no-store"}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    retriable = status in (429, 503) or isinstance(error, errors.IdempotencyInProgress)
    if retriable:
        headers["retry-after"] = str(error.fields.get("retry_after", RETRY_AFTER_SECONDS))
    if status in (408, 413):
        # The unread rest of the body would be parsed as the next request.
        headers["connection"] = "close"
    body = orjson.dumps(problem_of(error))
    return Response(body, status, headers=headers, media_type="application/problem+json")


def invalid_fields(found: Sequence[Mapping[str, Any]]) -> errors.Invalid:
    """Sum up what pydantic found, without the input: echoing NaN or a thousand brackets is how a 422 becomes a 500."""
    fields = [
        {"pointer": "/" + "/".join(str(part) for part in item["loc"] if part != "body"), "detail": item["msg"]}
        for item in found[:20]
    ]
    first = fields[0] if fields else {"pointer": "/", "detail": "not valid"}
    return errors.Invalid(f"{first['pointer']}: {first['detail']}"[:500], errors=fields)


def install(app: FastAPI) -> None:
    """Answer every error of *app* with a problem."""

    @app.exception_handler(GatewayError)
    async def _known(_request: Request, error: GatewayError) -> Response:
        if status_of(error) >= 500:
            logger.warning("request failed", extra={"code": error.code, "error": str(error)})
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def _invalid(_request: Request, error: RequestValidationError | ValidationError) -> Response:
        found = error.errors(include_input=False) if isinstance(error, ValidationError) else error.errors()
        return problem_response(invalid_fields(found))

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        words = {404: ("not_found", "Not found"), 405: ("method_not_allowed", "Method not allowed")}
        code, title = words.get(error.status_code, ("http_error", "HTTP error"))
        fields = {
            "type": f"urn:upload-gateway:problem:{code}",
            "title": title,
            "status": error.status_code,
            "detail": str(error.detail),
            "code": code,
        }
        return Response(
            orjson.dumps(fields), error.status_code, headers=error.headers, media_type="application/problem+json"
        )

    @app.exception_handler(Exception)
    async def _unknown(_request: Request, error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error)
        return problem_response(GatewayError("Something unexpected happened; it was logged."))


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe error answers for OpenAPI; 429 goes with every 401, and 408 with every bounded body (413)."""
    described = sorted({*statuses, *([429] if 401 in statuses else []), *([408] if 413 in statuses else [])})
    return {
        status: {"description": _DESCRIPTIONS[status], "model": Problem, "content": {"application/problem+json": {}}}
        for status in described
    }


_DESCRIPTIONS = {
    400: "The file's extension is not allowed.",
    401: "No valid API key or token.",
    403: "This key or token may not do that.",
    404: "No such upload.",
    408: "The body came too slowly.",
    409: "Not in this state, or the parts do not match the plan.",
    410: "The upload has expired.",
    411: "A length is needed.",
    415: "The body is compressed or not UTF-8.",
    413: "Over a limit in bytes.",
    421: "The Host header does not name this gateway, and GATEWAY_PUBLIC_URL is not set.",
    422: "The request is not valid.",
    429: "Too many requests.",
    501: "This gateway is not set up for that.",
    502: "The store refused.",
    503: "The store or the database does not answer; nothing is lost, try again.",
    507: "The store or the disk is full.",
}
