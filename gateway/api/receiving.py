"""Take files that clients send to the gateway itself: as a form or as a raw body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.api import models
from gateway.api.addresses import location
from gateway.api.answers import content_type_of, json_response
from gateway.api.problems import problem_response, responses
from gateway.api.request_body import ClientGone, RequestBody, length_of
from gateway.api.requests import gateway_of, principal_of, upload_id_of
from gateway.domain.errors import GatewayError, TooLarge
from gateway.domain.upload import State, Upload
from gateway.receiving.receive_body import receive_body
from gateway.receiving.receive_form import receive_form
from gateway.streaming.form_parser import OVERHEAD_BYTES, boundary_of

logger = logging.getLogger(__name__)

router = APIRouter(tags=["streaming"])

LINGER_SECONDS = 2.0
LINGER_PIECES = 100
"""A sender that is refused in mid-stream gets this long to read why; at 64 KiB a piece that is a few MB thrown away."""

CLIENT_GONE = 499
"""For the access log alone, as nginx writes it."""

FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The file; the name of this field is free."},
        "size_bytes": {"type": "integer", "description": "Checked if given, before or after the file."},
        "sha256": {"type": "string", "description": "Hexadecimal or base64; checked if given."},
    },
}


@router.post(
    "/upload/stream",
    status_code=201,
    response_model=models.StreamedUpload,
    responses=responses(400, 401, 408, 411, 413, 422, 429, 502, 503, 507)
    | {202: {"model": models.StreamedUpload, "description": "All bytes are stored; validation continues."}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}},
        "security": [{"bearer": []}],
    },
)
async def upload_stream(request: Request) -> Response:
    """Send a file as a form, up to 5 GiB; it is piped on while it arrives."""
    return await _answered(request, _receive_form(request))


@router.put(
    "/v1/uploads/{upload_id}/content",
    response_model=models.StreamedUpload,
    responses=responses(400, 401, 404, 408, 409, 410, 411, 413, 422, 429, 502, 503, 507)
    | {202: {"model": models.StreamedUpload, "description": "All bytes are stored; validation continues."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    status_code=201,
)
async def upload_content(request: Request, upload_id: str) -> Response:
    """Send the file of a created upload as a raw body (`curl -T`); after a failure send it again."""
    return await _answered(request, _receive_content(request, upload_id))


async def _receive_form(request: Request) -> Upload:
    gateway, caller = gateway_of(request), await principal_of(request)
    boundary = boundary_of(request.headers.get("content-type", ""))
    _length_within(request, gateway.policy.max_file_size, OVERHEAD_BYTES)
    with gateway.receiving.buffer_pool.counted(caller.tenant_id, caller.token_id):
        return await receive_form(gateway, caller, boundary, RequestBody(request, gateway.receiving))


async def _receive_content(request: Request, upload_id: str) -> Upload:
    gateway, caller, identity = gateway_of(request), await principal_of(request), upload_id_of(upload_id)
    length = _length_within(request, gateway.policy.max_file_size)
    with gateway.receiving.buffer_pool.counted(caller.tenant_id, caller.token_id):
        body = RequestBody(request, gateway.receiving)
        return await receive_body(gateway, caller, identity, body, length=length)


def _length_within(request: Request, limit: int, overhead: int = 0) -> int | None:
    """Return the announced length of the body; refuse before a byte is read what would be too large."""
    length = length_of(request)
    if length is not None and length > limit + overhead:
        raise TooLarge(f"The file is larger than {limit} bytes.", max_size_bytes=limit)
    return length


async def _answered(request: Request, receiving: Awaitable[Upload]) -> Response:
    try:
        return _answer(request, await receiving)
    except GatewayError as exc:
        answer = problem_response(exc)
        if answer.status_code >= 500:
            logger.warning("request failed", extra={"code": exc.code, "error": str(exc)})
        body: RequestBody | None = getattr(request.state, "body", None)
        if body is not None and body.ended:
            return answer
        answer.headers["connection"] = "close"
        return _Lingering(answer)
    except ClientGone:
        logger.info("the client went away in mid-body")
        return Response(status_code=CLIENT_GONE)


def _answer(request: Request, upload: Upload) -> Response:
    ready = upload.state is State.READY
    answer: dict[str, Any] = {
        "upload_id": upload.id,
        "state": upload.state,
        **upload.place,
        "etag": upload.observed_etag if ready else None,
        "version_id": upload.observed_version_id if ready else None,
        "size_bytes": upload.observed_size_bytes or upload.received_bytes,
        "content_type": content_type_of(upload),
        "filename": upload.filename,
    }
    status = 201 if ready else 202
    return json_response(answer, status, {"location": location(request, f"/v1/uploads/{upload.id}")})


class _Lingering(Response):
    """Send an answer whole, then read on for a moment before the connection is closed.

    Closing while the sender still sends resets the connection, and many clients then never see the answer.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.body, answer.status_code, headers=dict(answer.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI names it
        """Answer one request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                for _ in range(LINGER_PIECES):
                    message = await receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
                    await asyncio.sleep(LINGER_SECONDS / LINGER_PIECES)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
