"""Complete: listed or copied, compared, claimed, assembled, checked; each step once, and any crash can be resumed."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from gateway.domain.errors import Gone, LeaseLost, NotFound, PartsMismatch, Unavailable, WrongState
from gateway.domain.parts import ClientPart
from gateway.domain.transition import Transition
from gateway.domain.upload import State
from gateway.maintenance.sweep import expire
from gateway.storage.errors import AccessDenied
from gateway.uploads.abort import abort
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.expiry import LATE_SECONDS
from gateway.uploads.process import resume
from tests.unit.uploads.conftest import ACME, OTHER, World, wav

HAPPY = ["created", "completing", "validating", "ready"]


async def test_a_file_is_ready_with_its_own_bytes(world: World) -> None:
    """Every step writes one event, and the object is the file."""
    body = wav()
    upload = await world.sent(body)
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.observed_size_bytes, final.content_type) == (State.READY, len(body), "audio/vnd.wave")
    assert final.observed_etag == world.store.objects[upload.object_key].etag
    assert world.store.objects[upload.object_key].body == body
    assert world.uploads.types_of(upload.id) == HAPPY


async def test_completing_again_gives_the_same_answer(world: World) -> None:
    """A second call changes nothing and does not call the store."""
    upload = await world.sent(wav())
    first = await complete(world.gateway, ACME, upload.id)
    calls = len(world.store.calls)
    assert await complete(world.gateway, ACME, upload.id) == first
    assert len(world.store.calls) == calls


async def test_six_calls_at_once_are_one_assembly(world: World) -> None:
    """All get the answer of the one that claimed."""
    upload = await world.sent(wav())
    answers = await asyncio.gather(*(complete(world.gateway, ACME, upload.id) for _ in range(6)))
    assert {one.state for one in answers} == {State.READY}
    assert world.store.calls.count("CompleteMultipartUpload") == 1


async def test_a_missing_part_is_named_and_nothing_changes(world: World) -> None:
    """The store is not asked to assemble, and the upload is still open."""
    upload = await world.created(wav())
    world.put(upload, wav(), only={1, 3})
    with pytest.raises(PartsMismatch) as raised:
        await complete(world.gateway, ACME, upload.id)
    assert raised.value.fields == {"missing": [2]}
    assert world.row(upload.id).state is State.UPLOADING
    assert "CompleteMultipartUpload" not in world.store.calls


async def test_the_clients_list_is_compared(world: World) -> None:
    """An ETag of replaced bytes is refused, the present one is accepted."""
    upload = await world.created(wav())
    [old, *rest] = world.put(upload, b"x" * 2500)
    etags = world.put(upload, wav())
    assert old != etags[0]
    with pytest.raises(PartsMismatch):
        await complete(world.gateway, ACME, upload.id, [ClientPart(n, e) for n, e in enumerate([old, *rest], 1)])
    final = await complete(world.gateway, ACME, upload.id, [ClientPart(n, e) for n, e in enumerate(etags, 1)])
    assert final.state is State.READY


async def test_parts_over_the_limit_are_never_assembled(world: World) -> None:
    """The sum is checked before the store assembles: no object of that size exists at any moment."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    world.store.multiparts[str(upload.multipart_upload_id)].parts[1] = wav(10_002)
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "file_too_large")
    assert "CompleteMultipartUpload" not in world.store.calls
    assert (world.store.objects, world.store.multiparts, world.uploads.cleanup_pending) == ({}, {}, set())


