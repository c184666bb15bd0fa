"""Finish uploads that came as forms: nobody says that they are there, so they are looked for."""

from __future__ import annotations

import asyncio
from uuid import UUID

from gateway.database import forms, uploads
from gateway.domain.errors import Gone, PartsMismatch, TooLarge, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.uploads.complete import complete
from gateway.uploads.each import each
from gateway.uploads.gateway import Gateway
from gateway.uploads.load import load
from gateway.uploads.remove_object import remove_object

AT_ONCE = 8
"""Forms looked at side by side: most are one HEAD, one that came is a copy and a check."""

BATCH = 100
"""Forms of one round; the rest waits for the next, a second later."""


async def look_for_form(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Return an upload, finished by this very question if its form's file has come; raise NotFound, Unavailable."""
    upload = await load(gateway, principal, upload_id)
    if not upload.is_form or upload.state is not State.UPLOADING or upload.expires_at <= gateway.now():
        return upload
    try:
        return await complete(gateway, principal, upload_id)
    except (Gone, PartsMismatch, TooLarge, WrongState):
        # Not there yet, sent again this moment, refused or expired meanwhile: as it stands now.
        return await load(gateway, principal, upload_id)


async def look_for_forms(gateway: Gateway) -> int:
    """Look for every form that is due, and return how many were found; one that fails does not stop the others."""

    async def look(upload_id: UUID) -> bool:
        upload = await finish_form(gateway, upload_id)
        return upload is not None and upload.state is not State.UPLOADING

    due = await forms.take_due(gateway.database, limit=BATCH)
    return await each(due, look, at_once=asyncio.Semaphore(AT_ONCE), failing="could not look for a form")


async def finish_form(gateway: Gateway, upload_id: UUID) -> Upload | None:
    """Look for one form on nobody's behalf: for the worker, and for the store's own events. None for no such upload."""
    upload = await uploads.find_for_job(gateway.database, upload_id)
    if upload is None:
        return None
    # A token's bearer is not asked: revoking it ends what it may start, not what has come.
    return await look_for_form(gateway, Principal(upload.tenant_id, "gateway"), upload_id)


async def remove_forms(gateway: Gateway) -> int:
    """Remove what was sent to form keys after their uploads had ended, once no form can be sent any more."""

    async def remove(upload_id: UUID) -> bool:
        upload = await uploads.find_for_job(gateway.database, upload_id)
        if upload is None or upload.form_key is None:
            return False
        await remove_object(gateway.store, upload.form_key)
        await forms.removed(gateway.database, upload_id)
        return True

    ended = await forms.to_remove(gateway.database, limit=BATCH)
    return await each(ended, remove, at_once=asyncio.Semaphore(AT_ONCE), failing="could not remove a form")
