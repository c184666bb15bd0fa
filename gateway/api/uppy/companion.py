"""Speak the S3 routes of Uppy's Companion: below `/uppy/{token}/s3`, and below `/s3` with a bearer token or key.

Uppy 6 sends no additional header to a Companion, so the path contains the token. The `uploadId` is our upload_id. The
`key` that clients send is never used: the row of the upload names its object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gateway.api.addresses import absolute_url, location
from gateway.api.answers import json_response
from gateway.api.rate_limits import NAMED_PARTS_PER_UNIT, PARTS_PER_UNIT, charge
from gateway.api.requests import gateway_of, principal_of, read_json, upload_id_of
from gateway.api.uploads import bare_etag
from gateway.api.uppy.complete_or_raise import complete_fully
from gateway.api.uppy.errors import CompanionRoute
from gateway.domain.errors import Invalid, UnknownHost
from gateway.domain.parts import S3_MAX_PARTS, ClientPart
from gateway.domain.principal import Principal
from gateway.domain.upload import Upload
from gateway.uploads.abort import abort
from gateway.uploads.create import NewUpload, create
from gateway.uploads.list_parts import list_parts
from gateway.uploads.post_uploads import create_post_upload
from gateway.uploads.sign import MAX_PARTS_A_CALL, SignedPart, WantedPart, sign

router = APIRouter(route_class=CompanionRoute, include_in_schema=False)
Caller = Annotated[Principal, Depends(principal_of)]

MAX_METADATA = 32
MAX_METADATA_NAME = 64
MAX_METADATA_VALUE = 1024
_METADATA_PARAMETER = re.compile(r"metadata\[(.{1,64})\]")
_NO_VALUE = frozenset({"null", "undefined"})
"""What JavaScript makes of a missing value when it writes a query."""


class LenientModel(BaseModel):
    """Accept the body of any version of Uppy and read only the known fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CreateMultipart(LenientModel):
    """Companion's body of create."""

    filename: str = Field(min_length=1, max_length=1024)
    type: str | None = Field(None, max_length=255)
    metadata: dict[str, Any] | None = Field(None, max_length=200)


class CompanionPart(LenientModel):
    """One part as S3 names its fields."""

    PartNumber: int = Field(ge=1, le=S3_MAX_PARTS)
    ETag: str = Field(min_length=1, max_length=128)


class CompleteMultipart(LenientModel):
    """Companion's body of complete."""

    parts: list[CompanionPart] = Field(max_length=S3_MAX_PARTS)


@router.get("/params")
async def form_parameters(request: Request, caller: Caller) -> Response:
    """Sign a form for one file."""
    query = request.query_params
    metadata = {
        found[1]: value
        for name, value in query.multi_items()
        if (found := _METADATA_PARAMETER.fullmatch(name)) and value not in _NO_VALUE
    }
    wanted = new_upload(query.get("filename", ""), query.get("type"), metadata, as_post_upload=True)
    return json_response(await signed_form(request, caller, wanted))


async def signed_form(request: Request, caller: Principal, wanted: NewUpload) -> dict[str, Any]:
    """Create an upload that comes as a form and return what Uppy needs to send it."""
    gateway = gateway_of(request)
    upload, form = await create_post_upload(gateway, caller, wanted)
    return {
        "method": "POST",
        "url": form.url,
        "fields": form.fields,
        "expires": int((form.expires_at - gateway.now()).total_seconds()),
        "uploadId": str(upload.id),
    }


@router.post("/multipart")
async def create_multipart(request: Request, caller: Caller) -> Response:
    """Create an upload."""
    body = await read_json(request, CreateMultipart)
    gateway = gateway_of(request)
    upload = (await create(gateway, caller, new_upload(body.filename, body.type, body.metadata or {}))).upload
    return json_response({"key": upload.object_key, "uploadId": str(upload.id), "bucket": gateway.bucket})


@router.get("/multipart/{upload_id}")
async def list_multipart(request: Request, caller: Caller, upload_id: str) -> Response:
    """List every part, also once the upload is done: a client that lost that answer lists before it tries again."""
    parts = await list_parts(gateway_of(request), caller, upload_id_of(upload_id))
    return json_response([{"PartNumber": p.part_number, "ETag": f'"{p.etag}"', "Size": p.size_bytes} for p in parts])


