"""Check the assembled object's bytes and record the result: ready or rejected."""

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
from gateway.detection import ScanResult, scan_by_policy
from gateway.domain.errors import DatabaseUnavailable, GatewayError, LeaseLost
from gateway.domain.rejection import Rejection, RejectionCode
from gateway.domain.transition import Transition, rejected
from gateway.domain.upload import State, Upload
from gateway.storage.confirm_absent import require_absent
from gateway.storage.errors import InvalidRange, NoSuchKey, PreconditionFailed, StoreFull, StoreUnavailable
from gateway.streaming import disk
from gateway.uploads.content_reader import Contents, open_contents
from gateway.uploads.decide import Decision, decide

logger = logging.getLogger(__name__)

_OUTAGES = (StoreUnavailable, StoreFull, DatabaseUnavailable)
"""Temporary outages: retry, never reject. A scanner is not among them: one file can make it crash every time."""

_CHANGED = Rejection(RejectionCode.OBJECT_CHANGED, "The object changed while it was checked. Upload the file again.")
_MISSING = Rejection(RejectionCode.OBJECT_MISSING, "The store no longer holds the object. Upload the file again.")

QUICK_CHECK_SECONDS = 0.25
"""Time that a check may take before `validating` is written: most checks end sooner, and one statement is enough."""

CHUNK_BYTES = 1024 * 1024
"""Bytes of one read of the store for the scanner, and the most of the file that is in memory."""


async def validate(gateway: Gateway, upload: Upload) -> Upload:
    """Check size, type and content of the assembled object and record the result: ready or rejected.

    The state `validating` is written when the check fails or takes longer than QUICK_CHECK_SECONDS; the check goes on
    meanwhile. The result of a quick check is written together with the event of `validating`.

    Raises any error that keeps the file from being checked; the upload stays validating and is tried again. A file that
    could not be checked for as long as an upload lives is rejected. Raises LeaseLost when another process took over.
    """
    checking = asyncio.create_task(_check(gateway, upload))
    try:
        if upload.state is State.COMPLETING and not await _ends_soon(checking):
            upload = await _begin_validating(gateway, upload)
        change = await _result(gateway, upload, checking)
    finally:
        checking.cancel()
        await asyncio.wait({checking})
    if upload.state is State.COMPLETING:
        change = replace(
            change,
            from_state=State.COMPLETING,
            via=State.VALIDATING,
            observed_etag=change.observed_etag or upload.observed_etag,
            observed_version_id=change.observed_version_id
            if change.to_state is State.READY
            else upload.observed_version_id,
        )
    return await _apply(gateway, upload, change)


async def _ends_soon(checking: asyncio.Task[Transition]) -> bool:
    """Say whether the check ends within QUICK_CHECK_SECONDS with a result."""
    await asyncio.wait({checking}, timeout=QUICK_CHECK_SECONDS)
    return checking.done() and not checking.cancelled() and checking.exception() is None


async def _begin_validating(gateway: Gateway, upload: Upload) -> Upload:
    """Record the assembled object: after a crash another process checks the same content."""
    change = Transition(
        State.COMPLETING,
        State.VALIDATING,
        fence=upload.lease_token,
        lease_token=upload.lease_token,
        lease_seconds=gateway.policy.lease_seconds,
        observed_etag=upload.observed_etag,
        observed_version_id=upload.observed_version_id,
    )
    return await _apply(gateway, upload, change)


async def _result(gateway: Gateway, upload: Upload, checking: asyncio.Task[Transition]) -> Transition:
    """Return the transition that the check decided, or a rejection when it failed for an upload's whole lifetime."""
    try:
        return await checking
    except Exception as exc:
        code, error, detail = "internal", type(exc).__name__, ""
        if isinstance(exc, GatewayError):
            code, error, detail = exc.code, str(exc), exc.detail
        fields = {"upload_id": str(upload.id), "code": code, "error": error}
        if isinstance(exc, _OUTAGES) or not _is_overdue(gateway, upload):
            logger.warning("could not check an upload; trying again", extra=fields)
            raise
        logger.exception("could not check an upload in its whole lifetime; rejecting it", extra=fields)
        sentence = f"The file could not be checked. {detail}".strip()
        return _rejection(upload, Rejection(RejectionCode.NOT_CHECKED, sentence))


def _is_overdue(gateway: Gateway, upload: Upload) -> bool:
    """Say whether the check has failed for long enough. Only a transition writes updated_at, not a renewal."""
    return upload.updated_at + timedelta(seconds=gateway.policy.upload_seconds) <= gateway.now()


