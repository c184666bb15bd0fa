"""A bucket that keeps versions: one version is checked and given out, and a removed file leaves none."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from gateway.domain.errors import Unavailable
from gateway.domain.upload import State, Upload
from gateway.storage.errors import StoreError
from gateway.uploads.clean_up import MAX_VERSIONS, clean_up, remove_object
from gateway.uploads.complete import complete
from gateway.uploads.content_reader import StoreReader, open_contents
from tests.unit.uploads.conftest import ACME, World, wav
from tests.unit.uploads.memory_store import MemoryStore
from tests.unit.uploads.versioned_store import VersionedStore, refused


@pytest.fixture
def store(world: World) -> VersionedStore:
    """Give the world a store that keeps versions."""
    store = VersionedStore()
    world.store = store
    world.gateway = replace(
        world.gateway,
        store=store,  # type: ignore[arg-type]  # a fake
        find_multipart_uploads=store.find_multipart_uploads,
    )
    return store


async def _rejected(world: World, body: bytes = b"just a letter " * 100) -> Upload:
    upload = await world.sent(body)
    return await complete(world.gateway, ACME, upload.id)


async def test_the_checked_version_is_recorded(world: World, store: VersionedStore) -> None:
    """Every read names version and ETag, and both are in the row."""
    upload = await world.sent(wav())
    ready = await complete(world.gateway, ACME, upload.id)
    assert (ready.state, ready.observed_version_id) == (State.READY, "v1")
    assert set(store.reads) == {("v1", ready.observed_etag)}


async def test_a_later_write_changes_nothing_that_is_checked(world: World, store: VersionedStore) -> None:
    """The version that was assembled is read, whatever lies over it by then."""
    upload = await world.sent(wav())

    async def forge() -> None:
        store.put(upload.object_key, b"forged " * 300)

    store.before["GetObject"] = forge
    ready = await complete(world.gateway, ACME, upload.id)
    assert (ready.state, ready.observed_version_id, ready.observed_size_bytes) == (State.READY, "v1", 2500)


async def test_after_a_lost_answer_the_version_is_found(world: World, store: VersionedStore) -> None:
    """The object of an earlier completion is recognised with its version."""
    upload = await world.sent(wav())

    async def lose() -> None:
        raise Unavailable

    store.after["CompleteMultipartUpload"] = lose
    with pytest.raises(Unavailable):
        await complete(world.gateway, ACME, upload.id)
    world.clock.move(1)

    async def forge() -> None:
        store.put(upload.object_key, wav(2600))

    async def forge_next() -> None:
        store.before["HeadObject"] = forge

    # Between the look for the object and its check another content is written over it.
    store.before["HeadObject"] = forge_next
    ready = await complete(world.gateway, ACME, upload.id)
    assert (ready.state, ready.observed_version_id) == (State.READY, "v1")


async def test_where_reads_by_version_are_refused_the_etag_pins_the_content(
    world: World, store: VersionedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is still checked, the log names the permission, and no version is called checked."""
    upload = await world.sent(wav())
    store.refused["GetObject"] = refused()
    ready = await complete(world.gateway, ACME, upload.id)
    assert (ready.state, ready.observed_version_id) == (State.READY, None)
    assert {if_match for _, if_match in store.reads} == {ready.observed_etag}
    [record] = [one for one in caplog.records if "by version is refused" in one.message]
    assert record.levelno == logging.WARNING
    assert record.__dict__["upload_id"] == str(upload.id)
    assert upload.object_key not in str(record.__dict__)
    assert "AccessDenied" in record.__dict__["error"]


