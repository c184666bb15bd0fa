"""Part checksums: from create and sign through the row to the store, and where they are required."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import Invalid, PartChecksumsRequired
from gateway.domain.parts import StoredPart
from gateway.domain.upload import State, Upload
from gateway.storage.models import Assembled, CompletedPart
from gateway.storage.store_checks import ProbeResult
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, World, wav


def _sum(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def _sums(body: bytes) -> list[str]:
    return [_sum(body[start : start + 1000]) for start in range(0, len(body), 1000)]


def _spy_on_completion(world: World) -> list[tuple[Sequence[CompletedPart], bool]]:
    """Remember the parts with which the store is asked to complete, and the condition."""
    asked: list[tuple[Sequence[CompletedPart], bool]] = []
    original = world.store.complete_multipart_upload

    async def spy(key: str, identity: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False) -> Assembled:
        asked.append((parts, if_none_match))
        return await original(key, identity, parts, if_none_match=if_none_match)

    world.store.complete_multipart_upload = spy  # type: ignore[method-assign]  # a spy
    return asked


async def _completed_sums(world: World, upload: Upload) -> list[str | None]:
    asked = _spy_on_completion(world)
    assert (await complete(world.gateway, ACME, upload.id)).state is State.READY
    [(parts, condition)] = asked
    assert not condition
    return [part.checksum_sha256 for part in parts]


async def test_checksums_of_create_reach_the_store(world: World) -> None:
    """A store that does not list them still compares them at completion."""
    body = wav()
    upload = await world.created(body, part_checksums=_sums(body))
    world.put(upload, body)
    assert await _completed_sums(world, upload) == _sums(body)


async def test_checksums_of_sign_reach_the_store(world: World) -> None:
    """The last one that was signed for a part counts."""
    body = wav()
    upload = await world.created(body, part_checksums="sha256")
    for number, checksum in enumerate(_sums(body), 1):
        await sign(world.gateway, ACME, upload.id, [WantedPart(number, _sum(b"other")), WantedPart(number, checksum)])
    world.put(upload, body)
    assert await _completed_sums(world, upload) == _sums(body)


async def test_checksums_that_the_store_lists_are_used_as_they_are(world: World) -> None:
    """The store's own word goes before what was announced; a missing one is filled in."""
    body = wav()
    upload = await world.created(body, part_checksums=_sums(body))
    world.put(upload, body)
    original = world.store.list_parts

    async def list_parts(key: str, identity: str) -> list[StoredPart]:
        first, *rest = await original(key, identity)
        return [replace(first, checksum_sha256="listed"), *rest]

    world.store.list_parts = list_parts  # type: ignore[method-assign]  # a store that lists one
    assert await _completed_sums(world, upload) == ["listed", *_sums(body)[1:]]


async def test_without_part_checksums_none_is_sent(world: World) -> None:
    """Even where the store lists some: it would refuse those of parts that have none."""
    upload = await world.sent(wav())
    original = world.store.list_parts

    async def list_parts(key: str, identity: str) -> list[StoredPart]:
        return [replace(part, checksum_sha256="listed") for part in await original(key, identity)]

    world.store.list_parts = list_parts  # type: ignore[method-assign]  # a store that lists them
    assert await _completed_sums(world, upload) == [None] * 3


async def test_the_copy_of_a_form_never_replaces_an_object(world: World) -> None:
    """Clients wrote its file, so the store is asked to refuse a second object."""
    upload = await world.posted(wav())
    asked = _spy_on_completion(world)
    assert (await complete(world.gateway, ACME, upload.id)).state is State.READY
    assert [condition for _, condition in asked] == [True]


