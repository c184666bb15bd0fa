"""Translate `/v1/uploads` into use cases and back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from gateway.api import models
from gateway.api.addresses import location
from gateway.api.answers import json_response, parts_answer, upload_answer
from gateway.api.problems import responses
from gateway.api.rate_limits import NAMED_PARTS_PER_UNIT, PARTS_PER_UNIT, ROWS_PER_UNIT, caller_name, charge
from gateway.api.requests import (
    cursor_of,
    gateway_of,
    idempotency_key_of,
    principal_of,
    read_json,
    upload_id_of,
    wait_of,
)
from gateway.domain.errors import Invalid
from gateway.domain.parts import ClientPart
from gateway.domain.principal import Principal
from gateway.domain.upload import State
from gateway.uploads.abort import abort
from gateway.uploads.access import list_page, load, request_check, wait_until
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.download import download
from gateway.uploads.list_parts import list_parts
from gateway.uploads.sign import WantedPart, sign

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
Caller = Annotated[Principal, Depends(principal_of)]

COMPLETE_RETRY_SECONDS = 2
"""An upload that is not final within the time budget usually is within seconds; clients may also wait by `Prefer`."""


def body_of(model: type[Any], *, required: bool = True) -> dict[str, Any]:
    """Describe a JSON body for OpenAPI; routes read it themselves, bounded and strict."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "",
    status_code=201,
    response_model=models.CreatedUpload,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 502, 503),
    openapi_extra=body_of(models.CreateUpload)
    | {
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 255},
                "description": "The same key and body get the same answer for a day.",
            }
        ]
    },
)
async def create_upload(request: Request, caller: Caller) -> Response:
    """Create an upload and get the URLs of its first 100 parts."""
    body = await read_json(request, models.CreateUpload)
    wanted = NewUpload(
        filename=body.filename,
        size_bytes=body.size_bytes,
        content_type=body.content_type,
        part_size_bytes=body.part_size_bytes,
        metadata=body.metadata,
        part_checksums=body.part_checksums,
    )
    created = await create(gateway_of(request), caller, wanted, idempotency_key_of(request))
    answer = upload_answer(created.upload, caller) | {"parts": parts_answer(created.parts)}
    return json_response(answer, 201, {"location": location(request, f"/v1/uploads/{created.upload.id}")})