async def test_a_read_by_version_that_is_refused_later_is_pinned_by_the_etag(
    world: World, store: VersionedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Rights can change between two reads of one check."""
    upload = await world.sent(wav())
    ready = await complete(world.gateway, ACME, upload.id)
    head, _ = await store.open_object(upload.object_key, 1, if_match=None)
    reader = StoreReader(store, upload.object_key, head, b"", upload_id=str(upload.id))
    store.refused["GetObject"] = refused()
    assert await reader.read(0, 10) == wav()[:10]
    assert (reader.version_id, store.reads[-1]) == (None, (None, ready.observed_etag))
    assert [one.__dict__["upload_id"] for one in caplog.records if "by version" in one.message] == [str(upload.id)]


async def test_another_refusal_of_a_read_is_no_reason_to_read_without_version(
    world: World, store: VersionedStore
) -> None:
    """Only statuses that speak of versions count: with any other the check is tried again later."""
    upload = await world.sent(wav())
    store.refused["GetObject"] = StoreError(operation="GetObject", status=409)
    with pytest.raises(StoreError):
        await complete(world.gateway, ACME, upload.id)
    assert world.row(upload.id).state is State.VALIDATING


async def test_a_refusal_without_versions_is_an_error(world: World) -> None:
    """In a bucket without versions a 403 is not about them."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise refused()

    world.store.before["GetObject"] = fail
    with pytest.raises(StoreError):
        await complete(world.gateway, ACME, upload.id)


async def test_the_fallback_still_compares_the_etag(world: World, store: VersionedStore) -> None:
    """Without versions a forged write over the object is found: it never becomes ready."""
    upload = await world.sent(wav())
    store.refused["GetObject"] = refused()

    async def forge() -> None:
        store.put(upload.object_key, wav(2600))

    store.before["GetObject"] = forge
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_changed")


async def test_reads_past_the_end_are_empty(world: World) -> None:
    """A read is cut at the end of the file: stores answer 416 there."""
    upload = await world.sent(wav())
    ready = await complete(world.gateway, ACME, upload.id)
    async with open_contents(world.gateway, ready) as contents:
        assert (contents.size_bytes, contents.etag) == (2500, ready.observed_etag)
    head, beginning = await world.store.open_object(upload.object_key, 100, if_match=ready.observed_etag)
    reader = StoreReader(world.store, upload.object_key, head, beginning)
    calls = len(world.store.calls)
    read = [await reader.read(start, 10) for start in (0, 90, 91, 2490, 2495, 2499, 2500, 9999)]
    assert b"".join(read) == b"".join(wav()[start : start + 10] for start in (0, 90, 91, 2490, 2495, 2499))
    # The first 100 bytes came with the description of the object.
    assert world.store.calls[calls:].count("GetObject") == 4


async def test_a_rejected_file_leaves_no_version(world: World, store: VersionedStore) -> None:
    """Its content cannot be read by a version either."""
    upload = await _rejected(world)
    assert upload.state is State.REJECTED
    assert store.versions[upload.object_key] == []
    assert world.uploads.cleanup_pending == set()


async def test_a_version_under_a_delete_marker_is_removed_by_its_id(world: World, store: VersionedStore) -> None:
    """The marker hides the content from a HEAD, but whoever knows the version could read it."""
    upload = replace(await _rejected(world), observed_version_id="v1")
    store.put(upload.object_key, wav())
    upload = replace(upload, observed_version_id=store.versions[upload.object_key][0].version_id)
    store.hide(upload.object_key)
    await clean_up(world.gateway, upload)
    assert [one.stored for one in store.versions[upload.object_key]] == [None]


async def test_every_version_of_a_form_is_removed(store: VersionedStore) -> None:
    """A form can be sent again: each time adds a version."""
    for number in range(5):
        store.put("form", bytes([number]))
    await remove_object(store, "form")
    assert store.versions["form"] == []


@pytest.mark.parametrize(("count", "done"), [(MAX_VERSIONS - 1, True), (MAX_VERSIONS, False)])
async def test_one_call_removes_a_bounded_number_of_versions(store: VersionedStore, count: int, done: bool) -> None:
    """More than that is left to the next sweep, which is told so."""
    for _ in range(count):
        store.put("form", b"x")
    if done:
        await remove_object(store, "form")
    else:
        with pytest.raises(Unavailable, match="The store still holds versions of a removed object"):
            await remove_object(store, "form")
    assert store.versions["form"] == []
    await remove_object(store, "form")


async def test_a_version_that_may_not_be_deleted_is_hidden(
    store: VersionedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the permission the object is hidden, and the log names the permission."""
    store.put("form", b"x")
    store.refused["DeleteObject"] = refused()
    await remove_object(store, "form", version_id="v1")
    assert [one.stored is None for one in store.versions["form"]] == [False, True]
    assert ["s3:DeleteObjectVersion is refused" in one.message for one in caplog.records] == [True]


async def test_a_missing_object_needs_no_removal(store: VersionedStore) -> None:
    """Neither a missing key nor a missing version is an error."""
    await remove_object(store, "nothing", version_id="v9")
    assert "nothing" not in store.versions or store.versions["nothing"] == []


async def test_a_bucket_without_versions_is_asked_once() -> None:
    """One DELETE removes the object there."""
    store = MemoryStore(min_part_size=0)
    store.put("a", b"x")
    await remove_object(store, "a")
    assert (store.objects, store.calls) == ({}, ["HeadObject", "DeleteObject"])


async def test_a_checked_version_that_is_gone_is_missing_whatever_was_written_later(
    world: World, store: VersionedStore
) -> None:
    """The absence of exactly that version is confirmed by the store: a later write under the key is another file."""
    upload = await world.sent(wav())

    async def replace_version() -> None:
        store.put(upload.object_key, wav(2600))
        del store.versions[upload.object_key][0]

    store.before["GetObject"] = replace_version
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_missing")
    assert [version_id for version_id, _ in store.reads] == ["v1", "v1"]
    assert store.reads[-1] == ("v1", None)
