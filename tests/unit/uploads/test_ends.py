"""Abort, validate and clean up: how an upload ends when it is not ready, and what is left of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import NotFound, Unavailable, WrongState
from gateway.domain.transition import Transition
from gateway.domain.upload import State
from gateway.maintenance.sweep import expire
from gateway.storage.errors import StoreUnavailable
from gateway.uploads.abort import abort
from gateway.uploads.clean_up import ABORT_ROUNDS, clean_up
from gateway.uploads.complete import complete
from gateway.uploads.process import resume
from tests.unit.uploads.conftest import ACME, OTHER, World, wav


async def test_an_abort_leaves_nothing_and_may_be_repeated(world: World) -> None:
    """The parts are gone, and a second abort gives the same answer."""
    upload = await world.sent(wav())
    first = await abort(world.gateway, ACME, upload.id)
    assert (first.state, world.store.multiparts, world.uploads.cleanup_pending) == (State.ABORTED, {}, set())
    assert await abort(world.gateway, ACME, upload.id) == first


async def test_a_ready_upload_cannot_be_aborted(world: World) -> None:
    """Ready is final, and the object stays."""
    upload = await world.sent(wav())
    await complete(world.gateway, ACME, upload.id)
    with pytest.raises(WrongState):
        await abort(world.gateway, ACME, upload.id)
    assert upload.object_key in world.store.objects


async def test_only_the_tenant_aborts(world: World) -> None:
    """Another tenant meets NotFound, and the upload stays open."""
    upload = await world.sent(wav())
    with pytest.raises(NotFound):
        await abort(world.gateway, OTHER, upload.id)
    assert world.row(upload.id).state is State.UPLOADING


async def test_an_abort_counts_though_the_store_fails(world: World) -> None:
    """The state is recorded first; the upload stays marked for the sweeper."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise StoreUnavailable

    world.store.before["AbortMultipartUpload"] = fail
    aborted = await abort(world.gateway, ACME, upload.id)
    assert (aborted.state, world.uploads.cleanup_pending) == (State.ABORTED, {upload.id})
    await clean_up(world.gateway, aborted)
    assert (world.store.multiparts, world.uploads.cleanup_pending) == ({}, set())


async def test_a_part_that_lands_after_the_abort_is_removed_as_well(world: World) -> None:
    """Clean-up lists after each abort, and gives up as Unavailable while the store still holds parts."""
    upload = await world.sent(wav())
    aborted = await world.uploads.apply(upload.id, Transition(State.UPLOADING, State.ABORTED, cleanup_pending=True))
    assert aborted is not None
    identity = str(upload.multipart_upload_id)
    kept = world.store.multiparts[identity]

    async def land_again() -> None:
        world.store.multiparts[identity] = kept

    lands = 0
    original = world.store.list_parts

    async def list_parts(key: str, multipart_upload_id: str) -> list[object]:
        nonlocal lands
        if lands < ABORT_ROUNDS:
            lands += 1
            await land_again()
        return await original(key, multipart_upload_id)  # type: ignore[return-value]

    world.store.list_parts = list_parts  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable, match="still holds parts"):
        await clean_up(world.gateway, aborted)
    assert world.uploads.cleanup_pending == {upload.id}
    await clean_up(world.gateway, aborted)
    assert (world.store.multiparts, world.uploads.cleanup_pending) == ({}, set())


async def test_an_intent_whose_answer_was_lost_is_cleaned_by_its_key(world: World) -> None:
    """Without a multipart_upload_id the store is asked for the uploads of exactly this key."""
    upload = await world.created(wav())
    intent = replace(upload, state=State.EXPIRED, multipart_upload_id=None)
    world.uploads.rows[upload.id] = intent
    await clean_up(world.gateway, intent)
    assert world.store.multiparts == {}


async def test_only_an_overdue_upload_expires(world: World) -> None:
    """Before its time nothing happens; after it the upload is expired and its parts are gone."""
    upload = await world.sent(wav())
    assert not await expire(world.gateway, upload.id)
    world.clock.move(86_401)
    assert await expire(world.gateway, upload.id)
    assert (world.row(upload.id).state, world.store.multiparts) == (State.EXPIRED, {})
    assert not await expire(world.gateway, upload.id)


@pytest.mark.parametrize(
    ("body", "filename", "code"),
    [
        (b"just a letter " * 100, "a.wav", "type_not_recognised"),
        (b"wvpk" + bytes(range(256)) * 8, "a.wav", "type_not_recognised"),
    ],
)
async def test_a_file_of_another_type_is_rejected_and_removed(
    world: World, body: bytes, filename: str, code: str
) -> None:
    """The event names the reason, and the object is deleted."""
    from gateway.uploads.create import NewUpload, create

    upload = (await create(world.gateway, ACME, NewUpload(filename, len(body)))).upload
    world.put(upload, body)
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, code)
    assert world.store.objects == {}
    assert world.uploads.events[-1][2]["code"] == code


async def test_an_object_that_changes_during_the_check_is_rejected(world: World) -> None:
    """Every read is pinned to one ETag, so other bytes never become ready."""
    upload = await world.sent(wav())

    async def change() -> None:
        world.store.put(upload.object_key, wav(2600))

    world.store.before["GetObject"] = change
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_changed")


async def test_an_object_that_the_store_lost_is_rejected(world: World) -> None:
    """The store itself has to say that the object is missing."""
    upload = await world.sent(wav())

    async def lose() -> None:
        world.store.objects.clear()

    world.store.after["CompleteMultipartUpload"] = lose
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_missing")


async def test_an_object_of_another_size_is_rejected(world: World) -> None:
    """The size of the object is compared with the declared one, whatever the parts were."""
    upload = await world.sent(wav())

    async def lengthen() -> None:
        kept = world.store.objects[upload.object_key]
        world.store.objects[upload.object_key] = replace(kept, body=kept.body + b"x")

    world.store.before["GetObject"] = lengthen
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "wrong_size")


async def test_a_check_that_fails_is_tried_again_until_its_time_is_over(world: World) -> None:
    """An unknown error keeps the upload validating; after the lifetime of an upload the file is rejected."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise RuntimeError

    world.store.before["GetObject"] = fail
    with pytest.raises(RuntimeError):
        await complete(world.gateway, ACME, upload.id)
    assert world.row(upload.id).state is State.VALIDATING
    world.clock.move(86_401)
    world.store.before["GetObject"] = fail
    final = await resume(world.gateway, upload.id)
    assert final is not None
    assert (final.state, final.rejection_code) == (State.REJECTED, "not_checked")


async def test_an_outage_never_rejects(world: World) -> None:
    """However long the store is away, the file is checked when it is back."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise StoreUnavailable

    world.store.before["GetObject"] = fail
    with pytest.raises(StoreUnavailable):
        await complete(world.gateway, ACME, upload.id)
    world.clock.move(10 * 86_400)
    world.store.before["GetObject"] = fail
    with pytest.raises(StoreUnavailable):
        await resume(world.gateway, upload.id)
    world.clock.move(31)
    final = await resume(world.gateway, upload.id)
    assert final is not None
    assert final.state is State.READY
