"""List and measure: what the store holds, and the end of an upload that holds too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import Gone, NotFound, PartsMismatch, TooLarge, WrongState
from gateway.domain.parts import S3_MIN_PART_SIZE
from gateway.domain.upload import State, Upload
from gateway.maintenance.sweep import expire
from gateway.storage.errors import StoreUnavailable
from gateway.uploads.abort import abort
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.list_parts import list_parts
from gateway.uploads.measure import end_oversized
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, OTHER, World, wav
from tests.unit.uploads.memory_store import Multipart

LIMIT = 3 * S3_MIN_PART_SIZE


def _parts(world: World, upload: Upload) -> Multipart:
    return world.store.multiparts[str(upload.multipart_upload_id)]


async def _unsized(world: World, **more: object) -> Upload:
    """Create an upload whose protocol names no size."""
    gateway = world.with_policy(max_file_size=LIMIT)
    return (await create(gateway, ACME, NewUpload("a.wav", None, **more))).upload  # type: ignore[arg-type]  # any field


async def test_the_parts_of_the_store_are_listed_in_order(world: World) -> None:
    """While the upload is open, the store answers: number, size and ETag."""
    upload = await world.created(wav())
    etags = world.put(upload, wav(), only={1, 3})
    listed = await list_parts(world.gateway, ACME, upload.id)
    assert [(part.part_number, part.size_bytes, part.etag) for part in listed] == [
        (1, 1000, etags[0]),
        (3, 500, etags[1]),
    ]


async def test_the_assembled_parts_are_listed_afterwards(world: World) -> None:
    """A client that lost the answer to complete still finds its parts, and the store is not asked."""
    upload = await world.sent(wav())
    before = await list_parts(world.gateway, ACME, upload.id)
    await complete(world.gateway, ACME, upload.id)
    calls = len(world.store.calls)
    assert await list_parts(world.gateway, ACME, upload.id) == before
    assert len(world.store.calls) == calls


async def test_parts_that_the_store_lost_are_an_empty_list(world: World) -> None:
    """Nothing was claimed and nothing is held: no part is named."""
    upload = await world.sent(wav())
    world.store.multiparts.clear()
    assert await list_parts(world.gateway, ACME, upload.id) == []


async def test_only_the_tenant_lists(world: World) -> None:
    """Another tenant meets NotFound."""
    upload = await world.sent(wav())
    with pytest.raises(NotFound):
        await list_parts(world.gateway, OTHER, upload.id)


async def test_an_ended_upload_lists_nothing(world: World) -> None:
    """An aborted one is WrongState, an expired one Gone, and both errors carry the state."""
    aborted, late = await world.sent(wav()), await world.sent(wav())
    await abort(world.gateway, ACME, aborted.id)
    with pytest.raises(WrongState, match=r"The upload was aborted\.") as wrong:
        await list_parts(world.gateway, ACME, aborted.id)
    world.clock.move(86_401)
    assert await expire(world.gateway, late.id)
    with pytest.raises(Gone) as gone:
        await list_parts(world.gateway, ACME, late.id)
    assert (wrong.value.fields, gone.value.fields) == ({"state": "aborted"}, {"state": "expired"})


@pytest.mark.parametrize(("size", "fits"), [(10_000, True), (10_001, False)])
async def test_parts_up_to_the_limit_are_listed_and_more_are_rejected(world: World, size: int, fits: bool) -> None:
    """One byte over the limit rejects the upload and names the limit."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    _parts(world, upload).parts[1] = bytes(size)
    if fits:
        assert [part.size_bytes for part in await list_parts(world.gateway, ACME, upload.id)] == [size]
        return
    with pytest.raises(TooLarge, match=r"The file is larger than 10000 bytes\.") as raised:
        await list_parts(world.gateway, ACME, upload.id)
    assert raised.value.fields == {"max_size_bytes": 10_000}
    assert world.row(upload.id).rejection_code == "file_too_large"


@pytest.mark.parametrize(("number", "fits"), [(2, True), (3, True), (4, False)])
async def test_a_part_past_the_limit_is_never_signed(world: World, number: int, fits: bool) -> None:
    """Every part but the last has 5 MiB or more: of 15 MiB the fourth part cannot be."""
    upload, gateway = await _unsized(world), world.with_policy(max_file_size=LIMIT)
    if fits:
        assert len(await sign(gateway, ACME, upload.id, [WantedPart(number)])) == 1
        return
    with pytest.raises(TooLarge, match=f"Part 4 lies past the limit of {LIMIT} bytes") as raised:
        await sign(gateway, ACME, upload.id, [WantedPart(number)])
    assert raised.value.fields == {"max_size_bytes": LIMIT}


