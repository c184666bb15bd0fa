"""Describe each call of the gateway's API: method, path, body, and how to read the answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast
from urllib.parse import quote

import httpx

from gateway.client import models
from gateway.client.flow import Call, Flow, Pause, Retry, exchange, retry_after
from gateway.client.models import DownloadURL, SignedPart, StoredPart, Upload, UploadPage

# The gateway holds a request with `Prefer: wait` for 30 s at most; below that no proxy's 30 s idle limit cuts it.
WAIT_SECONDS = 25

PartChecksums = Literal["sha256"] | list[str]


def _path(upload_id: str, rest: str = "") -> str:
    return f"/v1/uploads/{quote(upload_id, safe='')}{rest}"


def _upload(response: httpx.Response) -> Upload:
    return models.upload(response.json())


def _nothing(_: httpx.Response) -> None:
    return None


def create(
    filename: str,
    size_bytes: int,
    *,
    content_type: str | None,
    part_size_bytes: int | None,
    metadata: Mapping[str, str] | None,
    part_checksums: PartChecksums | None,
    idempotency_key: str,
) -> Call[Upload]:
    """Ask for an upload; the same key and body get the same upload."""
    body: dict[str, Any] = {"filename": filename, "size_bytes": size_bytes}
    optional: dict[str, Any] = {
        "content_type": content_type,
        "part_size_bytes": part_size_bytes,
        "metadata": dict(metadata) if metadata else None,
        "part_checksums": part_checksums,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    return Call(
        "POST",
        "/v1/uploads",
        _upload,
        json=body,
        headers={"Idempotency-Key": idempotency_key},
        patient_codes=frozenset({"idempotency_in_progress"}),
    )


def sign(upload_id: str, parts: Iterable[int] | Mapping[int, str]) -> Call[tuple[SignedPart, ...]]:
    """Ask for part URLs: part numbers, or a mapping of part number to the part's base64 SHA-256; up to 1,000."""
    if isinstance(parts, Mapping):
        named = cast("Mapping[int, str]", parts)
        body: dict[str, Any] = {
            "parts": [{"part_number": number, "checksum_sha256": checksum} for number, checksum in named.items()]
        }
    else:
        body = {"part_numbers": list(parts)}

    def parse(response: httpx.Response) -> tuple[SignedPart, ...]:
        return tuple(models.signed_part(part) for part in response.json()["parts"])

    return Call("POST", _path(upload_id, "/parts/sign"), parse, json=body)


def list_parts(upload_id: str) -> Call[tuple[StoredPart, ...]]:
    """Ask what the store holds."""

    def parse(response: httpx.Response) -> tuple[StoredPart, ...]:
        return tuple(models.stored_part(part) for part in response.json()["parts"])

    return Call("GET", _path(upload_id, "/parts"), parse)


def _complete(upload_id: str, etags: Mapping[int, str] | None) -> Call[tuple[Upload, float]]:
    body: dict[str, Any] = {}
    if etags is not None:
        body["parts"] = [{"part_number": number, "etag": etags[number]} for number in sorted(etags)]

    def parse(response: httpx.Response) -> tuple[Upload, float]:
        return _upload(response), retry_after(response) or 0.0

    return Call("POST", _path(upload_id, "/complete"), parse, json=body)


def get(upload_id: str, wait_seconds: int | None = None) -> Call[Upload]:
    """Ask for an upload; with *wait_seconds* the gateway answers when it is final or the time is over."""
    headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else None
    return Call("GET", _path(upload_id), _upload, headers=headers)


def list_uploads(state: str | None, cursor: str | None, limit: int | None) -> Call[UploadPage]:
    """Ask for a page of uploads."""
    asked = {"state": state, "cursor": cursor, "limit": None if limit is None else str(limit)}
    params = {name: value for name, value in asked.items() if value is not None}
    return Call("GET", "/v1/uploads", lambda response: models.upload_page(response.json()), params=params)


def abort(upload_id: str) -> Call[None]:
    """Ask to give an upload up."""
    return Call("DELETE", _path(upload_id), _nothing)


def download_url(upload_id: str) -> Call[DownloadURL]:
    """Ask for the address of a ready object."""

    def parse(response: httpx.Response) -> DownloadURL:
        return models.download_url(response.json())

    return Call("GET", _path(upload_id, "/download"), parse, headers={"Accept": "application/json"})


def complete(upload_id: str, etags: Mapping[int, str] | None, retry: Retry) -> Flow[Upload]:
    """Complete once: return the upload, final or (after a 202 and its Retry-After) still being checked."""
    upload, pause_seconds = yield from exchange(_complete(upload_id, etags), retry)
    if not upload.is_final:
        yield Pause(min(pause_seconds, WAIT_SECONDS))
    return upload


def wait(upload_id: str, timeout_seconds: float, retry: Retry) -> Flow[Upload]:
    """Ask until the upload is final or the time is over; return it as it is then."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        upload = yield from exchange(get(upload_id, max(1, min(WAIT_SECONDS, int(left)))), retry)
        if upload.is_final or time.monotonic() >= deadline:
            return upload
        # The gateway may not honour the preference; then this keeps the loop from spinning.
        yield Pause(1.0)
