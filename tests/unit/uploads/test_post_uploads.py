"""POST uploads: found by a check, copied once, and never from the key that the form can write to."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from gateway.domain.errors import DatabaseUnavailable, PartsMismatch, Unavailable, WrongState
from gateway.domain.upload import State
from gateway.uploads import copy_form
from gateway.uploads.access import load, request_check, wait_until
from gateway.uploads.complete import complete
from gateway.uploads.post_uploads import complete_arrived
from tests.unit.uploads.conftest import ACME, World, wav


async def test_a_file_that_arrived_is_ready_and_leaves_the_forms_key(world: World) -> None:
    """The checked copy lies under the object key, and the form's key is empty again."""
    upload = await world.posted(wav())
    final = await complete_arrived(world.gateway, upload.id)
    assert final is not None
    assert final.state is State.READY
    assert list(world.store.objects) == [upload.object_key]


async def test_before_it_arrives_nothing_changes(world: World) -> None:
    """The upload stays open, and its copy can be claimed at once."""
    upload = await world.posted(None)
    found = await complete_arrived(world.gateway, upload.id)
    assert found == world.row(upload.id)
    assert (found.state, found.receiver_token) == (State.UPLOADING, None)
    with pytest.raises(PartsMismatch, match="not been sent"):
        await complete(world.gateway, ACME, upload.id)


@pytest.mark.parametrize(("body", "code"), [(b"", "empty"), (bytes(10_001), "file_too_large")])
async def test_a_wrong_size_is_rejected_without_a_copy(world: World, body: bytes, code: str) -> None:
    """The size of the posted file decides before anything is copied."""
    upload = await world.posted(body)
    final = await complete_arrived(world.gateway, upload.id)
    assert final is not None
    assert (final.state, final.rejection_code) == (State.REJECTED, code)
    assert "UploadPartCopy" not in world.store.calls


async def test_of_two_checks_at_once_one_copies(world: World) -> None:
    """The other one returns the upload in its present state."""
    upload = await world.posted(wav())
    await asyncio.gather(*(complete_arrived(world.gateway, upload.id) for _ in range(2)))
    assert world.store.calls.count("UploadPartCopy") == 1
    assert world.row(upload.id).state is State.READY


async def test_a_form_sent_again_during_the_copy_is_found_by_the_next_check(world: World) -> None:
    """A copy is pinned to the ETag that was found; other bytes stop it, and the claim is released."""
    upload = await world.posted(wav())
    assert upload.post_key is not None

    async def send_again() -> None:
        world.store.put(str(upload.post_key), wav(2600))

    world.store.before["UploadPartCopy"] = send_again
    found = await complete_arrived(world.gateway, upload.id)
    assert found is not None
    assert (found.state, found.receiver_token) == (State.UPLOADING, None)
    final = await complete_arrived(world.gateway, upload.id)
    assert final is not None
    assert (final.state, final.observed_size_bytes) == (State.READY, 2600)


async def test_parts_of_a_larger_file_sent_before_do_not_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that stopped may leave more parts than the next file has."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 1000)
    upload = await world.posted(wav(900))
    world.store.multiparts[str(upload.multipart_upload_id)].parts = {n: bytes(1000) for n in range(1, 6)}
    final = await complete_arrived(world.gateway, upload.id)
    assert final is not None
    assert (final.state, final.observed_size_bytes) == (State.READY, 900)


async def test_a_copy_that_was_taken_over_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the part in work the process finds out, and leaves the claim to the other one."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 1000)
    upload, taker = await world.posted(wav()), uuid4()

    async def take_over() -> None:
        world.clock.move(31)
        assert await world.uploads.claim_receiver(upload.id, token=taker, seconds=30)

    world.store.before["UploadPartCopy"] = take_over
    with pytest.raises(WrongState, match="Another process"):
        await complete(world.gateway, ACME, upload.id)
    assert world.store.calls.count("UploadPartCopy") == 1
    assert world.row(upload.id).receiver_token == taker


async def test_a_copy_stops_when_its_claim_could_not_be_renewed_for_a_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away a copy goes on as long as its lease, and not to the end of the file."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 100)
    gateway = world.with_policy(lease_seconds=0.05)
    upload = await world.posted(wav())

    async def away(*_: object, **__: object) -> bool:
        await asyncio.sleep(0.02)
        raise Unavailable

    monkeypatch.setattr(world.uploads, "save_received", away)
    with pytest.raises(DatabaseUnavailable):
        await complete(gateway, ACME, upload.id)
    assert world.store.calls.count("UploadPartCopy") < 10


async def test_a_question_only_wakes_a_worker(world: World) -> None:
    """Waiting for a POST upload asks for a check, calls no store and writes no row."""
    upload = await world.posted(wav())
    row, calls = world.row(upload.id), len(world.store.calls)
    await wait_until(world.gateway, ACME, upload.id, seconds=0)
    assert world.uploads.checks_requested == [upload.id]
    assert (world.row(upload.id), len(world.store.calls)) == (row, calls)


async def test_no_worker_is_woken_for_other_uploads(world: World) -> None:
    """Uploads in parts, ended POST uploads and expired ones request no check."""
    parts, done, late = await world.sent(wav()), await world.posted(wav()), await world.posted(None)
    await complete_arrived(world.gateway, done.id)
    world.clock.move(86_401)
    for upload in (parts, done, late):
        await request_check(world.gateway, await load(world.gateway, ACME, upload.id))
    assert world.uploads.checks_requested == []
