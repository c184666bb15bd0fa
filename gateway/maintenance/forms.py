"""Find uploads whose POST upload has arrived, and remove objects that POST uploads left."""

from __future__ import annotations

import asyncio
from uuid import UUID

from gateway.context import Gateway
from gateway.database import forms, uploads
from gateway.domain.upload import State
from gateway.maintenance.each import each
from gateway.uploads.clean_up import remove_object
from gateway.uploads.forms import finish_form

AT_ONCE = 8
"""Forms looked at side by side: most are one HEAD, one that came is a copy and a check."""

BATCH = 100
"""Forms of one round; the rest waits for the next, a second later."""


async def look_for_forms(gateway: Gateway) -> int:
    """Look for every form that is due, and return how many were found; one that fails does not stop the others."""

    async def look(upload_id: UUID) -> bool:
        upload = await finish_form(gateway, upload_id)
        return upload is not None and upload.state is not State.UPLOADING

    due = await forms.take_due(gateway.database, limit=BATCH)
    return await each(due, look, at_once=asyncio.Semaphore(AT_ONCE), failing="could not look for a form")


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