async def test_a_sum_that_is_not_the_declared_one_is_refused(world: World) -> None:
    """Where the client cuts the parts, their sum is compared with the declared size."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", 900, cut_by_client=True))).upload
    world.store.multiparts[str(upload.multipart_upload_id)].parts[1] = wav(800)
    with pytest.raises(PartsMismatch, match="800 bytes"):
        await complete(world.gateway, ACME, upload.id)


async def test_a_receiver_that_starts_after_the_load_is_named_as_the_reason(world: World) -> None:
    """The caller is told that the file is being received, not that a part was replaced."""
    upload = await world.sent(wav())

    async def receive() -> None:
        assert await world.uploads.claim_receiver(upload.id, token=uuid4(), seconds=30)

    world.store.before["ListParts"] = receive
    with pytest.raises(WrongState, match="receiving"):
        await complete(world.gateway, ACME, upload.id)


async def test_an_upload_that_the_sweeper_expires_after_the_load_is_gone(world: World) -> None:
    """The claim fails, and the answer says that the upload expired."""
    upload = await world.sent(wav())

    async def sweep() -> None:
        world.clock.move(86_401)
        assert await expire(world.gateway, upload.id)

    world.store.before["ListParts"] = sweep
    with pytest.raises(Gone):
        await complete(world.gateway, ACME, upload.id)


async def test_an_abort_that_wins_is_told(world: World) -> None:
    """Of an abort between load and claim the caller hears that the upload was aborted."""
    upload = await world.sent(wav())

    async def abort_first() -> None:
        await abort(world.gateway, ACME, upload.id)

    world.store.before["ListParts"] = abort_first
    with pytest.raises(WrongState, match="aborted"):
        await complete(world.gateway, ACME, upload.id)
    assert world.store.objects == {}


async def _lose_lease(world: World, upload_id: UUID, *changes: Transition) -> None:
    """Let another process take over, and bring the upload further."""
    world.clock.move(31)
    assert await world.uploads.take_lease(upload_id, token=uuid4(), seconds=30) is not None
    for change in changes:
        assert await world.uploads.apply(upload_id, change) is not None


async def test_after_a_lost_lease_an_aborted_upload_is_an_error(world: World) -> None:
    """Another process reopened the upload and it was aborted: the answer is WrongState, not an aborted upload."""
    upload = await world.sent(wav())

    async def lose() -> None:
        reopened = Transition(State.COMPLETING, State.UPLOADING)
        await _lose_lease(world, upload.id, reopened, Transition(State.UPLOADING, State.ABORTED))

    world.store.after["CompleteMultipartUpload"] = lose
    with pytest.raises(WrongState, match="aborted"):
        await complete(world.gateway, ACME, upload.id)


async def test_after_a_lost_lease_an_open_upload_is_an_error(world: World) -> None:
    """Another process opened the upload again: the caller is told to complete again."""
    upload = await world.sent(wav())

    async def lose() -> None:
        await _lose_lease(world, upload.id, Transition(State.COMPLETING, State.UPLOADING))

    world.store.after["CompleteMultipartUpload"] = lose
    with pytest.raises(PartsMismatch, match="Complete the upload again"):
        await complete(world.gateway, ACME, upload.id)


async def test_over_its_budget_complete_answers_with_the_state(world: World) -> None:
    """The call ends after its budget, and the upload is processed all the same."""
    upload = await world.sent(wav())
    hold = asyncio.Event()
    world.store.before["CompleteMultipartUpload"] = hold.wait
    early = await complete(world.gateway, ACME, upload.id, budget_seconds=0.0)
    assert early.state is State.COMPLETING
    hold.set()
    await world.gateway.work.close(5)
    assert world.row(upload.id).state is State.READY


@pytest.mark.parametrize("moment", ["before assembly", "after assembly", "before a read"])
async def test_a_process_that_hangs_is_followed_by_another(world: World, moment: str) -> None:
    """After the lease another process continues from the recorded state, and the first one changes nothing any more."""
    upload = await world.sent(wav())
    hold = asyncio.Event()
    hooks = world.store.after if moment == "after assembly" else world.store.before
    hooks["GetObject" if moment == "before a read" else "CompleteMultipartUpload"] = hold.wait
    await complete(world.gateway, ACME, upload.id, budget_seconds=0.0)
    while not hold_reached(world, moment):
        await asyncio.sleep(0)
    world.clock.move(31)
    final = await resume(world.gateway, upload.id)
    assert final is not None
    hold.set()
    await world.gateway.work.close(5)
    assert world.row(upload.id) == final
    assert final.state is State.READY
    assert world.uploads.types_of(upload.id) == HAPPY


def hold_reached(world: World, moment: str) -> bool:
    """Say whether the first process has come to its hook."""
    return not (world.store.after if moment == "after assembly" else world.store.before)


async def test_an_outage_releases_the_lease(world: World) -> None:
    """After Unavailable the state is unchanged, and another process may take over at once."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise Unavailable

    world.store.before["CompleteMultipartUpload"] = fail
    with pytest.raises(Unavailable):
        await complete(world.gateway, ACME, upload.id)
    assert world.row(upload.id).state is State.COMPLETING
    world.clock.move(0.001)
    final = await resume(world.gateway, upload.id)
    assert final is not None
    assert final.state is State.READY


