"""Complete on behalf of a receiver: its own parts, its own right, and nobody else's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.domain.errors import PartsMismatch, Unavailable, WrongState
from gateway.domain.parts import ClientPart
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.uploads import access, heartbeat, validate
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from tests.unit.uploads.conftest import ACME, World, wav
from tests.unit.uploads.memory_store import etag_of


async def _unsized(world: World, *bodies: bytes) -> Upload:
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    world.store.multiparts[str(upload.multipart_upload_id)].parts = dict(enumerate(bodies, 1))
    return upload


async def test_only_the_receiver_completes_while_it_receives(world: World) -> None:
    """Without its token, and with another one, the call is refused and names the state."""
    upload = await _unsized(world, wav())
    token = uuid4()
    assert await world.uploads.claim_receiver(upload.id, token=token, seconds=30)
    for other in (None, uuid4()):
        with pytest.raises(WrongState, match=r"The gateway is still receiving or copying the file\.") as raised:
            await complete(world.gateway, ACME, upload.id, receiver_token=other)
        assert raised.value.fields == {"state": "uploading"}
    final = await complete(world.gateway, ACME, upload.id, receiver_token=token)
    assert (final.state, final.receiver_token) == (State.READY, None)


async def test_a_receivers_claim_that_another_took_over_completes_nothing(world: World) -> None:
    """Between load and claim the right went to another process: the row is compared again at the claim."""
    upload = await _unsized(world, wav())
    token, later = uuid4(), uuid4()
    assert await world.uploads.claim_receiver(upload.id, token=token, seconds=30)

    async def take_over() -> None:
        world.clock.move(31)
        assert await world.uploads.claim_receiver(upload.id, token=later, seconds=30)

    world.store.before["ListParts"] = take_over
    with pytest.raises(WrongState, match="receiving"):
        await complete(world.gateway, ACME, upload.id, receiver_token=token)
    assert world.row(upload.id).receiver_token == later


async def test_a_receiver_counts_only_the_parts_that_it_sent(world: World) -> None:
    """Parts after them were left by an earlier sender of a larger file."""
    body = wav()
    upload = await _unsized(world, body, b"left by another sender")
    token = uuid4()
    assert await world.uploads.claim_receiver(upload.id, token=token, seconds=30)
    sent = [ClientPart(1, etag_of(body))]
    final = await complete(world.gateway, ACME, upload.id, sent, receiver_token=token)
    assert (final.state, final.observed_size_bytes) == (State.READY, len(body))


async def test_a_client_names_every_part(world: World) -> None:
    """Without a receiver a part that the client does not name is a difference, never left out."""
    body = wav()
    upload = await world.created(body)
    etags = world.put(upload, body)
    with pytest.raises(PartsMismatch) as raised:
        await complete(world.gateway, ACME, upload.id, [ClientPart(n, etags[n - 1]) for n in (1, 2)])
    assert raised.value.detail != PartsMismatch().detail
    assert list(raised.value.fields.values()) == [[3]]


async def test_parts_of_exactly_the_limit_are_assembled(world: World) -> None:
    """The limit itself is accepted; gaps are still found there."""
    upload = await _unsized(world, wav(10_000))
    assert (await complete(world.gateway, ACME, upload.id)).state is State.READY
    gap = await _unsized(world)
    world.store.multiparts[str(gap.multipart_upload_id)].parts = {2: bytes(10_000)}
    with pytest.raises(PartsMismatch):
        await complete(world.gateway, ACME, gap.id)


async def test_each_step_leaves_a_whole_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the claim, and after the start of a slow check, the process has all of `lease_seconds`."""
    monkeypatch.setattr(validate, "QUICK_CHECK_SECONDS", 0.0)
    upload = await world.sent(wav())
    leases = []

    async def look() -> None:
        lease_until = world.row(upload.id).lease_until
        leases.append(lease_until - world.clock() if lease_until else None)

    async def slow() -> None:
        while world.row(upload.id).state is State.COMPLETING:
            await asyncio.sleep(0)
        await look()

    world.store.before["CompleteMultipartUpload"] = look
    world.store.before["GetObject"] = slow
    await complete(world.gateway, ACME, upload.id)
    assert leases == [timedelta(seconds=30)] * 2


