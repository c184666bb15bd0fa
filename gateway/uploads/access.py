"""Load an upload for the one who asks, and wait for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

from gateway.context import Gateway
from gateway.database import upload_tokens, uploads
from gateway.domain.errors import Gone, NotFound, Unauthenticated, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import FINAL_STATES, State, Upload
from gateway.events.wakeups import wait_for

RECHECK_SECONDS = 2.0
"""Wake-ups may be lost with the database connection that carries them; a look every two seconds makes up for it."""


async def load(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Return an upload of the principal's; another's, a missing one and a bare intent are the same NotFound.

    Raises Unauthenticated when the principal's upload token was revoked.
    """
    upload = await uploads.find(gateway.database, principal, upload_id)
    if upload is None:
        await require_live(gateway, principal)
        raise NotFound
    if upload.multipart_upload_id is None and not upload.on_disk and upload.state is State.UPLOADING:
        raise NotFound
    return upload


async def require_live(gateway: Gateway, principal: Principal) -> None:
    """Raise Unauthenticated when the request came with an upload token that is revoked."""
    if principal.token is not None and not await upload_tokens.is_live(gateway.database, principal.token.token_id):
        raise Unauthenticated("The upload token was revoked.")


def require_uploading(gateway: Gateway, upload: Upload) -> str:
    """Return the multipart_upload_id if parts may still come; raise Gone once expired, WrongState in other states."""
    multipart_upload_id = require_open(upload)
    if upload.expires_at <= gateway.now():
        raise Gone(f"The upload expired at {upload.expires_at.isoformat()}.", state=State.EXPIRED.value)
    return multipart_upload_id


def require_open(upload: Upload) -> str:
    """Return the multipart_upload_id of an upload that is uploading, expired or not.

    Raises Gone once the sweep expired it, WrongState in other states.
    """
    if upload.state is State.EXPIRED:
        raise Gone(f"The upload expired at {upload.expires_at.isoformat()}.", state=State.EXPIRED.value)
    if upload.state is not State.UPLOADING or upload.multipart_upload_id is None:
        raise WrongState(f"The upload is {upload.state}, not uploading.", state=upload.state.value)
    return upload.multipart_upload_id


async def list_page(
    gateway: Gateway, principal: Principal, *, state: State | None, before: UUID | None, limit: int
) -> tuple[list[Upload], UUID | None]:
    """Return a page of the principal's uploads, newest first, and the cursor of the next one."""
    await require_live(gateway, principal)
    found = await uploads.list_page(gateway.database, principal, state=state, before=before, limit=limit + 1)
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
    """Return the upload as soon as it is in one of *states*, or as it is after *seconds*."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timedelta(seconds=seconds).total_seconds()
    with gateway.wakeups.subscribe(str(upload_id)) as waker:
        while True:
            waker.clear()
            upload = await load(gateway, principal, upload_id)
            left = deadline - loop.time()
            if upload.state in states or left <= 0:
                return upload
            await wait_for(waker, min(left, RECHECK_SECONDS))
