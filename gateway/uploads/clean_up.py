"""Remove from store or disk what nobody will ask for again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.database import uploads
from gateway.domain.errors import Unavailable
from gateway.domain.upload import State, Upload
from gateway.storage.admin import multipart_uploads_of
from gateway.storage.errors import NoSuchUpload
from gateway.streaming import files
from gateway.uploads.gateway import Gateway
from gateway.uploads.remove_object import remove_object

ABORT_ROUNDS = 3
"""A part that was in flight while its upload was aborted may land afterwards (AWS says to abort again and look)."""

CLEANABLE = frozenset({State.REJECTED, State.ABORTED, State.EXPIRED})


async def clean_up(gateway: Gateway, upload: Upload) -> None:
    """Abort the multipart upload and delete the object of an upload that ended without being ready; run it at will.

    Raises Unavailable when the store keeps parts or stays away; the upload stays marked for the sweeper.
    """
    assert upload.state in CLEANABLE, "only what ended without being ready is removed"
    if upload.path is not None:
        await asyncio.to_thread(files.remove, Path(upload.path))
        await uploads.cleaned(gateway.database, upload.id)
        return
    if upload.multipart_upload_id is None:
        lost = await multipart_uploads_of(gateway.store_config, upload.object_key)
    else:
        lost = [upload.multipart_upload_id]
    for multipart_upload_id in lost:
        await _abort(gateway, upload.object_key, multipart_upload_id)
    await remove_object(gateway.store, upload.object_key, version_id=upload.observed_version_id)
    if upload.form_key is not None:
        await remove_object(gateway.store, upload.form_key)
    await uploads.cleaned(gateway.database, upload.id)


async def _abort(gateway: Gateway, key: str, multipart_upload_id: str) -> None:
    for _ in range(ABORT_ROUNDS):
        try:
            await gateway.store.abort_multipart_upload(key, multipart_upload_id)
            if not await gateway.store.list_parts(key, multipart_upload_id):
                return
        except NoSuchUpload:
            return
    raise Unavailable("The store still holds parts of an aborted upload.")
