"""Confirm that an object is absent before a decision depends on it."""

from __future__ import annotations

from gateway.storage.errors import InvalidRange, NoSuchKey, StoreUnavailable
from gateway.storage.s3 import S3Store

_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion"})


async def require_absent(store: S3Store, key: str, *, version_id: str | None = None) -> None:
    """Return if the store itself confirms that it has no such object, or no such version.

    The 404 of a HEAD has no body, so it may come from a proxy while the store restarts. Raises StoreUnavailable when
    the store does not confirm the absence, and StoreError for any other refusal.
    """
    try:
        await store.get_object_range(key, 0, 1, if_match=None, version_id=version_id)
    except NoSuchKey as exc:
        if exc.s3_code in _ABSENT:
            return
    except InvalidRange:
        # The object exists and is empty.
        pass
    raise StoreUnavailable(operation="GetObject", message="a 404 that the store does not confirm")
