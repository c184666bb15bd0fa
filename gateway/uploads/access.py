"""Load an upload on behalf of a principal, and wait for its state."""

from __future__ import annotations

import asyncio
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import Gone, NotFound, Unauthenticated, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import FINAL_STATES, State, Upload
from gateway.events.wakeups import wait_for

RECHECK_SECONDS = 1.0
"""Seconds between two reads while waiting: a notification is lost when its database connection is."""


async def load(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Return an upload of the principal. An intent and another tenant's upload raise NotFound like a missing one.

    Raises Unauthenticated when the principal's upload token was revoked.
    """
    upload = await gateway.uploads.find(principal, upload_id)
    if upload is None:
        await require_live(gateway, principal)
        raise NotFound
    if upload.is_intent:
        raise NotFound
    return upload


async def require_live(gateway: Gateway, principal: Principal) -> None:
    """Raise Unauthenticated when the request came with a revoked upload token."""
    if principal.token is not None and not await gateway.uploads.is_token_live(principal.token.token_id):
        raise Unauthenticated("The upload token was revoked.")


def require_uploading(gateway: Gateway, upload: Upload) -> str:
    """Return the multipart_upload_id of an upload that takes parts; raise Gone once it expired, else WrongState."""
    multipart_upload_id = require_open(upload)
    if upload.expires_at <= gateway.now():
        raise Gone(f"The upload expired at {upload.expires_at.isoformat()}.", state=State.EXPIRED.value)
    return multipart_upload_id


def require_open(upload: Upload) -> str:
    """Return the multipart_upload_id of an upload that is uploading, expired or not.

    Raises Gone once the sweeper expired it, WrongState in other states.
    """
    if upload.state is State.EXPIRED:
        raise Gone(f"The upload expired at {upload.expires_at.isoformat()}.", state=State.EXPIRED.value)
    if upload.state is not State.UPLOADING:
        raise WrongState(f"The upload is {upload.state}, not uploading.", state=upload.state.value)
    if upload.multipart_upload_id is None:
        raise WrongState("The gateway keeps this file on its own disk; it takes no parts.", state=upload.state.value)
    return upload.multipart_upload_id


async def list_page(
    gateway: Gateway, principal: Principal, *, state: State | None, before: UUID | None, limit: int
) -> tuple[list[Upload], UUID | None]:
    """Return a page of the principal's uploads, newest first, and the cursor of the next page."""
    await require_live(gateway, principal)
    found = await gateway.uploads.list_page(principal, state=state, before=before, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].id if len(found) > limit else None


async def wait_until(
    gateway: Gateway,
    principal: Principal,
    upload_id: UUID,
    *,
    seconds: float,
    states: frozenset[State] = FINAL_STATES,
) -> Upload:
    """Return the upload as soon as it is in one of *states*, or in its present state after *seconds*.

    A POST upload whose file has not been found yet is brought to a worker's attention at every read.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with gateway.wakeups.subscribe(str(upload_id)) as waker:
        while True:
            waker.clear()
            upload = await load(gateway, principal, upload_id)
            await request_check(gateway, upload)
            left = deadline - loop.time()
            if upload.state in states or left <= 0:
                return upload
            await wait_for(waker, min(left, RECHECK_SECONDS))


async def request_check(gateway: Gateway, upload: Upload) -> None:
    """Wake a worker if *upload* is a POST upload that still waits for its file; the store announces no POST."""
    if upload.is_post_upload and upload.state is State.UPLOADING and upload.expires_at > gateway.now():
        await gateway.uploads.request_check(upload.id)
