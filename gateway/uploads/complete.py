"""Complete an upload: list or copy its parts, compare them with the plan, claim the upload, then process it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.domain.errors import Gone, LeaseLost, PartsMismatch, WrongState
from gateway.domain.parts import (
    ClientPart,
    PartsDifference,
    StoredPart,
    compare_unplanned,
    compare_with_client,
    compare_with_plan,
)
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import FINAL_STATES, LEASED_STATES, State, Upload
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.access import load, require_open, wait_until
from gateway.uploads.copy_form import claim_copy, copy_form, find_posted_file
from gateway.uploads.expiry import require_not_too_late
from gateway.uploads.process import process

_ANSWERED_STATES = FINAL_STATES | {State.UPLOADING}


class Claimed(NamedTuple):
    """An upload under this process's lease, with the parts of the claim; None: the database knows them."""

    upload: Upload
    parts: Sequence[StoredPart] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One attempt to claim an open upload."""

    upload: Upload
    """As it was loaded, in the state `uploading`."""
    client_parts: Sequence[ClientPart] | None = None
    """The client's list of parts, if it sent one."""
    receiver_token: UUID | None = None
    """The caller's right to receive the file."""
    last_part_number: int | None = None
    """Parts after this one were left by an earlier sender and do not belong to the file. None: all parts count."""


async def complete(
    gateway: Gateway,
    principal: Principal,
    upload_id: UUID,
    client_parts: Sequence[ClientPart] | None = None,
    *,
    budget_seconds: float | None = None,
    receiver_token: UUID | None = None,
) -> Upload:
    """Complete an upload once, even when many calls and processes try it at the same time.

    While the gateway receives the file, only the caller with its *receiver_token* may complete. The file of a POST
    upload is copied by one call; until the copy is done, other calls raise WrongState.

    Returns the upload in a final state, or still completing or validating when the time budget has passed; it is then
    processed in the background. Raises NotFound, Gone, PartsMismatch (correct the parts and complete again), StoreError
    when the store refuses (complete again or abort), WrongState once aborted, Unavailable.
    """
    upload = await load(gateway, principal, upload_id)
    if upload.is_final:
        return _final(upload)
    budget = gateway.policy.complete_budget_seconds if budget_seconds is None else budget_seconds
    claimed = await _claim_or_take_over(gateway, upload, client_parts, receiver_token)
    if claimed is None:
        # Another call has claimed the upload. Wait for its result.
        return _answer(
            gateway, await wait_until(gateway, principal, upload_id, seconds=budget, states=_ANSWERED_STATES)
        )
    processing = gateway.work.start(process(gateway, claimed.upload, claimed.parts))
    done, _ = await asyncio.wait({processing}, timeout=budget)
    if not done:
        return claimed.upload
    try:
        return processing.result()
    except LeaseLost:
        return _answer(gateway, await load(gateway, principal, upload_id))


async def _claim_or_take_over(
    gateway: Gateway, upload: Upload, client_parts: Sequence[ClientPart] | None, receiver_token: UUID | None
) -> Claimed | None:
    """Return the upload under a new lease, or None when another process holds it."""
    if upload.state in LEASED_STATES:
        taken = await gateway.uploads.take_lease(upload.id, token=uuid4(), seconds=gateway.policy.lease_seconds)
        return None if taken is None else Claimed(taken)
    _require_not_received(gateway, upload, receiver_token)
    completion = Completion(upload, client_parts, receiver_token)
    if upload.on_disk:
        return await _claim(gateway, completion, None)
    multipart_upload_id = require_open(upload)
    require_not_too_late(gateway, upload)
    if upload.is_post_upload:
        return await _copy_and_claim(gateway, completion, multipart_upload_id)
    if receiver_token is not None and client_parts is not None:
        # The receiver lists every part that it sent.
        completion = replace(completion, last_part_number=len(client_parts))
    return await _compare_and_claim(gateway, completion, multipart_upload_id)


async def _copy_and_claim(gateway: Gateway, completion: Completion, multipart_upload_id: str) -> Claimed | None:
    """Copy a POST upload's file into parts first; one process at a time may do so."""
    upload = completion.upload
    posted = await find_posted_file(gateway, upload)
    if posted is None:
        return None
    async with claim_copy(gateway, upload) as claim:
        if claim is None:
            return None
        part_count = await copy_form(gateway, upload, posted, claim)
        copied = replace(completion, receiver_token=claim.token, last_part_number=part_count)
        return await _compare_and_claim(gateway, copied, multipart_upload_id)


