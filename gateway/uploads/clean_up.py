"""Remove the files of uploads that ended without being ready."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from gateway.context import Gateway
from gateway.domain.errors import Unavailable
from gateway.domain.upload import State, Upload
from gateway.ports import ObjectStore
from gateway.storage.errors import AccessDenied, NoSuchKey, NoSuchUpload, StoreError
from gateway.streaming import disk

logger = logging.getLogger(__name__)

ABORT_ROUNDS = 3
"""A part that was being sent during the abort may be stored after it. AWS says to list the parts and abort again."""

CLEANABLE = frozenset({State.REJECTED, State.ABORTED, State.EXPIRED})

MAX_VERSIONS = 100
"""Versions removed in one call: a POST form can be sent again and again. The next sweep removes the rest."""


async def clean_up(gateway: Gateway, upload: Upload) -> None:
    """Abort the multipart upload and delete the object of an upload that ended without being ready.

    May be called any number of times. Raises Unavailable when the store keeps parts or does not respond; the upload
    then stays marked for the sweeper.
    """
    assert upload.state in CLEANABLE, "only an upload that ended without being ready is removed"
    if upload.path is not None:
        await asyncio.to_thread(disk.remove, Path(upload.path))
        await gateway.uploads.mark_cleaned(upload.id)
        return
    if upload.multipart_upload_id is None:
        multipart_upload_ids = await gateway.find_multipart_uploads(upload.object_key)
    else:
        multipart_upload_ids = [upload.multipart_upload_id]
    for multipart_upload_id in multipart_upload_ids:
        await _abort(gateway.store, upload.object_key, multipart_upload_id)
    await remove_object(gateway.store, upload.object_key, version_id=upload.observed_version_id)
    if upload.post_key is not None:
        await remove_object(gateway.store, upload.post_key)
    await gateway.uploads.mark_cleaned(upload.id)


async def _abort(store: ObjectStore, key: str, multipart_upload_id: str) -> None:
    for _ in range(ABORT_ROUNDS):
        try:
            await store.abort_multipart_upload(key, multipart_upload_id)
            if not await store.list_parts(key, multipart_upload_id):
                return
        except NoSuchUpload:
            return
    raise Unavailable("The store still holds parts of an aborted upload.")


async def remove_object(store: ObjectStore, key: str, *, version_id: str | None = None) -> None:
    """Delete every version of an object; a missing object is no error.

    In a bucket that keeps versions a plain DELETE only hides the content: a client can still read it by its version.
    A known *version_id* is deleted even when a delete marker already hides it. Raises Unavailable when there are more
    versions than one call removes.
    """
    if version_id is not None:
        # If the store refuses this, the loop below deletes by the current version and logs the missing permission.
        with suppress(StoreError):
            await store.delete_object(key, version_id=version_id)
    for _ in range(MAX_VERSIONS):
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
            # A missing permission, or a lock on the version: hiding the object is then the best possible outcome.
            logger.warning("a version of a removed object stays: s3:DeleteObjectVersion is refused")
            await store.delete_object(key)
            return
    raise Unavailable("The store still holds versions of a removed object.")
