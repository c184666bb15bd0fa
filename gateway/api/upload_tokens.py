"""Translate `/v1/upload-tokens` into use cases and back."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from gateway.api import models
from gateway.api.addresses import absolute_url, location
from gateway.api.answers import json_response
from gateway.api.problems import responses
from gateway.api.requests import cursor_of, gateway_of, id_of, principal_of, read_json
from gateway.api.uploads import body_of
from gateway.database.upload_tokens import UploadToken
from gateway.domain.principal import Principal, require_own_key
from gateway.tokens.manage import NewToken, get_token, issue_token, list_tokens, revoke_token


async def _key_holder(request: Request) -> Principal:
    return require_own_key(await principal_of(request))


router = APIRouter(prefix="/v1/upload-tokens", tags=["upload tokens"])
KeyHolder = Annotated[Principal, Depends(_key_holder)]


@router.post(
    "",
    status_code=201,
    response_model=models.IssuedUploadToken,
    responses=responses(401, 403, 413, 415, 421, 422, 501, 503),
    openapi_extra=body_of(models.CreateUploadToken),
)
async def create_upload_token(request: Request, caller: KeyHolder) -> Response:
    """Create a token for one of your users: it creates and sees only its own uploads."""
    body = await read_json(request, models.CreateUploadToken)
    wanted = NewToken(
        expires_in_seconds=body.expires_in_seconds,
        policy=body.policy,
        max_files=body.max_files,
        max_size_bytes=body.max_size_bytes,
        metadata=body.metadata,
        allowed_origins=body.allowed_origins,
        allow_download=body.allow_download,
        part_checksums_required=body.part_checksums == "required",
    )
    issued = await issue_token(gateway_of(request), caller, wanted)
    answer = {
        "token": issued.text,
        "token_id": issued.token.id,
        "expires_at": issued.token.expires_at,
        "endpoint": absolute_url(request, f"/uppy/{issued.text}"),
    }
    return json_response(answer, 201, {"location": location(request, f"/v1/upload-tokens/{issued.token.id}")})


@router.get("", response_model=models.UploadTokenPage, responses=responses(401, 403, 422, 503))
async def list_upload_tokens(
    request: Request,
    caller: KeyHolder,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """List your upload tokens, newest first."""
    page, next_cursor = await list_tokens(gateway_of(request), caller, before=cursor_of(cursor), limit=limit)
    return json_response({"tokens": [_answer(token) for token in page], "next_cursor": next_cursor})


@router.get("/{token_id}", response_model=models.UploadToken, responses=responses(401, 403, 404, 503))
async def get_upload_token(request: Request, caller: KeyHolder, token_id: str) -> Response:
    """Get the limits of a token and the number of its files."""
    return json_response(_answer(await get_token(gateway_of(request), caller, _token_id(token_id))))


@router.delete("/{token_id}", status_code=204, response_class=Response, responses=responses(401, 403, 404, 503))
async def revoke_upload_token(request: Request, caller: KeyHolder, token_id: str) -> Response:
    """Revoke a token at once; URLs that were signed with it live on until they expire."""
    await revoke_token(gateway_of(request), caller, _token_id(token_id))
    return Response(status_code=204)


def _token_id(text: str) -> UUID:
    return id_of(text, "upload token")


def _answer(token: UploadToken) -> dict[str, Any]:
    return {
        "token_id": token.id,
        "policy": token.policy,
        "max_files": token.max_files,
        "max_size_bytes": token.max_size_bytes,
        "metadata": token.metadata,
        "allowed_origins": token.allowed_origins,
        "file_count": token.file_count,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "part_checksums": token.part_checksums or "optional",
    }
