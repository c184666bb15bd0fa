"""Abort an upload that is still open."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from gateway.context import Gateway
from gateway.database import transitions
from gateway.database.transitions import Transition
from gateway.domain.errors import GatewayError, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.uploads.access import load
from gateway.uploads.clean_up import clean_up

_NOTHING_LEFT = frozenset({State.ABORTED, State.EXPIRED, State.REJECTED})


async def abort(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Abort an open upload and remove its parts; again is fine, and so is one that ended without being ready.

    Raises NotFound, and WrongState while it completes and once it is ready: of an abort and a complete at the same
    time, one wins.
    """
    upload = await load(gateway, principal, upload_id)
    if upload.state is State.UPLOADING:
        change = Transition(from_state=State.UPLOADING, to_state=State.ABORTED, cleanup_pending=True)
        async with gateway.database.connection() as connection:
            aborted = await transitions.apply(connection, upload.id, change)
        if aborted is not None:
            # What the store does not do now the sweeper asks again.
            with suppress(GatewayError):
                await clean_up(gateway, aborted)
            return aborted
        upload = await load(gateway, principal, upload_id)
    if upload.state not in _NOTHING_LEFT:
        raise WrongState(f"The upload is {upload.state}; it can no longer be aborted.", state=upload.state.value)
    return upload
