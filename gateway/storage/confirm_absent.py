"""Make sure of an absence before anything is decided by it."""

from __future__ import annotations

from gateway.storage.errors import InvalidRange, NoSuchKey, StoreUnavailable
from gateway.storage.s3 import S3Store

_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion"})


async def require_absent(store: S3Store, key: str, *, version_id: str | None = None) -> None:
    """Return when the store itself says that it holds no such object, or not this version of it.

    The 404 of a HEAD has no body, so that it may come from anything in between, such as a proxy whose store restarts.
    Raises StoreUnavailable when the store does not say so, and StoreError when it says something else.
    """
    try:
        await store.get_object_range(key, 0, 1, if_match=None, version_id=version_id)
    except NoSuchKey as exc:
        if exc.s3_code in _ABSENT:
            return
    except InvalidRange:
        # It is there, and empty.
        pass
    raise StoreUnavailable(operation="GetObject", message="a 404 that the store does not stand by")