@router.get("", response_model=models.UploadPage, responses=responses(401, 403, 422, 503))
async def list_uploads(
    request: Request,
    caller: Caller,
    state: State | None = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """List your uploads, newest first."""
    charge(request, (limit - 1) // ROWS_PER_UNIT)
    page, next_cursor = await list_page(gateway_of(request), caller, state=state, before=cursor_of(cursor), limit=limit)
    return json_response({"uploads": [upload_answer(upload, caller) for upload in page], "next_cursor": next_cursor})


@router.get("/{upload_id}", response_model=models.Upload, responses=responses(401, 403, 404, 503))
async def get_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Get an upload; with `Prefer: wait=N`, wait up to 30 s for a final state."""
    gateway, identity = gateway_of(request), upload_id_of(upload_id)
    seconds = wait_of(request)
    if seconds == 0:
        found = await load(gateway, caller, identity)
        await request_check(gateway, found)
        return json_response(upload_answer(found, caller))
    upload = await wait_until(gateway, caller, identity, seconds=seconds)
    return json_response(upload_answer(upload, caller), headers={"preference-applied": f"wait={seconds:.0f}"})


@router.delete(
    "/{upload_id}", status_code=204, response_class=Response, responses=responses(401, 403, 404, 409, 502, 503)
)
async def abort_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Abort an upload and remove its parts. It may be repeated."""
    await abort(gateway_of(request), caller, upload_id_of(upload_id))
    return Response(status_code=204)


@router.post(
    "/{upload_id}/parts/sign",
    response_model=models.SignedParts,
    responses=responses(401, 403, 404, 409, 410, 413, 415, 422, 503),
    openapi_extra=body_of(models.SignParts),
)
async def sign_parts(request: Request, caller: Caller, upload_id: str) -> Response:
    """Get fresh URLs for up to 1,000 parts."""
    body = await read_json(request, models.SignParts)
    if (body.part_numbers is None) == (body.parts is None):
        raise Invalid("Give either part_numbers or parts.")
    wanted = [WantedPart(number) for number in body.part_numbers or ()]
    wanted += [WantedPart(part.part_number, part.checksum_sha256) for part in body.parts or ()]
    charge(request, len(wanted) // PARTS_PER_UNIT)
    if len(wanted) < PARTS_PER_UNIT:
        signed = await sign(gateway_of(request), caller, upload_id_of(upload_id), wanted)
    else:
        async with gateway_of(request).heavy.held(caller_name(request)):
            signed = await sign(gateway_of(request), caller, upload_id_of(upload_id), wanted)
    return json_response({"parts": parts_answer(signed)})


@router.get(
    "/{upload_id}/parts", response_model=models.StoredParts, responses=responses(401, 403, 404, 409, 410, 502, 503)
)
async def get_parts(request: Request, caller: Caller, upload_id: str) -> Response:
    """List the parts that the store really holds."""
    listed = await list_parts(gateway_of(request), caller, upload_id_of(upload_id))
    parts = [
        {
            "part_number": part.part_number,
            "size_bytes": part.size_bytes,
            "etag": part.etag,
            "checksum_sha256": part.checksum_sha256,
        }
        for part in listed
    ]
    return json_response({"parts": parts})


@router.post(
    "/{upload_id}/complete",
    response_model=models.Upload,
    responses=responses(401, 403, 404, 409, 410, 413, 415, 422, 502, 503)
    | {202: {"model": models.Upload, "description": "It goes on; ask again."}},
    openapi_extra=body_of(models.CompleteUpload, required=False),
)
async def complete_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Assemble the parts and validate the object; answer `ready`, `rejected`, or 202 while validation continues."""
    body = await read_json(request, models.CompleteUpload, optional=True)
    named = None
    if body.parts is not None:
        charge(request, len(body.parts) // NAMED_PARTS_PER_UNIT)
        named = [ClientPart(part.part_number, bare_etag(part.etag)) for part in body.parts]
    upload = await complete(gateway_of(request), caller, upload_id_of(upload_id), named)
    if upload.is_final:
        return json_response(upload_answer(upload, caller))
    return json_response(upload_answer(upload, caller), 202, {"retry-after": str(COMPLETE_RETRY_SECONDS)})


@router.head("/{upload_id}/download", include_in_schema=False)
@router.get(
    "/{upload_id}/download",
    status_code=307,
    response_class=Response,
    responses=responses(401, 403, 404, 409, 422, 503)
    | {200: {"model": models.Download, "description": "With `?redirect=false` or `Accept: application/json`."}},
)
async def download_upload(
    request: Request,
    caller: Caller,
    upload_id: str,
    redirect: Annotated[bool, Query(description="false: answer with JSON, for clients that send the key on.")] = True,
) -> Response:
    """Get a short-lived URL of a ready file, as a redirect or as JSON.

    Some clients send their Authorization header to the redirect's target as well, and some stores refuse a request with
    two kinds of credentials. Such a client asks for JSON and fetches the URL without the header.
    """
    # A URL is signed for one method, and a client follows the redirect with the method that it began with.
    method: Literal["GET", "HEAD"] = "HEAD" if request.method == "HEAD" else "GET"
    as_json = not redirect or "application/json" in request.headers.get("accept", "")
    signed = await download(gateway_of(request), caller, upload_id_of(upload_id), method="GET" if as_json else method)
    if as_json:
        return json_response({"url": signed.url, "expires_at": signed.expires_at})
    return Response(status_code=307, headers={"location": signed.url, "cache-control": "no-store"})


def bare_etag(etag: str) -> str:
    """Strip quotes and the weak mark: clients read ETags from headers, lists and XML, each written another way."""
    return etag.strip().removeprefix("W/").strip('"')
