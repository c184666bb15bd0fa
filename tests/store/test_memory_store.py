"""The same contract for a real store and for the one in memory that unit tests use."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.storage.errors import (
    EntityTooSmall,
    InvalidPart,
    InvalidRange,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
)
from gateway.storage.models import CompletedPart
from gateway.storage.s3 import S3Store
from tests.unit.uploads.memory_store import MemoryStore

pytestmark = pytest.mark.store

BODY = b"a" * (5 << 20)


@pytest.fixture(params=["memory", "real"])
def either(request: pytest.FixtureRequest, ours: S3Store) -> Any:
    """Give each store in turn."""
    return MemoryStore() if request.param == "memory" else ours


async def _sent(store: Any, key: str, *bodies: bytes) -> tuple[str, list[CompletedPart]]:
    upload = await store.create_multipart_upload(key, content_type="audio/mpeg", metadata={"upload-id": "7"})
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = await store.upload_part(key, upload, number, body, size_bytes=len(body))
        parts.append(CompletedPart(number, etag))
    return upload, parts


async def test_parts_are_listed_and_become_an_object(either: Any, key: str) -> None:
    """The list, the object, its ETag and its metadata are the same of both."""
    upload, parts = await _sent(either, key, BODY, b"end")
    listed = await either.list_parts(key, upload)
    assert [(part.part_number, part.size_bytes, part.etag) for part in listed] == [
        (1, len(BODY), parts[0].etag),
        (2, 3, parts[1].etag),
    ]
    made = await either.complete_multipart_upload(key, upload, parts)
    head = await either.head_object(key, if_match=made.etag)
    assert (head.size_bytes, head.etag, head.metadata["upload-id"]) == (len(BODY) + 3, made.etag, "7")
    assert made.etag.endswith("-2")
    assert await either.get_object_range(key, len(BODY) - 1, 3, if_match=made.etag) == b"aen"


async def test_a_completed_upload_is_gone(either: Any, key: str) -> None:
    """A completed multipart upload has no parts to list. (SeaweedFS lets it be aborted, without an effect.)"""
    upload, parts = await _sent(either, key, b"x")
    await either.complete_multipart_upload(key, upload, parts)
    with pytest.raises(NoSuchUpload):
        await either.list_parts(key, upload)


async def test_a_wrong_etag_and_a_missing_part_are_refused(either: Any, key: str) -> None:
    """Both are InvalidPart, and the upload stays as it was."""
    upload, [part] = await _sent(either, key, b"x")
    for wrong in (CompletedPart(1, "0" * 32), CompletedPart(2, part.etag)):
        with pytest.raises(InvalidPart):
            await either.complete_multipart_upload(key, upload, [wrong])
    await either.complete_multipart_upload(key, upload, [part])


async def test_a_small_part_before_the_last_is_refused(either: Any, key: str) -> None:
    """S3 wants 5 MiB of every part but the last."""
    upload, parts = await _sent(either, key, b"x", b"y")
    with pytest.raises(EntityTooSmall):
        await either.complete_multipart_upload(key, upload, parts)


async def test_an_aborted_upload_takes_nothing(either: Any, key: str) -> None:
    """A part after the abort is refused, and a second abort as well."""
    upload, _ = await _sent(either, key, b"x")
    await either.abort_multipart_upload(key, upload)
    with pytest.raises(NoSuchUpload):
        await either.upload_part(key, upload, 2, b"y", size_bytes=1)
    with pytest.raises(NoSuchUpload):
        await either.list_parts(key, upload)


async def test_an_existing_object_is_not_replaced_when_it_must_not_be(either: Any, key: str) -> None:
    """With if_none_match the second completion is refused."""
    for round_ in range(2):
        upload, parts = await _sent(either, key, b"x")
        if round_ == 0:
            await either.complete_multipart_upload(key, upload, parts, if_none_match=True)
        else:
            with pytest.raises(PreconditionFailed):
                await either.complete_multipart_upload(key, upload, parts, if_none_match=True)


async def test_reads_are_pinned_and_missing_things_are_told_apart(either: Any, key: str) -> None:
    """Another ETag, a range past the end and a missing object each have their error."""
    upload, parts = await _sent(either, key, b"abc")
    made = await either.complete_multipart_upload(key, upload, parts)
    with pytest.raises(PreconditionFailed):
        await either.get_object_range(key, 0, 1, if_match="0" * 32)
    with pytest.raises(InvalidRange):
        await either.get_object_range(key, 3, 1, if_match=made.etag)
    await either.delete_object(key)
    await either.delete_object(key)
    with pytest.raises(NoSuchKey):
        await either.head_object(key)
    with pytest.raises(NoSuchKey) as raised:
        await either.get_object_range(key, 0, 1, if_match=None)
    assert raised.value.s3_code == "NoSuchKey"


async def test_a_copy_is_pinned_to_one_content(either: Any, key: str) -> None:
    """A range of the source becomes a part; another ETag, a missing source and a missing upload are refused."""
    upload, parts = await _sent(either, key, b"abcdef")
    source = await either.complete_multipart_upload(key, upload, parts)
    target = f"{key}-copy"
    copied = await either.create_multipart_upload(target, content_type="audio/mpeg")

    def copy(identity: str, source_key: str, etag: str) -> Any:
        return either.upload_part_copy(
            target, identity, 1, source_key=source_key, source_if_match=etag, start=1, length=3
        )

    etag = await copy(copied, key, source.etag)
    with pytest.raises(PreconditionFailed):
        await copy(copied, key, "0" * 32)
    with pytest.raises(NoSuchKey):
        await copy(copied, f"{key}-none", source.etag)
    await either.complete_multipart_upload(target, copied, [CompletedPart(1, etag)])
    assert await either.get_object_range(target, 0, 3, if_match=None) == b"bcd"
    with pytest.raises(NoSuchUpload):
        await copy(copied, key, source.etag)