async def _compare_and_claim(gateway: Gateway, completion: Completion, multipart_upload_id: str) -> Claimed | None:
    """Compare before the claim, so that a client's mistake changes no state.

    The claim stores this list of ETags. A part that is replaced later does not count: the store refuses the old ETag,
    or keeps the old bytes.
    """
    try:
        stored = await gateway.store.list_parts(completion.upload.object_key, multipart_upload_id)
    except NoSuchUpload:
        # Another call completed or aborted it after it was loaded, or the store lost it; `assemble` finds out which.
        return await _claim(gateway, completion, None)
    if completion.last_part_number is not None:
        stored = [part for part in stored if part.part_number <= completion.last_part_number]
    _compare(gateway, completion, stored)
    return await _claim(gateway, completion, stored)


def _compare(gateway: Gateway, completion: Completion, stored: Sequence[StoredPart]) -> None:
    upload = completion.upload
    total = sum(part.size_bytes for part in stored)
    if total > upload.size_limit(gateway.policy.max_file_size):
        # The client cannot correct this. `assemble` finds the same sum and rejects the upload, even after a crash.
        return
    plan = upload.plan
    _require_equal(compare_unplanned(stored) if plan is None else compare_with_plan(plan, stored))
    if upload.declared_size_bytes not in (None, total):
        raise PartsMismatch(f"The parts have {total} bytes together; {upload.declared_size_bytes} were declared.")
    if completion.client_parts is not None:
        _require_equal(compare_with_client(completion.client_parts, stored))


def _require_equal(difference: PartsDifference) -> None:
    if difference:
        raise PartsMismatch(difference.sentence(), **difference.reasons)


async def _claim(gateway: Gateway, completion: Completion, stored: Sequence[StoredPart] | None) -> Claimed | None:
    """Claim the upload. If this process dies, a worker takes it over after the end of the lease."""
    upload = completion.upload
    parts = None if stored is None else await _with_checksums(gateway, upload, stored)
    change = Transition(
        State.UPLOADING,
        State.COMPLETING,
        lease_token=uuid4(),
        lease_seconds=gateway.policy.lease_seconds,
        assembly=parts,
        receiver_token=completion.receiver_token,
    )
    claimed = await gateway.uploads.apply(upload.id, change)
    return None if claimed is None else Claimed(claimed, parts)


async def _with_checksums(gateway: Gateway, upload: Upload, stored: Sequence[StoredPart]) -> Sequence[StoredPart]:
    """Add the known checksums: some stores check a part's checksum but do not list it."""
    if upload.part_checksums is None or all(part.checksum_sha256 for part in stored):
        return stored
    if upload.checksums is not None:
        known = dict(enumerate(upload.checksums, 1))
    else:
        known = dict(await gateway.uploads.recall_checksums(upload.id))
    return [replace(part, checksum_sha256=part.checksum_sha256 or known.get(part.part_number)) for part in stored]


def _require_not_received(gateway: Gateway, upload: Upload, receiver_token: UUID | None) -> None:
    """Raise WrongState while another caller's file is being received: half a file must not be taken for a whole one."""
    if receiver_token is not None and upload.receiver_token == receiver_token:
        return
    if upload.on_disk or upload.is_received_at(gateway.now()):
        raise WrongState("The gateway is still receiving or copying the file.", state=upload.state.value)


def _answer(gateway: Gateway, upload: Upload) -> Upload:
    """Return or raise the result of an upload that another call claimed first."""
    if upload.is_final:
        return _final(upload)
    if upload.state is not State.UPLOADING:
        return upload
    # The claim failed, and yet the upload is open: a receiver started, the upload expired, or it was opened again.
    _require_not_received(gateway, upload, None)
    require_not_too_late(gateway, upload)
    raise PartsMismatch("A part was replaced, or the store refused to assemble them. Complete the upload again.")


def _final(upload: Upload) -> Upload:
    if upload.state is State.EXPIRED:
        raise Gone(state=upload.state.value)
    if upload.state is State.ABORTED:
        raise WrongState("The upload was aborted.", state=upload.state.value)
    return upload
