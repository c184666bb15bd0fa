"""Nothing is missing unless the store itself says so."""

from __future__ import annotations

import pytest

from gateway.storage.confirm_absent import require_absent
from gateway.storage.errors import AccessDenied, NoSuchBucket, StoreUnavailable
from gateway.storage.s3 import S3Store
from tests.store.fault_server import Behaviour, answer, error
from tests.store.objects import put_object
from tests.store.test_faults import KEY, failing


@pytest.mark.store
async def test_a_store_stands_by_its_404(ours: S3Store, key: str) -> None:
    """A key that was never written is absent; one with a byte or with none is there."""
    await require_absent(ours, key)
    for body in (b"x", b""):
        await put_object(ours, key, body, content_type="a/b")
        with pytest.raises(StoreUnavailable):
            await require_absent(ours, key)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (answer(404), StoreUnavailable),
        (answer(404, "<html><body>not found</body></html>"), StoreUnavailable),
        (answer(404, "404 page not found"), StoreUnavailable),
        (answer(206, b"x", Content_Range="bytes 0-0/5"), StoreUnavailable),
        (error(416, "InvalidRange"), StoreUnavailable),
        (error(403, "AccessDenied"), AccessDenied),
        (error(404, "NoSuchBucket"), NoSuchBucket),
    ],
)
async def test_what_is_no_word_of_the_store_is_no_absence(second: Behaviour, expected: type[Exception]) -> None:
    """A 404 without S3's word for it, an object after all, or another refusal: not known to be missing."""
    async with failing(second) as (store, _):
        with pytest.raises(expected):
            await require_absent(store, KEY)


async def test_a_404_without_a_word_is_tried_again() -> None:
    """A proxy whose store is not up yet costs a second try; a delete it answered was not done."""
    async with failing(answer(404), error(404, "NoSuchKey")) as (store, server):
        await store.delete_object(KEY)
        assert len(server.requests) == 2
    async with failing(answer(404)) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.delete_object(KEY)
