"""Confirm that an object is absent before a decision depends on it."""

from __future__ import annotations

from typing import Protocol

from gateway.storage.errors import InvalidRange, NoSuchKey, StoreUnavailable


class RangeReader(Protocol):
    """Anything that reads a range of an object, as `S3Store` does."""

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        """Read exactly *length* bytes; raise NoSuchKey, InvalidRange, StoreError."""


_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion"})


async def require_absent(store: RangeReader, key: str, *, version_id: str | None = None) -> None:
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