async def test_a_slow_check_goes_on_while_the_row_is_validating(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ETag of the assembly is recorded meanwhile, and pins the reads of another process; one check is enough."""
    monkeypatch.setattr(validate, "QUICK_CHECK_SECONDS", 0.0)
    upload = await world.sent(wav())
    etags = []

    async def wait() -> None:
        while world.row(upload.id).state is State.COMPLETING:
            await asyncio.sleep(0)
        etags.append(world.row(upload.id).observed_etag)

    world.store.before["GetObject"] = wait
    ready = await complete(world.gateway, ACME, upload.id)
    assert (ready.state, etags) == (State.READY, [ready.observed_etag])
    assert world.uploads.types_of(upload.id) == ["created", "completing", "validating", "ready"]
    assert world.store.calls.count("GetObject") == 1


async def test_a_check_that_fails_leaves_the_row_validating_with_its_object(world: World) -> None:
    """Another process checks the same content, whatever is written over it by then."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise Unavailable

    world.store.before["GetObject"] = fail
    with pytest.raises(Unavailable):
        await complete(world.gateway, ACME, upload.id)
    row = world.row(upload.id)
    assert (row.state, row.observed_etag) == (State.VALIDATING, world.store.objects[upload.object_key].etag)


async def test_a_lease_that_is_lost_during_a_slow_check_ends_the_check(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that took the lease writes the state; this one stops reading and records nothing."""
    monkeypatch.setattr(validate, "QUICK_CHECK_SECONDS", 0.0)
    upload = await world.sent(wav())
    cancelled = []

    async def lose() -> None:
        row = world.row(upload.id)
        world.uploads.rows[upload.id] = replace(row, lease_token=uuid4())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    world.store.before["GetObject"] = lose
    answered = await complete(world.gateway, ACME, upload.id)
    assert (answered.state, cancelled) == (State.COMPLETING, [True])
    assert world.uploads.types_of(upload.id) == ["created", "completing"]


async def test_a_call_that_finds_the_upload_claimed_waits_for_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that is opened again ends the wait at once: its caller has to act."""
    monkeypatch.setattr(access, "RECHECK_SECONDS", 60.0)
    upload = await world.sent(wav())

    async def claim_first() -> None:
        claim = Transition(State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=30)
        assert await world.uploads.apply(upload.id, claim) is not None

    world.store.before["ListParts"] = claim_first
    call = asyncio.create_task(complete(world.gateway, ACME, upload.id, budget_seconds=60.0))
    while world.row(upload.id).state is not State.COMPLETING:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert not call.done()
    assert await world.uploads.apply(upload.id, Transition(State.COMPLETING, State.UPLOADING)) is not None
    with pytest.raises(PartsMismatch, match="Complete the upload again"):
        await asyncio.wait_for(call, 10)


async def test_a_file_on_disk_is_completed_by_its_receiver_alone(world: World, tmp_path: Path) -> None:
    """Half a file lies there when its receiver died: no other call takes it for a whole one."""
    wanted = NewUpload("a.wav", None, directory=str(tmp_path))
    upload = (await create(world.gateway, ACME, wanted, sent_by_gateway=True)).upload
    for other in (None, uuid4()):
        with pytest.raises(WrongState, match="still receiving"):
            await complete(world.gateway, ACME, upload.id, receiver_token=other)
    assert world.row(upload.id).state is State.UPLOADING


async def test_another_content_under_the_key_is_never_the_assembled_one(world: World) -> None:
    """It was written between the assembly and the check, and is a good file of the same size itself."""
    body = wav()
    upload = await world.sent(body)

    async def forge() -> None:
        world.store.put(upload.object_key, body[:-2] + b"\1\1")

    world.store.before["GetObject"] = forge
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_changed")


@pytest.mark.parametrize("retried", [False, True])
async def test_a_create_that_was_retried_may_have_left_an_orphan(
    world: World, retried: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only then the sweep looks for a second multipart upload of the key; a file on disk has none."""
    told: list[bool] = []
    original, opening = world.uploads.open_upload, world.store.open_multipart_upload

    async def open_upload(*arguments: Any, **more: Any) -> Any:
        told.append(more.get("orphans_possible", False))
        return await original(*arguments, **more)

    async def open_multipart_upload(key: str, **options: Any) -> tuple[str, bool]:
        return (await opening(key, **options))[0], retried

    monkeypatch.setattr(world.uploads, "open_upload", open_upload)
    monkeypatch.setattr(world.store, "open_multipart_upload", open_multipart_upload)
    await world.created(wav())
    wanted = NewUpload("a.wav", None, directory=str(tmp_path))
    await create(world.gateway, ACME, wanted, sent_by_gateway=True)
    assert told == [retried, False]


async def test_a_lease_is_renewed_four_times_in_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three renewals may fail before another process takes over."""
    pauses: list[float] = []

    class Pausing:
        @staticmethod
        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.Event().wait()

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    async def renew() -> bool:
        return True

    monkeypatch.setattr(heartbeat, "asyncio", Pausing())
    async with heartbeat.renewing(renew, lease_seconds=10):
        while not pauses:
            await asyncio.sleep(0)
    assert pauses == [2.5]
