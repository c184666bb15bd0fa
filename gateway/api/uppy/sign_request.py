"""Answer Uppy 6's `signRequest`: the store's URLs for what carries bytes, the gateway's own for all the rest.

An application's `signRequest` posts Uppy's request object here, with its key or token, and returns the answer.
Creating, listing, completing and aborting then come to `/s3xml`, with the same authorization.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from gateway.api.addresses import absolute_url
from gateway.api.answers import json_response
from gateway.api.models import Hint
from gateway.api.requests import gateway_of, principal_of, read_json, upload_id_of
from gateway.api.uppy.companion import LenientModel, new_upload, signed_form
from gateway.api.uppy.errors import CompanionRoute
from gateway.api.uppy.s3_xml import filename_of
from gateway.domain.errors import Invalid
from gateway.domain.parts import S3_MAX_PARTS
from gateway.domain.principal import Principal
from gateway.uploads.sign import WantedPart, sign

router = APIRouter(route_class=CompanionRoute, include_in_schema=False)
Caller = Annotated[Principal, Depends(principal_of)]


class SignRequest(LenientModel):
    """Uppy's request object; *key* is a wish that only its last segment, the file's name, is taken from."""

    method: Literal["PUT", "POST", "GET", "DELETE"]
    key: str = Field(min_length=1, max_length=2048)
    upload_id: str | None = Field(None, alias="uploadId", max_length=64)
    part_number: int | None = Field(None, alias="partNumber", ge=1, le=S3_MAX_PARTS)
    content_type: Hint = Field(None, alias="contentType")


@router.post("/uppy/sign")
@router.post("/uppy/{token}/sign")
async def sign_request(request: Request, caller: Caller) -> Response:
    """Sign one request of Uppy's."""
    wanted = await read_json(request, SignRequest)
    if wanted.upload_id is None:
        return json_response(await _without_upload(request, caller, wanted))
    upload_id = upload_id_of(wanted.upload_id)
    if wanted.method == "PUT":
        if wanted.part_number is None:
            raise Invalid("partNumber is missing.")
        part = (await sign(gateway_of(request), caller, upload_id, [WantedPart(wanted.part_number)]))[0]
        return json_response({"url": part.request.url, "headers": part.request.headers})
    return json_response(_own(request, f"/{upload_id}"))


async def _without_upload(request: Request, caller: Principal, wanted: SignRequest) -> dict[str, Any]:
    """Sign what begins an upload: a form, or the create of a multipart upload."""
    if wanted.method == "POST":
        return _own(request, f"?uploads&key={quote(wanted.key, safe='')}")
    if wanted.method != "PUT":
        raise Invalid("An object can be neither read nor deleted by its key: use the API of the gateway.")
    upload = new_upload(filename_of(wanted.key), wanted.content_type, {}, as_post_upload=True)
    form = await signed_form(request, caller, upload)
    return {"url": form["url"], "fields": form["fields"], "uploadId": form["uploadId"]}


def _own(request: Request, path: str) -> dict[str, Any]:
    """Return an address of this gateway, with the token of this request."""
    token = request.path_params.get("token")
    if token is not None:
        return {"url": absolute_url(request, f"/uppy/{token}/s3xml{path}")}
    return {
        "url": absolute_url(request, f"/s3xml{path}"),
        "headers": {"Authorization": request.headers["authorization"]},
    }