async def test_the_first_part_is_signed_without_a_call_to_the_store(world: World) -> None:
    """Nothing can be over the limit before the first part, and no part at all asks for nothing."""
    upload = await _unsized(world)
    calls = len(world.store.calls)
    assert await sign(world.gateway, ACME, upload.id, []) == []
    await sign(world.gateway, ACME, upload.id, [WantedPart(1)])
    assert len(world.store.calls) == calls


async def test_a_later_part_of_lost_parts_is_a_mismatch(world: World) -> None:
    """Where the store knows nothing of the upload any more, the sentence says so."""
    upload = await _unsized(world)
    world.store.multiparts.clear()
    with pytest.raises(PartsMismatch, match="no longer holds the parts"):
        await sign(world.gateway, ACME, upload.id, [WantedPart(2)])


async def test_an_upload_within_its_bounds_goes_on(world: World) -> None:
    """A declared size may be passed by the smallest part, and each part may have been sent twice."""
    upload = await world.created(wav())
    held = _parts(world, upload)
    held.parts[1], held.earlier_bytes = bytes(2500), 2500 + S3_MIN_PART_SIZE
    assert not await end_oversized(world.gateway, upload)
    assert world.row(upload.id).state is State.UPLOADING


async def test_an_upload_that_was_sent_again_and_again_is_aborted(world: World) -> None:
    """One byte over two copies and the smallest part ends it: the event says why, and the parts are gone."""
    upload = await world.created(wav())
    held = _parts(world, upload)
    held.parts[1], held.earlier_bytes = bytes(2500), 2501 + S3_MIN_PART_SIZE
    assert await end_oversized(world.gateway, upload)
    assert (world.row(upload.id).state, world.store.multiparts) == (State.ABORTED, {})
    assert world.uploads.cleanup_pending == set()
    [data] = [data for identity, kind, data in world.uploads.events if (identity, kind) == (upload.id, "aborted")]
    total = 5001 + S3_MIN_PART_SIZE
    assert data == {
        "code": "too_much_sent",
        "detail": f"The store was sent {total} bytes for a file of at most 2500.",
    }


@pytest.mark.parametrize(("over", "state"), [(0, State.UPLOADING), (1, State.ABORTED)])
async def test_more_than_the_declared_size_is_aborted(world: World, over: int, state: State) -> None:
    """The newest parts alone may pass the declared size by no more than the smallest part."""
    gateway = world.with_policy(max_file_size=LIMIT)
    upload = (await create(gateway, ACME, NewUpload("a.wav", 1, cut_by_client=True))).upload
    _parts(world, upload).parts[1] = bytes(1 + S3_MIN_PART_SIZE + over)
    assert await end_oversized(gateway, upload) == (over > 0)
    assert world.row(upload.id).state is state


async def test_parts_over_the_limit_are_rejected_and_not_aborted(world: World) -> None:
    """As complete does: the client learns that its file is too large."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    _parts(world, upload).parts[1] = bytes(10_000)
    assert not await end_oversized(world.gateway, upload)
    _parts(world, upload).parts[1] = bytes(10_001)
    assert await end_oversized(world.gateway, upload)
    assert world.row(upload.id).rejection_code == "file_too_large"


async def test_an_oversized_upload_stays_marked_while_the_store_fails(world: World) -> None:
    """It is aborted all the same, and the sweeper removes its parts."""
    upload = await world.created(wav())
    _parts(world, upload).earlier_bytes = 10 * S3_MIN_PART_SIZE

    async def fail() -> None:
        raise StoreUnavailable

    world.store.before["AbortMultipartUpload"] = fail
    with pytest.raises(StoreUnavailable):
        await end_oversized(world.gateway, upload)
    assert (world.row(upload.id).state, world.uploads.cleanup_pending) == (State.ABORTED, {upload.id})


async def test_an_upload_that_the_store_does_not_know_yet_is_not_measured(world: World) -> None:
    """There is nothing to ask for."""
    intent = replace(await world.created(wav()), multipart_upload_id=None)
    calls = len(world.store.calls)
    assert not await end_oversized(world.gateway, intent)
    assert len(world.store.calls) == calls


async def test_an_upload_that_is_not_open_is_not_measured(world: World) -> None:
    """Before the store answered, after it lost the upload, and when another call ends it first, nothing is done."""
    lost, late, other = await world.created(wav()), await world.created(wav()), await world.created(wav())
    del world.store.multiparts[str(lost.multipart_upload_id)]
    assert not await end_oversized(world.gateway, lost)
    _parts(world, late).earlier_bytes = 10 * S3_MIN_PART_SIZE
    aborted = world.row(late.id)

    async def abort_first() -> None:
        await abort(world.gateway, ACME, late.id)
        world.store.multiparts[str(late.multipart_upload_id)] = Multipart(late.object_key, "", {}, {}, 10**9)

    world.store.before["ListParts"] = abort_first
    assert not await end_oversized(world.gateway, aborted)
    assert world.row(other.id).state is State.UPLOADING