@router.get("/multipart/{upload_id}/batch")
async def sign_batch(request: Request, caller: Caller, upload_id: str) -> Response:
    """Sign several parts."""
    numbers = [_part_number(text) for text in request.query_params.get("partNumbers", "").split(",")]
    if len(numbers) > MAX_PARTS_A_CALL:
        raise Invalid(f"At most {MAX_PARTS_A_CALL} parts are signed at once.")
    charge(request, len(numbers) // PARTS_PER_UNIT)
    signed = await _signed(request, caller, upload_id, numbers)
    return json_response({"presignedUrls": {str(part.part_number): part.request.url for part in signed}})


@router.get("/multipart/{upload_id}/{part_number}")
async def sign_part(request: Request, caller: Caller, upload_id: str, part_number: str) -> Response:
    """Sign one part."""
    signed = (await _signed(request, caller, upload_id, [_part_number(part_number)]))[0]
    left = signed.request.expires_at - gateway_of(request).now()
    return json_response(
        {
            "url": signed.request.url,
            "method": signed.request.method,
            "headers": signed.request.headers,
            "expires": max(1, int(left.total_seconds())),
        }
    )


@router.post("/multipart/{upload_id}/complete")
async def complete_multipart(request: Request, caller: Caller, upload_id: str) -> Response:
    """Assemble and check; the answer is the end of it."""
    body = await read_json(request, CompleteMultipart)
    charge(request, len(body.parts) // NAMED_PARTS_PER_UNIT)
    named = [ClientPart(part.PartNumber, bare_etag(part.ETag)) for part in body.parts]
    gateway = gateway_of(request)
    upload = await complete_fully(gateway, caller, upload_id_of(upload_id), named or None)
    answer = {"location": upload_location(request, upload), "key": upload.object_key, "bucket": gateway.bucket}
    return json_response(answer)


@router.delete("/multipart/{upload_id}")
async def abort_multipart(request: Request, caller: Caller, upload_id: str) -> Response:
    """Abort an upload and remove its parts."""
    await abort(gateway_of(request), caller, upload_id_of(upload_id))
    return json_response({})


def new_upload(
    filename: str, content_type: str | None, metadata: Mapping[str, Any], *, as_post_upload: bool = False
) -> NewUpload:
    """Declare a file as Uppy does: with a size only if the application put one into its metadata."""
    kept = dict(_texts(metadata))
    if len(kept) > MAX_METADATA:
        raise Invalid(f"metadata holds more than {MAX_METADATA} names: set allowedMetaFields.")
    return NewUpload(
        filename=filename,
        size_bytes=_size(kept.get("size")),
        content_type=content_type or None,
        metadata=kept,
        cut_by_client=True,
        as_post_upload=as_post_upload,
    )


def upload_location(request: Request, upload: Upload) -> str:
    """Return the address of the upload, which Uppy shows as the address of the file.

    Where the gateway does not know its own address, the path alone.
    """
    path = f"/v1/uploads/{upload.id}"
    try:
        return absolute_url(request, path)
    except UnknownHost:
        return location(request, path)


async def _signed(request: Request, caller: Principal, upload_id: str, numbers: list[int]) -> list[SignedPart]:
    return await sign(gateway_of(request), caller, upload_id_of(upload_id), [WantedPart(n) for n in numbers])


def _part_number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= S3_MAX_PARTS:
        return int(text)
    raise Invalid(f"A part number is 1 to {S3_MAX_PARTS}.")


def _texts(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Convert Uppy's metadata to text: it may hold numbers, null, or values of plugins."""
    kept = []
    for name, value in metadata.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if not 1 <= len(name) <= MAX_METADATA_NAME or len(text) > MAX_METADATA_VALUE:
            raise Invalid(f"metadata {name[:64]!r} is too long.")
        kept.append((name, text))
    return kept


def _size(text: str | None) -> int | None:
    """Return `meta.size` if it is a size; an application may have meant something else by that name."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 16:
        return None
    return int(text)
