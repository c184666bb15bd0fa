"""Look at the object's own bytes and decide: validating → ready or rejected."""

from __future__ import annotations

from typing import Any

from gateway import detection
from gateway.database import uploads
from gateway.database.uploads import Move
from gateway.detection import Verdict
from gateway.domain.errors import LeaseLost
from gateway.domain.media_types import match
from gateway.domain.upload import Rejection, State, Upload
from gateway.storage.errors import InvalidRange, NoSuchKey, PreconditionFailed
from gateway.storage.models import ObjectHead
from gateway.storage.s3 import S3Store
from gateway.uploads.gateway import Gateway

_CHANGED = Rejection("object_changed", "The object changed while it was checked. Upload the file again.")
_MISSING = Rejection("object_missing", "The store no longer holds the object. Upload the file again.")


class StoreReader:
    """Read ranges of one exact content: every read carries If-Match, so a replaced object is an error."""

    def __init__(self, store: S3Store, key: str, head: ObjectHead) -> None:
        self._store = store
        self._key = key
        self._etag = head.etag
        self.size_bytes = head.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        """Return up to *length* bytes from *start*; b'' past the end, where stores answer 416."""
        length = min(length, self.size_bytes - start)
        if length <= 0:
            return b""
        return await self._store.get_object_range(self._key, start, length, if_match=self._etag)


async def validate(gateway: Gateway, upload: Upload) -> Upload:
    """Check size, type and content of the assembled object and record the outcome.

    Raises Unavailable with the upload still validating, and LeaseLost when another process went on with it.
    """
    try:
        head = await gateway.store.head_object(upload.object_key, if_match=upload.observed_etag)
        rejection = _check_size(gateway, upload, head)
        verdict = None
        if rejection is None:
            verdict = await detection.inspect(StoreReader(gateway.store, upload.object_key, head))
            rejection = _check_type(gateway, upload, verdict)
    except (PreconditionFailed, InvalidRange):
        return await _reject(gateway, upload, _CHANGED, None)
    except NoSuchKey:
        return await _reject(gateway, upload, _MISSING, None)
    if rejection is not None or verdict is None:
        return await _reject(gateway, upload, rejection or _CHANGED, verdict)
    return await _accept(gateway, upload, head, verdict)


def _check_size(gateway: Gateway, upload: Upload, head: ObjectHead) -> Rejection | None:
    if head.size_bytes == 0:
        return Rejection("empty", "The file is empty.")
    if head.size_bytes > gateway.policy.max_file_size:
        return Rejection("file_too_large", f"The file is larger than {gateway.policy.max_file_size} bytes.")
    declared = upload.declared_size_bytes
    if declared is not None and head.size_bytes != declared:
        return Rejection("wrong_size", f"The file has {head.size_bytes} bytes; {declared} were declared.")
    return None


def _check_type(gateway: Gateway, upload: Upload, verdict: Verdict) -> Rejection | None:
    if not verdict.accepted or verdict.family is None or verdict.media_type is None or verdict.kind is None:
        return Rejection("type_not_recognised", verdict.reason or "The file is not audio or video.")
    if gateway.policy.type_mismatch == "accept":
        return None
    mismatch = match(verdict.family, verdict.media_type, verdict.kind, upload.extension, upload.declared_content_type)
    return Rejection(mismatch.code, mismatch.detail) if mismatch else None


async def _accept(gateway: Gateway, upload: Upload, head: ObjectHead, verdict: Verdict) -> Upload:
    facts: dict[str, Any] = {
        "size_bytes": head.size_bytes,
        "etag": head.etag,
        "content_type": verdict.media_type,
        "object_key": upload.object_key,
    }
    change = Move(
        after=State.VALIDATING,
        to=State.READY,
        fence=upload.lease_token,
        observed_size_bytes=head.size_bytes,
        observed_etag=head.etag,
        content_type=verdict.media_type,
        detection=verdict.to_dict(),
        data=facts,
    )
    return await _record(gateway, upload, change)


async def _reject(gateway: Gateway, upload: Upload, rejection: Rejection, verdict: Verdict | None) -> Upload:
    """Record the refusal first and delete after: a crash between the two leaves a row that the sweeper reads."""
    change = Move(
        after=State.VALIDATING,
        to=State.REJECTED,
        fence=upload.lease_token,
        detection=verdict.to_dict() if verdict else None,
        rejection=rejection,
        cleanup_pending=True,
        data={"code": rejection.code, "detail": rejection.detail},
    )
    return await _record(gateway, upload, change)


async def _record(gateway: Gateway, upload: Upload, change: Move) -> Upload:
    async with gateway.database.connection() as connection:
        moved = await uploads.move(connection, upload.id, change)
    if moved is None:
        raise LeaseLost
    return moved
