"""Complete an upload: compare what the store holds with the plan, claim it, and see it through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from gateway.context import Gateway
from gateway.database import part_checksums, transitions, uploads
from gateway.database.transitions import Transition
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
from gateway.domain.upload import FINAL_STATES, LEASED_STATES, State, Upload
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.access import load, require_open, wait_until
from gateway.uploads.copy_form import claim_copy, copy_form, find_posted_file
from gateway.uploads.expiry import require_not_too_late
from gateway.uploads.process import PROCESS_TASK, process

_ANSWERS = FINAL_STATES | {State.UPLOADING}


async def complete(
    gateway: Gateway,
    principal: Principal,
    upload_id: UUID,
    named: Sequence[ClientPart] | None = None,
    *,
    budget_seconds: float | None = None,
    receiver_token: UUID | None = None,
) -> Upload:
    """Complete an upload once, however often and from however many places it is asked.

    While the gateway receives the file, only the one with its *receiver_token* may. A form is copied by one call at a
    time: the others raise WrongState until it is.

    Returns it in a final state, or still completing or validating when the time budget is over; it then goes on.
    Raises NotFound, Gone, PartsMismatch (mend the parts and ask again), StoreError when the store refuses (ask again or
    abort), WrongState once aborted, Unavailable.
    """
    budget = gateway.policy.complete_budget_seconds if budget_seconds is None else budget_seconds
    upload = await load(gateway, principal, upload_id)
    if upload.state is State.UPLOADING:
        _require_received(gateway, upload, receiver_token)
        claimed = await _choose_and_claim(gateway, upload, named, receiver_token)
    elif upload.state in LEASED_STATES:
        token = uuid4()
        seconds = gateway.policy.lease_seconds
        claimed = await uploads.take_lease(gateway.database, upload.id, token=token, seconds=seconds)
    else:
        return _final(upload)
    if claimed is None:
        after = await wait_until(gateway, principal, upload_id, seconds=budget, states=_ANSWERS)
        return _final(after) if after.is_final else _unfinished(after)
    task = gateway.work.start(process(gateway, claimed))
    done, _ = await asyncio.wait({task}, timeout=budget)
    if not done:
        return claimed
    try:
        return task.result()
    except LeaseLost:
        return await load(gateway, principal, upload_id)


def _final(upload: Upload) -> Upload:
    if upload.state is State.EXPIRED:
        raise Gone(state=upload.state.value)
    if upload.state is State.ABORTED:
        raise WrongState("The upload was aborted.", state=upload.state.value)
    return upload


def _unfinished(upload: Upload) -> Upload:
    if upload.state is State.UPLOADING:
        raise PartsMismatch("A part was replaced, or the store refused to assemble them. Complete the upload again.")
    return upload


def _require_received(gateway: Gateway, upload: Upload, receiver_token: UUID | None) -> None:
    """Refuse to complete what is still coming: its parts may match no plan, and half a file would be a whole one."""
    mine = receiver_token is not None and upload.receiver_token == receiver_token
    streaming = upload.receiver_until is not None and upload.receiver_until > gateway.now()
    if not mine and (upload.on_disk or streaming):
        raise WrongState("The gateway is still receiving or copying the file.", state=upload.state.value)


async def _choose_and_claim(
    gateway: Gateway, upload: Upload, named: Sequence[ClientPart] | None, receiver_token: UUID | None
) -> Upload | None:
    """Compare first and claim after, so that a mistake of the client's changes no state.

    What is claimed is this list of ETags: a part that is replaced from now on does not count (the store refuses the
    old ETag, or keeps the old bytes).
    """
    if upload.on_disk:
        return await _claim(gateway, upload, None, receiver_token)
    multipart_upload_id = require_open(upload)
    require_not_too_late(gateway, upload)
    if upload.is_post_upload:
        return await _copy_and_claim(gateway, upload, multipart_upload_id, named)
    # Whoever receives the file names every part of it.
    last = len(named) if receiver_token is not None and named is not None else None
    return await _list_and_claim(gateway, upload, multipart_upload_id, named, receiver_token, last=last)


async def _copy_and_claim(
    gateway: Gateway, upload: Upload, multipart_upload_id: str, named: Sequence[ClientPart] | None
) -> Upload | None:
    head = await find_posted_file(gateway, upload)
    if head is None:
        return None
    async with claim_copy(gateway, upload) as copy:
        if copy is None:
            return None
        last = await copy_form(gateway, upload, head, copy)
        return await _list_and_claim(gateway, upload, multipart_upload_id, named, copy.token, last=last)


async def _list_and_claim(
    gateway: Gateway,
    upload: Upload,
    multipart_upload_id: str,
    named: Sequence[ClientPart] | None,
    receiver_token: UUID | None,
    *,
    last: int | None,
) -> Upload | None:
    try:
        stored = await gateway.store.list_parts(upload.object_key, multipart_upload_id)
    except NoSuchUpload:
        # Completed or aborted since it was loaded, by another call; or lost by the store, which assembling tells.
        return await _claim(gateway, upload, None, receiver_token)
    if last is not None:
        # What an earlier sender left behind the end, of a larger form or of smaller parts, is no part of this file.
        stored = [part for part in stored if part.part_number <= last]
    return await _compare_and_claim(gateway, upload, stored, named, receiver_token)


async def _compare_and_claim(
    gateway: Gateway,
    upload: Upload,
    stored: Sequence[StoredPart],
    named: Sequence[ClientPart] | None,
    receiver_token: UUID | None,
) -> Upload | None:
    held = stored
    total = sum(part.size_bytes for part in held)
    if total > upload.size_limit(gateway.policy.max_file_size):
        # Not to be mended: assembling finds the same sum and rejects it, also after a crash.
        return await _claim(gateway, upload, stored, receiver_token)
    plan = upload.plan
    _refuse(compare_unplanned(held) if plan is None else compare_with_plan(plan, held))
    if upload.declared_size_bytes not in (None, total):
        raise PartsMismatch(f"The parts have {total} bytes together; {upload.declared_size_bytes} were declared.")
    if named is not None:
        _refuse(compare_with_client(named, held))
    return await _claim(gateway, upload, stored, receiver_token)


def _refuse(difference: PartsDifference) -> None:
    if difference:
        raise PartsMismatch(difference.sentence(), **difference.reasons)


async def _known_checksums(gateway: Gateway, upload: Upload, stored: Sequence[StoredPart]) -> dict[int, str]:
    """Fill in for stores that enforce a part's checksum but do not list it."""
    if upload.part_checksums is None or all(part.checksum_sha256 for part in stored):
        return {}
    if upload.checksums is not None:
        return dict(enumerate(upload.checksums, 1))
    return await part_checksums.recall(gateway.database, upload.id)


async def _claim(
    gateway: Gateway, upload: Upload, stored: Sequence[StoredPart] | None, receiver_token: UUID | None
) -> Upload | None:
    """Become the one that completes, and leave a job behind that does it if this process dies."""
    assembly: list[StoredPart] | None = None
    if stored is not None:
        known = await _known_checksums(gateway, upload, stored)
        assembly = [
            replace(part, checksum_sha256=part.checksum_sha256 or known.get(part.part_number)) for part in stored
        ]
    seconds = gateway.policy.lease_seconds
    change = Transition(
        from_state=State.UPLOADING,
        to_state=State.COMPLETING,
        lease_token=uuid4(),
        lease_seconds=seconds,
        assembly=assembly,
        receiver_token=receiver_token,
    )
    async with gateway.database.transaction() as connection:
        claimed = await transitions.apply(connection, upload.id, change)
        if claimed is not None:
            await gateway.queue.defer(
                connection,
                PROCESS_TASK,
                lock=str(upload.id),
                schedule_at=gateway.now() + timedelta(seconds=seconds + 1),
                upload_id=str(upload.id),
            )
    return claimed
