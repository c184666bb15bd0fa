"""Create an upload: check the declaration, write the intent, open it in the store, sign the first URLs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.domain.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    PartChecksumsRequired,
)
from gateway.domain.media_types import content_type_for, declared_type
from gateway.domain.object_key import new_object_key, new_post_key, new_upload_id
from gateway.domain.parts import PartPlan, plan_parts
from gateway.domain.policy import Policy, check_extension, check_filename, check_metadata, check_size
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.ports import IdempotentRequest
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.intent import INTENT_LEASE_SECONDS, open_intent
from gateway.uploads.sign import SignedPart, WantedPart, sign_parts

FIRST_PARTS = 100
"""URLs in the answer to create; the default plan makes no more parts than this."""

INTENT_SECONDS = 900.0
"""Time after which a create that never heard from the store is swept."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """The declaration of a client; sizes in bytes, checksums base64 SHA-256 in the order of the parts.

    A size of None is for callers whose protocol names none: the upload then has no plan, and what the store holds is
    measured while parts come in and before they are assembled.
    """

    filename: str
    size_bytes: int | None
    content_type: str | None = None
    part_size_bytes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    part_checksums: str | Sequence[str] | None = None
    cut_by_client: bool = False
    """The client's protocol decides where parts begin, so that there is no plan even where the size is known."""
    as_post_upload: bool = False
    """The file comes in one browser form."""
    directory: str | None = None
    """Folder of the gateway's own disk that keeps the file; None: the store keeps it."""

    def digest(self) -> bytes:
        """Hash the request, to tell a repeated one from another under the same Idempotency-Key."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class Created:
    """A created upload with the URLs of its first parts."""

    upload: Upload
    parts: Sequence[SignedPart]


async def create(
    gateway: Gateway,
    principal: Principal,
    wanted: NewUpload,
    idempotency_key: str | None = None,
    *,
    sent_by_gateway: bool = False,
) -> Created:
    """Create an upload, or give the answer of an earlier request with the same key and body again.

    Raises Invalid, ExtensionNotAllowed, TooLarge, IdempotencyKeyReused, IdempotencyInProgress and Unavailable; with an
    upload token also Unauthenticated once it is revoked and TokenExhausted when all its files are used. At a ceiling of
    the token, its key or its tenant it raises TooManyUploads or CreatesExhausted. An upload that is *sent_by_gateway*
    needs no URL. Any other raises StoreUnsafe while the store exposes files, and PartChecksumsRequired where its parts
    need checksums and it has none.
    """
    intent = _plan_upload(gateway, principal, wanted)
    checksums_error = None if sent_by_gateway else _missing_checksums(wanted)
    if not sent_by_gateway:
        await gateway.store_checks.require_safe()
        required = gateway.policy.part_checksums_required or await gateway.store_checks.needs_part_checksums()
        if required and checksums_error is not None:
            raise checksums_error
    request = None
    if idempotency_key is not None:
        since = gateway.now() - timedelta(seconds=gateway.policy.idempotency_seconds)
        request = IdempotentRequest(idempotency_key, wanted.digest(), since)
    written = await gateway.uploads.insert_intent(
        intent,
        request,
        key_id=principal.key_id,
        lease_seconds=INTENT_LEASE_SECONDS,
        checksums_error=checksums_error,
    )
    if isinstance(written, Upload):
        return _first_answer(gateway, await open_intent(gateway, written))
    if written.request_hash != wanted.digest():
        raise IdempotencyKeyReused
    return await _answer_again(gateway, principal, written.upload_id)


def _missing_checksums(wanted: NewUpload) -> PartChecksumsRequired | None:
    """Return the error for an upload without part checksums, which a store that keeps half a part needs.

    Uppy's routes cannot carry a checksum, so they are refused at create, before the client sends anything.
    """
    if wanted.as_post_upload or wanted.cut_by_client:
        return PartChecksumsRequired(
            "This gateway requires part checksums, and Uppy's routes cannot carry them: use gateway-upload.js or "
            "/v1/uploads."
        )
    return PartChecksumsRequired() if wanted.part_checksums is None else None


def _plan_upload(gateway: Gateway, principal: Principal, wanted: NewUpload) -> Upload:
    policy = gateway.policy
    filename = check_filename(wanted.filename)
    extension = check_extension(filename, policy)
    plan = _plan(wanted, policy)
    upload_id = new_upload_id()
    now = gateway.now()
    return Upload(
        id=upload_id,
        tenant_id=principal.tenant_id,
        state=State.UPLOADING,
        filename=filename,
        extension=extension,
        declared_size_bytes=wanted.size_bytes,
        declared_content_type=declared_type(wanted.content_type),
        part_size_bytes=plan.part_size_bytes if plan else None,
        part_checksums="sha256" if wanted.part_checksums is not None else None,
        checksums=_checksums(plan, wanted.part_checksums),
        metadata=check_metadata(wanted.metadata),
        bucket=gateway.bucket,
        object_key=new_object_key(gateway.key_prefix, upload_id, extension),
        post_key=new_post_key(gateway.key_prefix, upload_id, extension) if wanted.as_post_upload else None,
        content_type=content_type_for(extension),
        path=f"{wanted.directory}/{upload_id}.{extension}" if wanted.directory is not None else None,
        token_id=principal.token_id,
        lease_token=uuid4(),
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=INTENT_SECONDS),
    )


def _plan(wanted: NewUpload, policy: Policy) -> PartPlan | None:
    if wanted.size_bytes is None:
        return None
    size_bytes = check_size(wanted.size_bytes, policy)
    if wanted.cut_by_client:
        return None
    return plan_parts(size_bytes, policy.part_bounds, wanted.part_size_bytes)


def _checksums(plan: PartPlan | None, given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None or isinstance(given, str):
        return None
    if plan is None:
        raise Invalid("part_checksums as a list needs size_bytes.")
    if len(given) != plan.part_count:
        raise Invalid(f"part_checksums holds {len(given)} checksums for {plan.part_count} parts.")
    return tuple(given)


async def _answer_again(gateway: Gateway, principal: Principal, upload_id: UUID) -> Created:
    upload = await gateway.uploads.find(principal, upload_id)
    if upload is None:
        raise IdempotencyInProgress
    if upload.is_intent:
        taken = await gateway.uploads.take_lease(upload_id, token=uuid4(), seconds=INTENT_LEASE_SECONDS)
        if taken is None:
            raise IdempotencyInProgress
        await _forget_lost(gateway, taken)
        upload = await open_intent(gateway, taken)
    return _first_answer(gateway, upload)


async def _forget_lost(gateway: Gateway, intent: Upload) -> None:
    """Abort multipart uploads that a dead process opened for this intent: their ids are not recorded."""
    for multipart_upload_id in await gateway.find_multipart_uploads(intent.object_key):
        with suppress(NoSuchUpload):
            await gateway.store.abort_multipart_upload(intent.object_key, multipart_upload_id)


def _first_answer(gateway: Gateway, upload: Upload) -> Created:
    """Answer with the first URLs, signed as of the upload's creation so that the same request gets the same bytes."""
    plan = upload.plan
    waiting_for_checksums = upload.part_checksums is not None and upload.checksums is None
    if upload.state is not State.UPLOADING or plan is None or waiting_for_checksums:
        return Created(upload, ())
    if upload.expires_at <= gateway.now():
        return Created(upload, ())
    wanted = [WantedPart(number) for number in range(1, min(plan.part_count, FIRST_PARTS) + 1)]
    return Created(upload, sign_parts(gateway, upload, wanted, signed_at=_still_good(gateway, upload)))


def _still_good(gateway: Gateway, upload: Upload) -> datetime | None:
    half_life = timedelta(seconds=gateway.policy.part_url_seconds / 2)
    return upload.created_at if gateway.now() - upload.created_at < half_life else None
