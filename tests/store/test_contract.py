"""Ask the same of our client, aioboto3 and boto3: what the gateway relies on must not depend on who asks."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import suppress
from hashlib import md5, sha256

import pytest

from gateway.dev.store import StoreServer
from gateway.storage.errors import (
    AccessDenied,
    BadDigest,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    StoreError,
)
from gateway.storage.models import Assembled, CompletedPart
from tests.store.adapters import AnyStore
from tests.store.objects import put_object, read_object

pytestmark = pytest.mark.store

MIB = 1 << 20
FIRST, SECOND, LAST = b"a" * (5 * MIB), b"b" * (5 * MIB), b"the end"


def sha(body: bytes) -> str:
    """Give S3's form of a SHA-256."""
    return b64encode(sha256(body).digest()).decode()


async def put(store: AnyStore, key: str, upload: str, number: int, body: bytes) -> CompletedPart:
    """Store one part and name it for completion."""
    return CompletedPart(number, await store.upload_part(key, upload, number, body, size_bytes=len(body)))


async def put_all(store: AnyStore, key: str, *bodies: bytes) -> tuple[str, list[CompletedPart]]:
    """Create an upload and store its parts."""
    upload = await store.create_multipart_upload(key, content_type="video/mp4")
    return upload, [await put(store, key, upload, number, body) for number, body in enumerate(bodies, start=1)]


async def test_parts_become_an_object_with_its_type_and_metadata(store: AnyStore, key: str) -> None:
    """An upload of three parts is one object with the bytes, type and metadata it was created with."""
    upload = await store.create_multipart_upload(
        key, content_type="video/mp4", metadata={"Upload-Token": "t0ken"}, content_disposition="attachment"
    )
    parts = [await put(store, key, upload, number, body) for number, body in ((1, FIRST), (2, SECOND), (3, LAST))]
    with pytest.raises(NoSuchKey):
        await store.head_object(key)

    listed = await store.list_parts(key, upload)
    assert [(part.part_number, part.size_bytes, part.etag) for part in listed] == [
        (part.part_number, len(body), part.etag) for part, body in zip(parts, (FIRST, SECOND, LAST), strict=True)
    ]
    assert listed[0].etag == md5(FIRST, usedforsecurity=False).hexdigest()
    assert all(part.last_modified.tzinfo for part in listed)

    etag, _ = await store.complete_multipart_upload(key, upload, parts)
    head = await store.head_object(key, if_match=etag)
    assert head.size_bytes == len(FIRST + SECOND + LAST)
    assert (head.etag, head.content_type, dict(head.metadata)) == (etag, "video/mp4", {"upload-token": "t0ken"})
    assert etag.endswith("-3")
    assert await store.get_object_range(key, 5 * MIB - 2, 4, if_match=etag) == b"aabb"
    assert await store.get_object_range(key, head.size_bytes - 3, 3, if_match=etag) == b"end"
    assert await read_object(store, key, etag) == FIRST + SECOND + LAST


@pytest.mark.parametrize("name", ["é 漢字 🎬.mp4", "a+b%20c~d.mp4", "(x)!'*;:@&=$,.mp4"])
async def test_awkward_keys_name_one_object(store: AnyStore, key: str, name: str) -> None:
    """What is stored under an awkward key is found under exactly that key."""
    await put_object(store, f"{key}/{name}", b"mine", content_type="video/mp4")
    assert await read_object(store, f"{key}/{name}") == b"mine"


async def test_a5_descending_parts_are_refused(store: AnyStore, key: str) -> None:
    """Parts named in descending order are no object."""
    upload, parts = await put_all(store, key, FIRST, SECOND)
    with pytest.raises(InvalidPartOrder):
        await store.complete_multipart_upload(key, upload, parts[::-1])


async def test_a5_small_inner_parts_are_refused(store: AnyStore, key: str) -> None:
    """A part other than the last must have 5 MiB."""
    upload, parts = await put_all(store, key, b"small", LAST)
    with pytest.raises(EntityTooSmall):
        await store.complete_multipart_upload(key, upload, parts)


async def test_a5_missing_parts_are_refused(store: AnyStore, key: str) -> None:
    """A part that was never stored cannot be named."""
    upload, parts = await put_all(store, key, FIRST)
    with pytest.raises(InvalidPart):
        await store.complete_multipart_upload(key, upload, [*parts, CompletedPart(2, parts[0].etag)])


@pytest.mark.parametrize("number", [0, 10_001])
async def test_a5_part_numbers_end_at_10000(store: AnyStore, key: str, number: int) -> None:
    """The store itself refuses part numbers outside 1 to 10,000."""
    upload = await store.create_multipart_upload(key, content_type="video/mp4")
    with pytest.raises(StoreError):
        await put(store, key, upload, number, LAST)
    assert (await put(store, key, upload, 10_000, LAST)).part_number == 10_000


