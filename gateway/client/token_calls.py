"""Describe the calls of `/v1/upload-tokens` and hold their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from gateway.client.flow import Call
from gateway.client.models import need_time, read_time

_PATH = "/v1/upload-tokens"


@dataclass(frozen=True, slots=True)
class IssuedUploadToken:
    """Hold a new upload token for one user, and the `endpoint` for Uppy; both are secrets and never shown."""

    token: str = field(repr=False)
    token_id: str
    expires_at: datetime
    endpoint: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadToken:
    """Describe the limits of a token and its number of files. The gateway does not keep the token itself."""

    token_id: str
    policy: str
    max_files: int | None
    max_size_bytes: int | None
    metadata: Mapping[str, Any]
    allowed_origins: tuple[str, ...]
    file_count: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class UploadTokenPage:
    """Hold one page of upload tokens. Pass `next_cursor` as `cursor` for the next page; None is the end."""

    tokens: tuple[UploadToken, ...]
    next_cursor: str | None


def create(body: Mapping[str, Any]) -> Call[IssuedUploadToken]:
    """Ask for an upload token; fields that are None are left out."""

    def parse(response: httpx.Response) -> IssuedUploadToken:
        answer = response.json()
        return IssuedUploadToken(
            answer["token"], answer["token_id"], need_time(answer["expires_at"]), answer.get("endpoint", "")
        )

    return Call("POST", _PATH, parse, json={name: value for name, value in body.items() if value is not None})


def get(token_id: str) -> Call[UploadToken]:
    """Ask for the limits of a token and its number of files."""
    return Call("GET", f"{_PATH}/{quote(token_id, safe='')}", lambda response: _token(response.json()))


def list_page(cursor: str | None, limit: int | None) -> Call[UploadTokenPage]:
    """Ask for a page of tokens."""

    def parse(response: httpx.Response) -> UploadTokenPage:
        body = response.json()
        return UploadTokenPage(tuple(_token(item) for item in body["tokens"]), body.get("next_cursor"))

    return Call("GET", _PATH, parse, params=page_params(cursor, limit))


def revoke(token_id: str) -> Call[None]:
    """Ask to revoke a token."""
    return Call("DELETE", f"{_PATH}/{quote(token_id, safe='')}", lambda _: None)


def page_params(cursor: str | None, limit: int | None, **more: str | None) -> dict[str, str]:
    """Return the query of a list request without the parameters that are None."""
    asked = {**more, "cursor": cursor, "limit": None if limit is None else str(limit)}
    return {name: value for name, value in asked.items() if value is not None}


def token_body(
    expires_in_seconds: int,
    max_files: int | None,
    max_size_bytes: int | None,
    metadata: Mapping[str, str] | None,
    allowed_origins: Sequence[str] | None,
    policy: str | None,
    allow_download: bool,
) -> dict[str, Any]:
    """Return the body of a create request."""
    return {
        "expires_in_seconds": expires_in_seconds,
        "max_files": max_files,
        "max_size_bytes": max_size_bytes,
        "metadata": dict(metadata) if metadata else None,
        "allowed_origins": list(allowed_origins) if allowed_origins else None,
        "policy": policy,
        "allow_download": allow_download or None,
    }


def _token(body: Mapping[str, Any]) -> UploadToken:
    return UploadToken(
        token_id=body["token_id"],
        policy=body["policy"],
        max_files=body["max_files"],
        max_size_bytes=body["max_size_bytes"],
        metadata=dict(body["metadata"] or {}),
        allowed_origins=tuple(body["allowed_origins"] or ()),
        file_count=body["file_count"],
        created_at=need_time(body["created_at"]),
        expires_at=need_time(body["expires_at"]),
        revoked_at=read_time(body.get("revoked_at")),
    )