async def test_a_refusal_of_the_store_opens_the_upload_again(world: World) -> None:
    """The caller gets the store's error, may mend it, and complete again."""
    upload = await world.sent(wav())

    async def refuse() -> None:
        raise AccessDenied

    world.store.before["CompleteMultipartUpload"] = refuse
    with pytest.raises(AccessDenied):
        await complete(world.gateway, ACME, upload.id)
    assert world.row(upload.id).state is State.UPLOADING
    assert (await complete(world.gateway, ACME, upload.id)).state is State.READY


async def test_a_part_replaced_after_the_claim_opens_the_upload_again(world: World) -> None:
    """The claimed ETags are the file: other bytes are never assembled."""
    upload = await world.sent(wav())

    async def replace_part() -> None:
        world.put(upload, b"x" * 2500, only={2})

    world.store.before["CompleteMultipartUpload"] = replace_part
    with pytest.raises(PartsMismatch):
        await complete(world.gateway, ACME, upload.id)
    assert (world.row(upload.id).state, world.store.objects) == (State.UPLOADING, {})


async def test_parts_that_the_store_lost_are_a_rejection(world: World) -> None:
    """Neither parts nor an object: the file has to be uploaded again."""
    upload = await world.sent(wav())
    world.store.multiparts.clear()
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "parts_lost")


async def test_an_object_of_somebody_else_is_not_taken_for_the_uploads(world: World) -> None:
    """Without our upload_id in its metadata an object under the key does not prove a completion."""
    upload = await world.sent(wav())
    world.store.multiparts.clear()
    world.store.put(upload.object_key, wav())
    final = await complete(world.gateway, ACME, upload.id)
    assert (final.state, final.rejection_code) == (State.REJECTED, "parts_lost")


async def test_only_the_tenant_completes(world: World) -> None:
    """Another tenant meets NotFound."""
    upload = await world.sent(wav())
    with pytest.raises(NotFound):
        await complete(world.gateway, OTHER, upload.id)


async def test_a_late_upload_is_ready_until_the_sweeper_expires_it(world: World) -> None:
    """With all its parts it is completed after its expiry, and Gone once the sweeper was first."""
    late, swept = await world.sent(wav()), await world.sent(wav())
    world.clock.move(86_401)
    assert (await complete(world.gateway, ACME, late.id)).state is State.READY
    assert await expire(world.gateway, swept.id)
    with pytest.raises(Gone):
        await complete(world.gateway, ACME, swept.id)


async def test_a_late_upload_of_a_token_is_gone(world: World) -> None:
    """It no longer counts against the token's files, so it must not become ready."""
    upload = await world.created(wav(), world.bearer(max_files=1))
    world.put(upload, wav())
    world.clock.move(86_400 + LATE_SECONDS + 1)
    with pytest.raises(Gone):
        await complete(world.gateway, ACME, upload.id)


async def test_a_lost_lease_changes_nothing(world: World) -> None:
    """The process that lost its lease raises LeaseLost, and the row is the other process's."""
    from gateway.uploads.process import process

    upload = await world.sent(wav())
    token = uuid4()
    parts = await world.store.list_parts(upload.object_key, str(upload.multipart_upload_id))
    claimed = await world.uploads.apply(
        upload.id,
        Transition(State.UPLOADING, State.COMPLETING, lease_token=token, lease_seconds=30, assembly=parts),
    )
    assert claimed is not None

    async def lose() -> None:
        await _lose_lease(world, upload.id)

    world.store.before["CompleteMultipartUpload"] = lose
    with pytest.raises(LeaseLost):
        await process(world.gateway, claimed)
    assert world.row(upload.id).state is State.COMPLETING