async def test_a5_a_subset_is_an_object(store: AnyStore, key: str) -> None:
    """The store takes parts 1 and 3 without 2: that gaps are refused is the gateway's own work."""
    upload, parts = await put_all(store, key, FIRST, SECOND, LAST)
    await store.complete_multipart_upload(key, upload, [parts[0], parts[2]])
    assert await read_object(store, key) == FIRST + LAST


async def test_a6_a_wrong_etag_is_refused_and_can_be_mended(store: AnyStore, key: str) -> None:
    """A part named with another etag is InvalidPart, and completing again with the right one works."""
    upload, parts = await put_all(store, key, FIRST, LAST)
    wrong = CompletedPart(2, "0" * 32)
    with pytest.raises(InvalidPart):
        await store.complete_multipart_upload(key, upload, [parts[0], wrong])
    await store.complete_multipart_upload(key, upload, parts)
    assert await read_object(store, key) == FIRST + LAST


async def test_a6_an_etag_always_means_its_bytes(store: AnyStore, key: str, store_server: StoreServer) -> None:
    """Completing with the etag of an overwritten part never yields the newer bytes."""
    upload, parts = await put_all(store, key, FIRST, LAST)
    await put(store, key, upload, 2, b"newer")
    if store_server.name == "seaweedfs":  # it keeps both copies until completion
        await store.complete_multipart_upload(key, upload, parts)
        assert await read_object(store, key) == FIRST + LAST
    else:
        with pytest.raises(InvalidPart):
            await store.complete_multipart_upload(key, upload, parts)


async def test_a_part_sent_again_is_listed_once_and_newest(store: AnyStore, key: str) -> None:
    """A part that was sent twice is listed once, with the later bytes."""
    upload, _ = await put_all(store, key, b"older!")
    await asyncio.sleep(1.1)  # SeaweedFS tells copies apart by whole seconds
    newer = await put(store, key, upload, 1, b"newer")
    [listed] = await store.list_parts(key, upload)
    assert (listed.etag, listed.size_bytes) == (newer.etag, 5)
    await store.complete_multipart_upload(key, upload, [newer])
    assert await read_object(store, key) == b"newer"


async def test_a7_a_second_complete_changes_nothing(store: AnyStore, key: str) -> None:
    """A second complete gives the same etag or NoSuchUpload, and the object stays."""
    upload, parts = await put_all(store, key, FIRST, LAST)
    etag, _ = await store.complete_multipart_upload(key, upload, parts)
    for again in (parts, parts[:1]):
        try:
            assert (await store.complete_multipart_upload(key, upload, again)).etag == etag
        except StoreError as exc:
            assert isinstance(exc, NoSuchUpload | InvalidPart)  # noqa: PT017 - one of two answers
    assert (await store.head_object(key)).etag == etag
    assert await read_object(store, key) == FIRST + LAST


async def test_a7_six_completes_at_once_make_one_object(store: AnyStore, key: str) -> None:
    """Of six completes at once at least one succeeds, the others agree or find no upload."""
    upload, parts = await put_all(store, key, FIRST, LAST)
    answers = await asyncio.gather(
        *(store.complete_multipart_upload(key, upload, parts) for _ in range(6)), return_exceptions=True
    )
    etags = {answer.etag for answer in answers if isinstance(answer, Assembled)}
    assert len(etags) == 1
    assert all(isinstance(answer, Assembled | NoSuchUpload) for answer in answers)
    assert (await store.head_object(key)).etag in etags
    assert await read_object(store, key) == FIRST + LAST


async def test_a11_an_aborted_upload_is_gone(store: AnyStore, key: str) -> None:
    """After an abort no call finds the upload, and a second abort does no harm."""
    upload, parts = await put_all(store, key, LAST)
    await store.abort_multipart_upload(key, upload)
    with pytest.raises(NoSuchUpload):
        await store.list_parts(key, upload)
    with pytest.raises(NoSuchUpload):
        await put(store, key, upload, 1, LAST)
    with pytest.raises(NoSuchUpload):
        await store.complete_multipart_upload(key, upload, parts)
    with suppress(NoSuchUpload):
        await store.abort_multipart_upload(key, upload)
    with pytest.raises(NoSuchKey):
        await store.head_object(key)


async def test_a11_an_abort_after_complete_keeps_the_object(store: AnyStore, key: str) -> None:
    """Aborting an upload that is completed does not touch its object."""
    upload, parts = await put_all(store, key, LAST)
    await store.complete_multipart_upload(key, upload, parts)
    with suppress(NoSuchUpload):
        await store.abort_multipart_upload(key, upload)
    assert await read_object(store, key) == LAST


