"""Sign part URLs of an upload that is still open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import Invalid, TokenExhausted, WrongState
from gateway.domain.parts import S3_MIN_PART_SIZE
from gateway.domain.principal import Principal
from gateway.domain.upload import Upload
from gateway.storage.presign import PartToSign, SignedRequest
from gateway.uploads.access import load, require_uploading
from gateway.uploads.expiry import extend_expiry
from gateway.uploads.list_parts import check_room

MAX_PARTS_A_CALL = 1000
"""S3 pages ListParts by 1,000, so clients already think in such pages; an answer is then about 600 kB."""

PARTS_PER_STEP = 100
"""Parts that are signed without a pause: about a millisecond."""
URLS_PER_PART = 5
"""URLs without a signed length for each 5 MiB that may be sent: clients sign a part again before each retry."""

UNSIZED_SECONDS = 900
"""Longest life of such a URL: clients of these protocols sign each part just before they send it."""


@dataclass(frozen=True, slots=True)
class SignedPart:
    """One part and the request that carries it."""

    part_number: int
    size_bytes: int | None
    request: SignedRequest


@dataclass(frozen=True, slots=True)
class WantedPart:
    """Ask for one part's URL; the checksum is base64 of the SHA-256 of its bytes."""

    part_number: int
    checksum_sha256: str | None = None


async def sign(
    gateway: Gateway, principal: Principal, upload_id: UUID, wanted: Sequence[WantedPart]
) -> list[SignedPart]:
    """Sign up to 1,000 parts in the order asked for.

    Raises NotFound, Gone, WrongState, and Invalid for a number outside the plan or a missing or unexpected checksum;
    TooLarge for an upload without a plan that exceeds its limit or would do so.
    """
    loaded = await load(gateway, principal, upload_id)
    await gateway.store_checks.require_safe()
    upload = await extend_expiry(gateway, loaded)
    if upload.plan is None:
        require_uploading(gateway, upload)
        await check_room(gateway, principal, upload, [part.part_number for part in wanted])
        await _count_unsized(gateway, upload, wanted)
    signed: list[SignedPart] = []
    for start in range(0, len(wanted), PARTS_PER_STEP):
        signed += sign_parts(gateway, upload, wanted[start : start + PARTS_PER_STEP])
        # Signing needs only CPU: let other requests run meanwhile.
        await asyncio.sleep(0)
    checksums = {part.part_number: part.checksum_sha256 for part in wanted if part.checksum_sha256 is not None}
    if checksums:
        await gateway.uploads.remember_checksums(upload.id, checksums)
    return signed


async def _count_unsized(gateway: Gateway, upload: Upload, wanted: Sequence[WantedPart]) -> None:
    """Raise TokenExhausted when more URLs without a signed length are asked for than the upload's bytes can need."""
    count = sum(_known_size(upload, part) is None for part in wanted)
    limit = upload.declared_size_bytes or upload.size_limit(gateway.policy.max_file_size)
    most = URLS_PER_PART * (limit // S3_MIN_PART_SIZE + 1)
    if count and not await gateway.uploads.count_unsized_urls(upload.id, count=count, most=most):
        raise TokenExhausted(f"This upload was given {most} part URLs, which is more than {limit} bytes can need.")


def _known_size(upload: Upload, part: WantedPart) -> int | None:
    """Return the size of a part of an upload without a plan, where it follows from the size of the file.

    A file of up to 5 MiB is one part: S3 takes no smaller part before the last one.
    """
    declared = upload.declared_size_bytes
    return declared if declared is not None and declared <= S3_MIN_PART_SIZE and part.part_number == 1 else None


def sign_parts(
    gateway: Gateway, upload: Upload, wanted: Sequence[WantedPart], *, signed_at: datetime | None = None
) -> list[SignedPart]:
    """Sign parts of an upload that was loaded and found open; no I/O.

    A URL never outlives the upload. *signed_at* in the past gives the URLs of an earlier answer again, to the byte.
    """
    multipart_upload_id = require_uploading(gateway, upload)
    since = signed_at or gateway.now()
    seconds = min(gateway.policy.part_url_seconds, max(1, int((upload.expires_at - since) / timedelta(seconds=1))))
    plan = upload.plan
    if plan is None:
        return _sign_open(gateway, upload, wanted, seconds)
    to_sign = []
    for part in wanted:
        checksum = _checksum(upload, part)
        to_sign.append(PartToSign(part.part_number, plan.size_of(part.part_number), checksum))
    requests = gateway.presigner.part_urls(
        upload.object_key, multipart_upload_id, to_sign, seconds, signed_at=signed_at
    )
    return [
        SignedPart(part.part_number, part.size_bytes, request) for part, request in zip(to_sign, requests, strict=True)
    ]


def _sign_open(gateway: Gateway, upload: Upload, wanted: Sequence[WantedPart], seconds: int) -> list[SignedPart]:
    """Sign parts of an upload without a plan: their sizes are measured when they are there."""
    if upload.is_post_upload:
        raise WrongState("This upload comes as a form, not in parts.", state=upload.state.value)
    multipart_upload_id = require_uploading(gateway, upload)
    signed = []
    for part in wanted:
        if part.checksum_sha256 is not None:
            raise Invalid("This upload was created without sizes, so its parts cannot carry a checksum.")
        size = _known_size(upload, part)
        if size is not None:
            to_sign = [PartToSign(part.part_number, size)]
            [request] = gateway.presigner.part_urls(upload.object_key, multipart_upload_id, to_sign, seconds)
        else:
            request = gateway.presigner.upload_part_of_any_size(
                upload.object_key, multipart_upload_id, part.part_number, min(seconds, UNSIZED_SECONDS)
            )
        signed.append(SignedPart(part.part_number, size, request))
    return signed


def _checksum(upload: Upload, part: WantedPart) -> str | None:
    if upload.part_checksums is None:
        if part.checksum_sha256 is not None:
            raise Invalid(
                "This upload was created without part_checksums, so its parts cannot carry one.",
                part_number=part.part_number,
            )
        return None
    known = upload.checksums[part.part_number - 1] if upload.checksums and _within(upload, part.part_number) else None
    if part.checksum_sha256 is None and known is None:
        raise Invalid("checksum_sha256 is missing: this upload checks every part.", part_number=part.part_number)
    if known is not None and part.checksum_sha256 not in (None, known):
        raise Invalid("checksum_sha256 differs from the one given at create.", part_number=part.part_number)
    return part.checksum_sha256 or known


def _within(upload: Upload, part_number: int) -> bool:
    return upload.checksums is not None and 1 <= part_number <= len(upload.checksums)
