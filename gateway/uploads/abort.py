"""Abort an upload that is still open."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import GatewayError, WrongState
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.uploads.access import load
from gateway.uploads.clean_up import clean_up

_ALREADY_ENDED = frozenset({State.ABORTED, State.EXPIRED, State.REJECTED})


async def abort(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Abort an open upload and remove its parts; an upload that is already rejected, aborted or expired is returned.

    Raises NotFound, and WrongState while the upload completes and once it is ready. When an abort and a complete run at
    the same time, one of them wins.
    """
    upload = await load(gateway, principal, upload_id)
    if upload.state is State.UPLOADING:
        change = Transition(State.UPLOADING, State.ABORTED, cleanup_pending=True)
        aborted = await gateway.uploads.apply(upload.id, change)
        if aborted is not None:
            # If the store fails now, the sweeper tries again.
            with suppress(GatewayError):
                await clean_up(gateway, aborted)
            return aborted
        upload = await load(gateway, principal, upload_id)
    if upload.state not in _ALREADY_ENDED:
        raise WrongState(f"The upload is {upload.state}; it can no longer be aborted.", state=upload.state.value)
    return upload
