"""Look at the object's own bytes and decide: validating → ready or rejected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway import detection
from gateway.context import Gateway
from gateway.database import transitions
from gateway.database.transitions import Transition
from gateway.detection import ScanResult, Verdict, scan_by_policy
from gateway.domain.errors import DatabaseUnavailable, GatewayError, LeaseLost
from gateway.domain.media_types import match
from gateway.domain.upload import Rejection, State, Upload
from gateway.storage.confirm_absent import require_absent
from gateway.storage.errors import InvalidRange, NoSuchKey, PreconditionFailed, StoreFull, StoreUnavailable
from gateway.streaming import disk
from gateway.uploads.content_reader import Contents, open_contents

logger = logging.getLogger(__name__)

_OUTAGES = (StoreUnavailable, StoreFull, DatabaseUnavailable)
"""They say nothing of this file, and pass. A scanner is not among them: one that a file kills looks like one away."""

_CHANGED = Rejection("object_changed", "The object changed while it was checked. Upload the file again.")
_MISSING = Rejection("object_missing", "The store no longer holds the object. Upload the file again.")


async def validate(gateway: Gateway, upload: Upload) -> Upload:
    """Check size, type and content of the assembled object and record the outcome.

    Raises whatever keeps it from being checked with the upload still validating, to be tried again, and LeaseLost when
    another process went on with it. What could not be checked for as long as an upload lives is rejected.
    """
    try:
        return await _decide(gateway, upload)
    except LeaseLost:
        raise
    except Exception as exc:
        code, said, detail = "internal", type(exc).__name__, ""
        if isinstance(exc, GatewayError):
            code, said, detail = exc.code, str(exc), exc.detail
        told = {"upload_id": str(upload.id), "code": code, "error": said}
        if isinstance(exc, _OUTAGES) or not _is_overdue(gateway, upload):
            logger.warning("could not check an upload; it is tried again", extra=told)
            raise
        logger.exception("could not check an upload in all its time; it is rejected", extra=told)
        sentence = f"The file could not be checked. {detail}".strip()
        return await _reject(gateway, upload, Rejection("not_checked", sentence), None)


def _is_overdue(gateway: Gateway, upload: Upload) -> bool:
    """Say whether the check has failed for long enough; no renewed lease moves updated_at, only a new state does."""
    return upload.updated_at + timedelta(seconds=gateway.policy.upload_seconds) <= gateway.now()


async def _decide(gateway: Gateway, upload: Upload) -> Upload:
    try:
        async with open_contents(gateway, upload) as contents:
            rejection, verdict = await judge(gateway, upload, contents)
    except (PreconditionFailed, InvalidRange):
        return await _reject(gateway, upload, _CHANGED, None)
    except NoSuchKey:
        await require_absent(gateway.store, upload.object_key, version_id=upload.observed_version_id)
        return await _reject(gateway, upload, _MISSING, None)
    except FileNotFoundError:
        return await _reject(gateway, upload, _MISSING, None)
    if rejection is not None or verdict is None:
        return await _reject(gateway, upload, rejection or _CHANGED, verdict)
    if upload.path is not None:
        await asyncio.to_thread(disk.put_in_place, Path(upload.path))
    return await _accept(gateway, upload, contents, verdict)


async def judge(gateway: Gateway, upload: Upload, contents: Contents) -> tuple[Rejection | None, Verdict | None]:
    """Look at one exact content and say why it is refused, or None, and what it was seen to be."""
    rejection = _check_size(gateway, upload, contents)
    if rejection is not None:
        return rejection, None
    verdict = await detection.inspect(contents)
    rejection = _check_type(gateway, upload, verdict)
    if rejection is None and (result := await scan(gateway, contents)):
        verdict = replace(verdict, scan=result)
        rejection = rejection_of(result)
    return rejection, verdict


def _check_size(gateway: Gateway, upload: Upload, head: Contents) -> Rejection | None:
    if head.size_bytes == 0:
        return Rejection("empty", "The file is empty.")
    limit = upload.size_limit(gateway.policy.max_file_size)
    if head.size_bytes > limit:
        return Rejection("file_too_large", f"The file is larger than {limit} bytes.")
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


async def _accept(gateway: Gateway, upload: Upload, head: Contents, verdict: Verdict) -> Upload:
    facts: dict[str, Any] = {
        "size_bytes": head.size_bytes,
        "etag": head.etag,
        "content_type": verdict.media_type,
        **({"object_key": upload.object_key} if upload.path is None else {"path": upload.path}),
    }
    change = Transition(
        from_state=State.VALIDATING,
        to_state=State.READY,
        fence=upload.lease_token,
        observed_size_bytes=head.size_bytes,
        observed_etag=head.etag,
        observed_version_id=head.version_id,
        content_type=verdict.media_type,
        detection=verdict.to_dict(),
        data=facts,
    )
    return await _record(gateway, upload, change)


async def _reject(gateway: Gateway, upload: Upload, rejection: Rejection, verdict: Verdict | None) -> Upload:
    """Record the refusal first and delete after: a crash between the two leaves a row that the sweeper reads."""
    change = Transition(
        from_state=State.VALIDATING,
        to_state=State.REJECTED,
        fence=upload.lease_token,
        detection=verdict.to_dict() if verdict else None,
        rejection=rejection,
        cleanup_pending=True,
        data={"code": rejection.code, "detail": rejection.detail},
    )
    return await _record(gateway, upload, change)


async def _record(gateway: Gateway, upload: Upload, change: Transition) -> Upload:
    async with gateway.database.connection() as connection:
        moved = await transitions.apply(connection, upload.id, change)
    if moved is None:
        raise LeaseLost
    return moved


# One read of the store, and all that is held of the file at a time.
CHUNK_BYTES = 1024 * 1024


async def scan(gateway: Gateway, contents: Contents) -> ScanResult | None:
    """Read one exact content through the scanner; None where there is no scanner.

    Raises ScannerUnavailable when nobody answers and the policy is `fail_closed`: the upload is then tried again.
    """
    if gateway.scanner is None:
        return None
    return await scan_by_policy(gateway.scanner, gateway.scanner_policy, _chunks(contents), contents.size_bytes)


def rejection_of(result: ScanResult | None) -> Rejection | None:
    """Say why a scanned file is refused, None when it is not."""
    if result is None or result.clean:
        return None
    if result.signature:
        return Rejection("malware_found", f"The scanner found {result.signature} in the file.")
    return Rejection("not_scanned", result.skipped_reason or "The file could not be scanned.")


async def _chunks(contents: Contents) -> AsyncIterator[bytes]:
    for start in range(0, contents.size_bytes, CHUNK_BYTES):
        yield await contents.read(start, CHUNK_BYTES)