async def _check(gateway: Gateway, upload: Upload) -> Transition:
    """Check the content and return the transition that records the result."""
    try:
        async with open_contents(gateway, upload) as contents:
            rejection, decision = await judge(gateway, upload, contents)
    except (PreconditionFailed, InvalidRange):
        return _rejection(upload, _CHANGED)
    except NoSuchKey:
        await require_absent(gateway.store, upload.object_key, version_id=upload.observed_version_id)
        return _rejection(upload, _MISSING)
    except FileNotFoundError:
        return _rejection(upload, _MISSING)
    if rejection is not None or decision is None:
        return _rejection(upload, rejection or _CHANGED, decision)
    if upload.path is not None:
        await asyncio.to_thread(disk.put_in_place, Path(upload.path))
    return _acceptance(upload, contents, decision)


async def judge(gateway: Gateway, upload: Upload, contents: Contents) -> tuple[Rejection | None, Decision | None]:
    """Check one exact content. Return why it is rejected, or None, and the decision about its bytes and name."""
    rejection = _check_size(gateway, upload, contents)
    if rejection is not None:
        return rejection, None
    decision = decide(gateway.policy, upload.filename, await detection.inspect(contents))
    rejection = decision.rejection
    if rejection is None and (result := await scan(gateway, contents)):
        decision = replace(decision, verdict=replace(decision.verdict, scan=result))
        rejection = rejection_of(result)
    return rejection, decision


def _check_size(gateway: Gateway, upload: Upload, contents: Contents) -> Rejection | None:
    if contents.size_bytes == 0:
        return Rejection(RejectionCode.EMPTY, "The file is empty.")
    limit = upload.size_limit(gateway.policy.max_file_size)
    if contents.size_bytes > limit:
        return Rejection(RejectionCode.FILE_TOO_LARGE, f"The file is larger than {limit} bytes.")
    declared = upload.declared_size_bytes
    if declared is not None and contents.size_bytes != declared:
        detail = f"The file has {contents.size_bytes} bytes; {declared} were declared."
        return Rejection(RejectionCode.WRONG_SIZE, detail)
    return None


def _acceptance(upload: Upload, contents: Contents, decision: Decision) -> Transition:
    verdict = decision.verdict
    facts: dict[str, Any] = {
        "size_bytes": contents.size_bytes,
        "etag": contents.etag,
        "content_type": verdict.media_type,
        "complete": verdict.complete,
        "duration_seconds": verdict.duration_seconds,
        "extension_mismatch": decision.naming.extension_mismatch,
        "suggested_filename": decision.naming.suggested_filename,
        "version_id": contents.version_id,
        **upload.place,
    }
    return Transition(
        State.VALIDATING,
        State.READY,
        fence=upload.lease_token,
        observed_size_bytes=contents.size_bytes,
        observed_etag=contents.etag,
        observed_version_id=contents.version_id,
        content_type=verdict.media_type,
        detection=decision.to_dict(),
        data=facts,
    )


def _rejection(upload: Upload, rejection: Rejection, decision: Decision | None = None) -> Transition:
    """Record the rejection first and delete the file later: after a crash between the two, the sweeper deletes it."""
    detected = decision.to_dict() if decision else None
    return rejected(State.VALIDATING, rejection, fence=upload.lease_token, detection=detected)


async def _apply(gateway: Gateway, upload: Upload, change: Transition) -> Upload:
    applied = await gateway.uploads.apply(upload.id, change)
    if applied is None:
        raise LeaseLost
    return applied


async def scan(gateway: Gateway, contents: Contents) -> ScanResult | None:
    """Read one exact content through the scanner; None where no scanner is configured.

    Raises ScannerUnavailable when the scanner does not respond and the policy is `fail_closed`.
    """
    if gateway.scanner is None:
        return None
    return await scan_by_policy(gateway.scanner, gateway.scanner_policy, _chunks(contents), contents.size_bytes)


def rejection_of(result: ScanResult | None) -> Rejection | None:
    """Return why a scanned file is rejected, or None."""
    if result is None or result.clean:
        return None
    if result.signature:
        return Rejection(RejectionCode.MALWARE_FOUND, f"The scanner found {result.signature} in the file.")
    return Rejection(RejectionCode.NOT_SCANNED, result.skipped_reason or "The file could not be scanned.")


async def _chunks(contents: Contents) -> AsyncIterator[bytes]:
    for start in range(0, contents.size_bytes, CHUNK_BYTES):
        yield await contents.read(start, CHUNK_BYTES)
