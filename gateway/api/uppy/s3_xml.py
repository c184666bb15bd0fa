"""Speak as much of S3's XML as Uppy needs to create, list, complete and abort: checks and rights stay with us."""

from __future__ import annotations

import re
from typing import Annotated
from xml.sax.saxutils import escape

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from gateway.api.answers import NO_STORE
from gateway.api.requests import gateway_of, principal_of, read_body, settings_of, upload_id_of
from gateway.api.uploads import bare_etag
from gateway.api.uppy.companion import new_upload, upload_location
from gateway.api.uppy.complete_or_raise import complete_fully
from gateway.api.uppy.errors import XML_DECLARATION, S3Route
from gateway.domain.errors import Invalid
from gateway.domain.parts import S3_MAX_PARTS, ClientPart
from gateway.domain.principal import Principal
from gateway.storage.wire import Element, Malformed, parse_xml
from gateway.uploads.abort import abort
from gateway.uploads.create import create
from gateway.uploads.list_parts import list_parts

router = APIRouter(route_class=S3Route, include_in_schema=False)
Caller = Annotated[Principal, Depends(principal_of)]

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_UUID_PREFIX = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?=.)")


def filename_of(key: str) -> str:
    """Return the file name in a key that Uppy or an application proposes: `{random UUID}-{name}`."""
    return _UUID_PREFIX.sub("", key.rsplit("/", 1)[-1], count=1)


@router.post("")
async def create_multipart_upload(request: Request, caller: Caller) -> Response:
    """Create an upload (CreateMultipartUpload)."""
    filename = filename_of(request.query_params.get("key", ""))
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    gateway = gateway_of(request)
    upload = (await create(gateway, caller, new_upload(filename, content_type or None, {}))).upload
    return _xml(
        "InitiateMultipartUploadResult",
        f"<Bucket>{escape(gateway.bucket)}</Bucket><Key>{escape(upload.object_key)}</Key>"
        f"<UploadId>{upload.id}</UploadId>",
    )


@router.get("/{upload_id}")
async def list_multipart_parts(request: Request, caller: Caller, upload_id: str) -> Response:
    """List every part (ListParts), on one page."""
    parts = await list_parts(gateway_of(request), caller, upload_id_of(upload_id))
    listed = "".join(
        f"<Part><PartNumber>{part.part_number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag>"
        f"<Size>{part.size_bytes}</Size></Part>"
        for part in parts
    )
    return _xml("ListPartsResult", f"<UploadId>{escape(upload_id)}</UploadId><IsTruncated>false</IsTruncated>{listed}")


@router.post("/{upload_id}")
async def complete_multipart_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Assemble and check (CompleteMultipartUpload)."""
    body = await read_body(request, settings_of(request).max_body_bytes)
    gateway = gateway_of(request)
    upload = await complete_fully(gateway, caller, upload_id_of(upload_id), _named(body) or None)
    return _xml(
        "CompleteMultipartUploadResult",
        f"<Location>{escape(upload_location(request, upload))}</Location><Bucket>{escape(gateway.bucket)}</Bucket>"
        f"<Key>{escape(upload.object_key)}</Key><ETag>&quot;{escape(upload.observed_etag or '')}&quot;</ETag>",
    )


@router.delete("/{upload_id}")
async def abort_multipart_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Abort an upload (AbortMultipartUpload)."""
    await abort(gateway_of(request), caller, upload_id_of(upload_id))
    return Response(status_code=204)


def _named(body: bytes) -> list[ClientPart]:
    if not body.strip():
        return []
    try:
        found = [_part(element) for element in parse_xml(body).all("Part")]
    except (Malformed, ValueError):
        raise Invalid("The body is not what CompleteMultipartUpload takes.") from None
    if len(found) > S3_MAX_PARTS:
        raise Invalid(f"An upload has at most {S3_MAX_PARTS} parts.")
    return found


def _part(element: Element) -> ClientPart:
    number, etag = element.get("PartNumber"), bare_etag(element.get("ETag"))
    if not number.isascii() or not number.isdecimal() or len(number) > 5 or not etag or len(etag) > 128:
        raise ValueError("no part")
    return ClientPart(int(number), etag)


def _xml(name: str, content: str) -> Response:
    body = f'{XML_DECLARATION}<{name} xmlns="{_NAMESPACE}">{content}</{name}>'
    return Response(body.encode(), headers=NO_STORE, media_type="application/xml")
