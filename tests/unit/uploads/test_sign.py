"""Sign: URLs for parts of the plan, as long as the upload is open."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import timedelta

import pytest

from gateway.domain.errors import Gone, Invalid, NotFound, TooLarge, Unauthenticated, WrongState
from gateway.uploads.abort import abort
from gateway.uploads.create import NewUpload, create
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, OTHER, World, wav

SUM = b64encode(hashlib.sha256(b"x").digest()).decode()


async def test_parts_are_signed_in_the_order_of_the_request(world: World) -> None:
    """Each part has its size from the plan, and its URL ends with the upload at the latest."""
    upload = await world.created(wav())
    world.clock.move(86_400 - 60)
    signed = await sign(world.with_policy(upload_max_seconds=86_400), ACME, upload.id, [WantedPart(3), WantedPart(1)])
    assert [(part.part_number, part.size_bytes) for part in signed] == [(3, 500), (1, 1000)]
    assert all(part.request.expires_at <= upload.expires_at + timedelta(seconds=1) for part in signed)


async def test_only_the_tenant_signs(world: World) -> None:
    """Another tenant's upload, another token's upload and a missing one are the same error."""
    upload = await world.created(wav())
    for principal in (OTHER, world.bearer()):
        with pytest.raises(NotFound):
            await sign(world.gateway, principal, upload.id, [WantedPart(1)])


async def test_a_revoked_token_signs_nothing(world: World) -> None:
    """The bearer of a revoked token is told so, and not that the upload is missing."""
    bearer = world.bearer()
    upload = await world.created(wav(), bearer)
    assert bearer.token is not None
    world.uploads.tokens[bearer.token.token_id].live = False
    with pytest.raises(Unauthenticated):
        await sign(world.gateway, bearer, upload.id, [WantedPart(1)])


async def test_an_ended_upload_signs_nothing(world: World) -> None:
    """An aborted upload is WrongState, an expired one Gone, also before the sweeper has expired it."""
    aborted, late = await world.created(wav()), await world.created(wav())
    await abort(world.gateway, ACME, aborted.id)
    with pytest.raises(WrongState):
        await sign(world.gateway, ACME, aborted.id, [WantedPart(1)])
    world.clock.move(86_400)
    with pytest.raises(Gone):
        await sign(world.gateway, ACME, late.id, [WantedPart(1)])


@pytest.mark.parametrize("number", [0, 4])
async def test_a_number_outside_the_plan_is_invalid(world: World, number: int) -> None:
    """Three parts are numbered 1 to 3."""
    upload = await world.created(wav())
    with pytest.raises(Invalid):
        await sign(world.gateway, ACME, upload.id, [WantedPart(number)])


async def test_checksums_are_required_exactly_where_they_were_announced(world: World) -> None:
    """An upload with part_checksums needs one for each part and remembers it; another takes none."""
    plain, checked = await world.created(wav()), await world.created(wav(), part_checksums="sha256")
    with pytest.raises(Invalid):
        await sign(world.gateway, ACME, plain.id, [WantedPart(1, SUM)])
    with pytest.raises(Invalid):
        await sign(world.gateway, ACME, checked.id, [WantedPart(1)])
    [signed] = await sign(world.gateway, ACME, checked.id, [WantedPart(1, SUM)])
    assert signed.request.headers["x-amz-checksum-sha256"] == SUM
    assert await world.uploads.recall_checksums(checked.id) == {1: SUM}


async def test_a_checksum_given_at_create_cannot_be_changed(world: World) -> None:
    """Sign uses the checksum of create, and refuses another one."""
    other = b64encode(hashlib.sha256(b"y").digest()).decode()
    upload = await world.created(wav(900), part_checksums=[SUM])
    [signed] = await sign(world.gateway, ACME, upload.id, [WantedPart(1)])
    assert signed.request.headers["x-amz-checksum-sha256"] == SUM
    with pytest.raises(Invalid):
        await sign(world.gateway, ACME, upload.id, [WantedPart(1, other)])


async def test_without_a_declared_size_the_stored_parts_count(world: World) -> None:
    """Once the stored parts are over the limit, no more is signed and the upload is rejected."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    await sign(world.gateway, ACME, upload.id, [WantedPart(1)])
    world.store.multiparts[str(upload.multipart_upload_id)].parts[1] = bytes(10_001)
    with pytest.raises(TooLarge):
        await sign(world.gateway, ACME, upload.id, [WantedPart(2)])
    assert world.row(upload.id).rejection_code == "file_too_large"
