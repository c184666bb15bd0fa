"""Create: what is declared, and one upload for each Idempotency-Key."""

from __future__ import annotations

import pytest

from gateway.domain.errors import (
    ExtensionNotAllowed,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    PartChecksumsRequired,
    TokenExhausted,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from gateway.domain.upload import State
from gateway.uploads.create import INTENT_LEASE_SECONDS, INTENT_SECONDS, NewUpload, create
from tests.unit.uploads.conftest import ACME, World, wav

WANTED = NewUpload("a.wav", 2500)


async def test_an_upload_is_open_with_the_urls_of_its_parts(world: World) -> None:
    """The row, the store and the answer agree, and the parts cover the declared size."""
    created = await create(world.gateway, ACME, WANTED)
    upload = world.row(created.upload.id)
    assert upload == created.upload
    assert upload.state is State.UPLOADING
    assert [part.size_bytes for part in created.parts] == [1000, 1000, 500]
    assert world.store.multiparts[str(upload.multipart_upload_id)].metadata == {"upload-id": str(upload.id)}
    assert world.uploads.types_of(upload.id) == ["created"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (NewUpload("a.exe", 1), ExtensionNotAllowed),
        (NewUpload("a.wav", 10_001), TooLarge),
        (NewUpload("a.wav", 0), Invalid),
        (NewUpload(" ", 1), Invalid),
        (NewUpload("a.wav", 2500, part_checksums=["x"]), Invalid),
        (NewUpload("a.wav", None, part_checksums=["x"]), Invalid),
    ],
)
async def test_a_wrong_declaration_leaves_nothing(world: World, wanted: NewUpload, error: type[Exception]) -> None:
    """A refused create writes no row and does not call the store."""
    with pytest.raises(error):
        await create(world.gateway, ACME, wanted)
    assert (world.uploads.rows, world.store.calls) == ({}, [])


async def test_the_same_key_and_body_get_the_same_answer(world: World) -> None:
    """A repeated request gets the same upload and the same URLs, byte for byte, and the store is called once."""
    first = await create(world.gateway, ACME, WANTED, "k")
    world.clock.move(60)
    assert await create(world.gateway, ACME, WANTED, "k") == first
    assert world.store.calls == ["CreateMultipartUpload"]


async def test_a_key_with_another_body_is_refused(world: World) -> None:
    """One key stands for one request."""
    await create(world.gateway, ACME, WANTED, "k")
    with pytest.raises(IdempotencyKeyReused):
        await create(world.gateway, ACME, NewUpload("a.wav", 2501), "k")


async def test_a_key_is_free_again_after_its_time(world: World) -> None:
    """After `idempotency_seconds` the same key creates another upload."""
    first = await create(world.gateway, ACME, WANTED, "k")
    world.clock.move(world.gateway.policy.idempotency_seconds + 1)
    assert (await create(world.gateway, ACME, WANTED, "k")).upload.id != first.upload.id


async def test_a_repeated_request_takes_over_an_intent_whose_process_died(world: World) -> None:
    """Before the lease ends the repeat has to wait. After it, the repeat aborts what was lost and opens the upload."""

    async def die() -> None:
        raise KeyboardInterrupt

    world.store.after["CreateMultipartUpload"] = die
    with pytest.raises(KeyboardInterrupt):
        await create(world.gateway, ACME, WANTED, "k")
    with pytest.raises(IdempotencyInProgress):
        await create(world.gateway, ACME, WANTED, "k")
    world.clock.move(INTENT_LEASE_SECONDS + 1)
    created = await create(world.gateway, ACME, WANTED, "k")
    assert list(world.store.multiparts) == [created.upload.multipart_upload_id] == ["m2"]


async def test_a_store_that_fails_lets_the_repeat_try_at_once(world: World) -> None:
    """The lease of the intent is released with the error, so nobody waits for it."""

    async def fail() -> None:
        raise Unavailable

    world.store.before["CreateMultipartUpload"] = fail
    with pytest.raises(Unavailable):
        await create(world.gateway, ACME, WANTED, "k")
    [intent] = world.uploads.rows.values()
    assert intent.is_intent
    assert (intent.expires_at - intent.created_at).total_seconds() == INTENT_SECONDS
    world.clock.move(0.001)
    assert (await create(world.gateway, ACME, WANTED, "k")).upload.id == intent.id


async def test_a_token_limits_files_and_size_and_sets_metadata(world: World) -> None:
    """The token's limit and metadata are the upload's, and its last file is its last."""
    bearer = world.bearer(max_files=1, max_size_bytes=3000, metadata={"user": "7"})
    with pytest.raises(TooLarge):
        await create(world.gateway, bearer, NewUpload("a.wav", 3001))
    upload = await world.created(wav(), bearer, metadata={"user": "8", "album": "x"})
    assert (upload.max_size_bytes, upload.metadata) == (3000, {"user": "7", "album": "x"})
    with pytest.raises(TokenExhausted):
        await create(world.gateway, bearer, WANTED)


async def test_a_token_may_require_part_checksums(world: World) -> None:
    """Without checksums such a token creates nothing, except for a file that the gateway itself sends."""
    bearer = world.bearer(part_checksums_required=True)
    with pytest.raises(PartChecksumsRequired):
        await create(world.gateway, bearer, WANTED)
    assert world.uploads.rows == {}
    await create(world.gateway, bearer, NewUpload("a.wav", 2500, part_checksums="sha256"))
    await create(world.gateway, bearer, WANTED, sent_by_gateway=True)


async def test_a_revoked_token_creates_nothing(world: World) -> None:
    """A revoked token is refused before the store is called."""
    bearer = world.bearer(live=False)
    with pytest.raises(Unauthenticated):
        await create(world.gateway, bearer, WANTED)
    assert world.store.calls == []
