"""Translate `POST /v1/inspect` into its use case and back."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from gateway.api import models
from gateway.api.answers import json_response
from gateway.api.problems import responses
from gateway.api.requests import gateway_of, principal_of, read_json
from gateway.api.uploads import body_of
from gateway.domain.errors import Invalid
from gateway.domain.principal import Principal
from gateway.uploads.inspect import Inspection, KnownRange, inspect_ranges

router = APIRouter(prefix="/v1", tags=["uploads"])
Caller = Annotated[Principal, Depends(principal_of)]


@router.post(
    "/inspect",
    response_model=models.Inspection,
    responses=responses(400, 401, 403, 413, 422, 429),
    openapi_extra=body_of(models.InspectFile),
)
async def inspect_file(request: Request, _: Caller) -> Response:
    """Ask before an upload whether a file would be accepted; send the wanted ranges and ask again."""
    body = await read_json(request, models.InspectFile)
    ranges = [KnownRange(known.start, _decode(known.data)) for known in body.ranges]
    rules = gateway_of(request).policy
    # One answer takes a millisecond of CPU, a hostile file up to 35: not on the event loop.
    found = await asyncio.to_thread(inspect_ranges, rules, body.filename, body.size_bytes, ranges)
    return json_response(_answer(found))


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Invalid("The data of a range is not Base64.") from exc


def _answer(found: Inspection) -> dict[str, object]:
    rejection = found.rejection
    detection = found.decision.to_dict() if found.decision else None
    return {
        "accepted": None if found.wanted else rejection is None,
        "rejection": {"code": rejection.code, "detail": rejection.detail} if rejection else None,
        "content_type": detection["media_type"] if detection else None,
        "complete": detection["complete"] if detection else None,
        "extension_mismatch": detection["extension_mismatch"] if detection else None,
        "suggested_filename": detection["suggested_filename"] if detection else None,
        "detection": detection,
        "wanted": [{"start": start, "length": length} for start, length in found.wanted],
    }
