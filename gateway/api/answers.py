"""Write answers: plain dictionaries through orjson, because validating our own output costs more than making it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.responses import Response

from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.uploads.download import can_download
from gateway.uploads.sign import SignedPart

NO_STORE = {"cache-control": "no-store"}
"""Answers carry URLs that are as good as keys while they live."""


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that no cache keeps."""
    return Response(
        orjson.dumps(content), status, headers={**NO_STORE, **(headers or {})}, media_type="application/json"
    )


def upload_answer(upload: Upload, principal: Principal) -> dict[str, Any]:
    """Return what *principal* may know of an upload: never the store's own UploadId or a lease."""
    plan = upload.plan
    rejection = upload.rejection
    return {
        "upload_id": upload.id,
        "state": upload.state,
        "filename": upload.filename,
        "size_bytes": upload.observed_size_bytes or upload.declared_size_bytes,
        "content_type": content_type_of(upload),
        "part_size_bytes": upload.part_size_bytes,
        "part_count": plan.part_count if plan else None,
        "object_key": upload.object_key,
        "bucket": None,
        **upload.place,
        "etag": upload.observed_etag if upload.state is State.READY else None,
        "version_id": upload.observed_version_id if upload.state is State.READY else None,
        "metadata": upload.metadata,
        "rejection": {"code": rejection.code, "detail": rejection.detail} if rejection else None,
        "detection": upload.detection,
        **observed_answer(upload),
        "can_download": can_download(principal, upload),
        "created_at": upload.created_at,
        "updated_at": upload.updated_at,
        "expires_at": upload.expires_at,
    }


def observed_answer(upload: Upload) -> dict[str, Any]:
    """Return the facts about the checked bytes that a caller acts on; None before the check."""
    detection = upload.detection or {}
    return {
        "complete": detection.get("complete"),
        "extension_mismatch": detection.get("extension_mismatch"),
        "suggested_filename": detection.get("suggested_filename"),
    }


def content_type_of(upload: Upload) -> str | None:
    """Return the observed type of a ready upload, and the declared one before."""
    return upload.content_type if upload.state is State.READY else upload.declared_content_type


def parts_answer(parts: Iterable[SignedPart]) -> list[dict[str, Any]]:
    """Return signed parts as the client sends them."""
    return [
        {
            "part_number": part.part_number,
            "size_bytes": part.size_bytes,
            "method": part.request.method,
            "url": part.request.url,
            "headers": part.request.headers,
            "expires_at": part.request.expires_at,
        }
        for part in parts
    ]
