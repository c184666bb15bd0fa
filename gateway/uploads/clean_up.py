"""Remove from store or disk what nobody will ask for again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from gateway.context import Gateway
from gateway.database import uploads
from gateway.domain.errors import Unavailable
from gateway.domain.upload import State, Upload
from gateway.storage.admin import multipart_uploads_of
from gateway.storage.errors import AccessDenied, NoSuchKey, NoSuchUpload, StoreError
from gateway.storage.s3 import S3Store
from gateway.streaming import disk

ABORT_ROUNDS = 3
"""A part that was in flight while its upload was aborted may land afterwards (AWS says to abort again and look)."""

CLEANABLE = frozenset({State.REJECTED, State.ABORTED, State.EXPIRED})


async def clean_up(gateway: Gateway, upload: Upload) -> None:
    """Abort the multipart upload and delete the object of an upload that ended without being ready; run it at will.

    Raises Unavailable when the store keeps parts or stays away; the upload stays marked for the sweeper.
    """
    assert upload.state in CLEANABLE, "only what ended without being ready is removed"
    if upload.path is not None:
        await asyncio.to_thread(disk.remove, Path(upload.path))
        await uploads.cleaned(gateway.database, upload.id)
        return
    if upload.multipart_upload_id is None:
        lost = await multipart_uploads_of(gateway.store_config, upload.object_key)
    else:
        lost = [upload.multipart_upload_id]
    for multipart_upload_id in lost:
        await _abort(gateway, upload.object_key, multipart_upload_id)
    await remove_object(gateway.store, upload.object_key, version_id=upload.observed_version_id)
    if upload.post_key is not None:
        await remove_object(gateway.store, upload.post_key)
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


logger = logging.getLogger(__name__)

MOST_VERSIONS = 100
"""Versions removed in one go: a form can be sent again and again. The rest waits for the next sweep."""


async def remove_object(store: S3Store, key: str, *, version_id: str | None = None) -> None:
    """Delete every version of an object; one that is not there is fine.

    Where versions are kept a plain DELETE hides refused content and leaves it to whoever asks for its version. A known
    *version_id* is deleted also when something hides it already. Raises Unavailable when there are more versions than
    one call removes.
    """
    if version_id is not None:
        # Refused: what follows goes without naming it first, and says what is missing.
        with suppress(StoreError):
            await store.delete_object(key, version_id=version_id)
    for _ in range(MOST_VERSIONS):
        try:
            head = await store.head_object(key)
        except NoSuchKey:
            return
        if head.version_id is None:
            await store.delete_object(key)
            return
        try:
            await store.delete_object(key, version_id=head.version_id)
        except AccessDenied:
            # A right that is missing or a lock on the version: hidden is the most that can be had.
            logger.warning("a version of a removed object stays: s3:DeleteObjectVersion is refused", extra={"key": key})
            await store.delete_object(key)
            return
    raise Unavailable("The store still holds versions of a removed object.")