async def test_a12_an_existing_object_is_not_replaced(store: AnyStore, key: str) -> None:
    """With if-none-match neither a complete nor a PUT replaces what is there."""
    await put_object(store, key, b"first", content_type="video/mp4", if_none_match=True)
    upload, parts = await put_all(store, key, LAST)
    with pytest.raises(PreconditionFailed):
        await store.complete_multipart_upload(key, upload, parts, if_none_match=True)
    with pytest.raises(PreconditionFailed):
        await put_object(store, key, b"second", content_type="video/mp4", if_none_match=True)
    assert await read_object(store, key) == b"first"


async def test_a1_reads_are_pinned_to_an_etag(store: AnyStore, key: str) -> None:
    """After an object was replaced, no read that names the old etag gets the new bytes."""
    old = await put_object(store, key, b"what was checked", content_type="video/mp4")
    await put_object(store, key, b"something else...", content_type="video/mp4")
    with pytest.raises(PreconditionFailed):
        await store.get_object_range(key, 0, 4, if_match=old)
    with pytest.raises(PreconditionFailed):
        await store.head_object(key, if_match=old)
    with pytest.raises(PreconditionFailed):
        await read_object(store, key, old)


async def test_b8_an_empty_object_has_no_range(store: AnyStore, key: str) -> None:
    """A ranged read of an empty object is InvalidRange, as is one behind the end of any object."""
    await put_object(store, key, b"", content_type="video/mp4")
    assert (await store.head_object(key)).size_bytes == 0
    assert await read_object(store, key) == b""
    with pytest.raises(InvalidRange):
        await store.get_object_range(key, 0, 4096, if_match=None)
    await put_object(store, key, b"four", content_type="video/mp4")
    with pytest.raises(InvalidRange):
        await store.get_object_range(key, 4, 1, if_match=None)


async def test_a_shorter_range_is_an_error(store: AnyStore, key: str) -> None:
    """A range that reaches over the end is an error, not fewer bytes."""
    await put_object(store, key, b"four", content_type="video/mp4")
    with pytest.raises(StoreError):
        await store.get_object_range(key, 2, 4, if_match=None)


async def test_part_checksums_are_enforced(store: AnyStore, key: str) -> None:
    """A part whose bytes do not have the announced SHA-256 is refused, others complete with theirs."""
    upload = await store.create_multipart_upload(key, content_type="video/mp4", checksum_algorithm="SHA256")
    size = len(LAST)
    with pytest.raises(BadDigest):
        await store.upload_part(key, upload, 1, LAST, size_bytes=size, checksum_sha256=sha(b"other"))
    assert await store.list_parts(key, upload) == []
    etag = await store.upload_part(key, upload, 1, LAST, size_bytes=size, checksum_sha256=sha(LAST))
    [listed] = await store.list_parts(key, upload)
    assert listed.checksum_sha256 in (sha(LAST), None)  # not every store lists it
    await store.complete_multipart_upload(key, upload, [CompletedPart(1, etag, sha(LAST))])
    assert await read_object(store, key) == LAST


async def test_missing_things_have_their_own_errors(store: AnyStore, key: str, bad_store: dict[str, AnyStore]) -> None:
    """A missing object, upload or bucket and a wrong secret are told apart."""
    await store.head_bucket()
    with pytest.raises(NoSuchKey):
        await store.head_object(key)
    with pytest.raises(NoSuchKey):
        await store.get_object_range(key, 0, 1, if_match=None)
    with pytest.raises(NoSuchKey):
        await read_object(store, key)
    with pytest.raises(NoSuchBucket):
        await bad_store["bucket"].head_bucket()
    with pytest.raises(NoSuchBucket):
        await bad_store["bucket"].create_multipart_upload(key, content_type="video/mp4")
    with pytest.raises(AccessDenied):
        await bad_store["secret"].head_bucket()
    with pytest.raises(AccessDenied):
        await bad_store["secret"].create_multipart_upload(key, content_type="video/mp4")


async def test_an_upload_id_is_bound_to_its_key(store: AnyStore, key: str) -> None:
    """An upload cannot be used under another key."""
    upload, parts = await put_all(store, key, LAST)
    with pytest.raises(NoSuchUpload):
        await put(store, f"{key}.other", upload, 1, LAST)
    with pytest.raises(NoSuchUpload):
        await store.list_parts(f"{key}.other", upload)
    with pytest.raises(NoSuchUpload):
        await store.complete_multipart_upload(f"{key}.other", upload, parts)


async def test_deleting_twice_is_fine(store: AnyStore, key: str) -> None:
    """Deleting is about the end: nothing is there, whether or not something was."""
    await put_object(store, key, b"gone soon", content_type="video/mp4")
    await store.delete_object(key)
    await store.delete_object(key)
    with pytest.raises(NoSuchKey):
        await store.head_object(key)