async def test_the_store_hears_of_checksums_at_create(world: World) -> None:
    """Type, name of the upload and algorithm are those of the declaration."""
    opened: list[dict[str, Any]] = []
    original = world.store.open_multipart_upload

    async def spy(key: str, **options: Any) -> tuple[str, bool]:
        opened.append(options)
        return await original(key, **options)

    world.store.open_multipart_upload = spy  # type: ignore[method-assign]  # a spy
    plain = await world.created(wav())
    checked = await world.created(wav(), part_checksums="sha256")
    known = {"content_type": "audio/vnd.wave"}
    assert opened[0] == {**known, "metadata": {"upload-id": str(plain.id)}, "checksum_algorithm": None}
    assert opened[1] == {**known, "metadata": {"upload-id": str(checked.id)}, "checksum_algorithm": "SHA256"}
    assert (plain.part_checksums, checked.part_checksums) == (None, "sha256")


async def test_sign_says_which_part_and_why(world: World) -> None:
    """Each of the three errors has its sentence and names the part."""
    body = wav()
    plain, later = await world.created(body), await world.created(body, part_checksums="sha256")
    given = await world.created(body, part_checksums=_sums(body))
    cases = [
        (plain, WantedPart(2, _sum(b"x")), "created without part_checksums, so its parts cannot carry one"),
        (later, WantedPart(2), "checksum_sha256 is missing: this upload checks every part"),
        (given, WantedPart(2, _sum(b"x")), "checksum_sha256 differs from the one given at create"),
    ]  # fmt: skip
    for upload, wanted, sentence in cases:
        with pytest.raises(Invalid, match=sentence) as raised:
            await sign(world.gateway, ACME, upload.id, [wanted])
        assert raised.value.fields == {"part_number": 2}


async def test_each_part_is_signed_with_its_own_checksum(world: World) -> None:
    """Known from create or given again; and a part outside the plan has none."""
    body = wav()
    upload = await world.created(body, part_checksums=_sums(body))
    signed = await sign(world.gateway, ACME, upload.id, [WantedPart(3), WantedPart(1, _sums(body)[0]), WantedPart(2)])
    third, first, second = (one.request.headers["x-amz-checksum-sha256"] for one in signed)
    assert [first, second, third] == _sums(body)
    for number in (0, 4):
        with pytest.raises(Invalid):
            await sign(world.gateway, ACME, upload.id, [WantedPart(number)])


async def test_a_list_of_checksums_has_one_for_each_part(world: World) -> None:
    """The sentence names both numbers, or what is missing."""
    with pytest.raises(Invalid, match="part_checksums holds 2 checksums for 3 parts"):
        await world.created(wav(), part_checksums=["x", "y"])
    with pytest.raises(Invalid, match="part_checksums as a list needs size_bytes"):
        await create(world.gateway, ACME, NewUpload("a.wav", None, part_checksums=["x"]))


KEEPS_HALF = ProbeResult("half", "sent half a part", "bad", "kept", keeps_half_parts=True)


@pytest.mark.parametrize("by", ["policy", "probe"])
async def test_required_checksums_refuse_an_upload_without(world: World, by: str) -> None:
    """By the policy, or because the store keeps half a part; a file that the gateway sends needs none."""
    gateway = world.with_policy(part_checksums_required=by == "policy")
    if by == "probe":
        gateway.store_checks.finish((KEEPS_HALF,))
    with pytest.raises(PartChecksumsRequired) as raised:
        await create(gateway, ACME, NewUpload("a.wav", 2500))
    assert raised.value.detail == PartChecksumsRequired().detail
    assert world.uploads.rows == {}
    await create(gateway, ACME, NewUpload("a.wav", 2500, part_checksums="sha256"))
    await create(gateway, ACME, NewUpload("a.wav", 2500), sent_by_gateway=True)


@pytest.mark.parametrize("how", [{"cut_by_client": True}, {"as_post_upload": True}])
async def test_uppys_routes_are_refused_with_the_way_out(world: World, how: dict[str, bool]) -> None:
    """They cannot carry a checksum, so the answer names what can."""
    gateway = world.with_policy(part_checksums_required=True)
    with pytest.raises(PartChecksumsRequired, match=r"use gateway-upload\.js or /v1/uploads"):
        await create(gateway, ACME, NewUpload("a.wav", 2500, **how))  # type: ignore[arg-type]  # one flag
