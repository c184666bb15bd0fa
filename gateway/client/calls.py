"""Describe the calls of `/v1/uploads`: method, path, body, and how to read the answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast
from urllib.parse import quote

import httpx

from gateway.client import models
from gateway.client.flow import Call, Endpoint, Flow, Pause, exchange, retry_after
from gateway.client.models import DownloadURL, SignedPart, StoredPart, Upload, UploadPage
from gateway.client.token_calls import page_params

# The gateway holds a request with `Prefer: wait` for 30 s at most. A proxy's usual idle limit is 30 s, too.
WAIT_SECONDS = 25
# The gateway holds `complete` for 20 s by default and a wait for 25 s. Above both, with time for a slow network.
_READ_SECONDS = 60.0

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
    """Ask for an upload; the same Idempotency-Key and body get the same upload."""
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
        retried_codes=frozenset({"idempotency_in_progress"}),
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
    """Ask for the parts that the store holds."""

    def parse(response: httpx.Response) -> tuple[StoredPart, ...]:
        return tuple(models.stored_part(part) for part in response.json()["parts"])

    return Call("GET", _path(upload_id, "/parts"), parse)


def _complete(upload_id: str, etags: Mapping[int, str] | None) -> Call[tuple[Upload, float]]:
    body: dict[str, Any] = {}
    if etags is not None:
        body["parts"] = [{"part_number": number, "etag": etags[number]} for number in sorted(etags)]

    def parse(response: httpx.Response) -> tuple[Upload, float]:
        return _upload(response), retry_after(response) or 0.0

    return Call("POST", _path(upload_id, "/complete"), parse, json=body, read_seconds=_READ_SECONDS)


def get(upload_id: str, wait_seconds: int | None = None) -> Call[Upload]:
    """Ask for an upload; with *wait_seconds* the gateway answers once the upload is final, or after that time."""
    headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else None
    return Call("GET", _path(upload_id), _upload, headers=headers, read_seconds=_READ_SECONDS if wait_seconds else 0.0)


def list_uploads(state: str | None, cursor: str | None, limit: int | None) -> Call[UploadPage]:
    """Ask for a page of uploads."""
    params = page_params(cursor, limit, state=state)
    return Call("GET", "/v1/uploads", lambda response: models.upload_page(response.json()), params=params)


def abort(upload_id: str) -> Call[None]:
    """Ask to abort an upload."""
    return Call("DELETE", _path(upload_id), _nothing)


def download_url(upload_id: str) -> Call[DownloadURL]:
    """Ask for the URL of a ready file."""

    def parse(response: httpx.Response) -> DownloadURL:
        return models.download_url(response.json())

    return Call("GET", _path(upload_id, "/download"), parse, headers={"Accept": "application/json"})


def complete(upload_id: str, etags: Mapping[int, str] | None, endpoint: Endpoint) -> Flow[Upload]:
    """Complete once: return the upload, final or (after a 202 and its Retry-After) still being checked."""
    upload, pause_seconds = yield from exchange(_complete(upload_id, etags), endpoint)
    if not upload.is_final:
        yield Pause(min(pause_seconds, WAIT_SECONDS))
    return upload


def wait(upload_id: str, timeout_seconds: float, endpoint: Endpoint) -> Flow[Upload]:
    """Ask until the upload is final or *timeout_seconds* have passed; return its last state."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        upload = yield from exchange(get(upload_id, max(1, min(WAIT_SECONDS, int(left)))), endpoint)
        if upload.is_final or time.monotonic() >= deadline:
            return upload
        # A gateway may ignore the preference and answer at once: do not ask in a tight loop.
        yield Pause(1.0)
