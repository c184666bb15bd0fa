"""Remove an object so that nobody can read it any more, in a bucket that keeps versions too."""

from __future__ import annotations

import logging
from contextlib import suppress

from gateway.domain.errors import Unavailable
from gateway.storage.errors import AccessDenied, NoSuchKey, StoreError
from gateway.storage.s3 import S3Store

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
