"""Create, sign and copy: what an answer holds to the letter, and each bound on both of its sides."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.domain.errors import (
    DatabaseUnavailable,
    Invalid,
    PartsMismatch,
    TokenExhausted,
    Unavailable,
    WrongState,
)
from gateway.domain.parts import S3_MIN_PART_SIZE
from gateway.domain.upload import State, Upload
from gateway.storage.errors import AccessDenied, NoSuchKey
from gateway.uploads import copy_form
from gateway.uploads import sign as signing
from gateway.uploads.complete import complete
from gateway.uploads.create import Created, NewUpload, create
from gateway.uploads.post_uploads import S3_MAX_FORM_SIZE, complete_arrived, create_post_upload
from gateway.uploads.sign import URLS_PER_PART, WantedPart, sign
from tests.unit.uploads.conftest import ACME, World, wav

LIMIT = 2 * S3_MIN_PART_SIZE


async def test_the_declaration_is_in_the_row(world: World) -> None:
    """Names, types, sizes and metadata are the client's, checked; the type of the object follows from the name."""
    wanted = NewUpload("Talk.MP3", 2500, content_type="audio/mpeg", metadata={"album": "x"})
    upload = (await create(world.gateway, ACME, wanted)).upload
    assert (upload.filename, upload.extension, upload.declared_size_bytes) == ("Talk.MP3", "mp3", 2500)
    assert (upload.declared_content_type, upload.content_type) == ("audio/mpeg", "audio/mpeg")
    assert (upload.metadata, upload.tenant_id, upload.path, upload.post_key) == ({"album": "x"}, "acme", None, None)
    assert upload.part_size_bytes == 1000


async def test_a_part_size_of_ones_own_is_the_plans(world: World) -> None:
    """Within the bounds of S3 the client decides how its file is cut."""
    gateway = world.with_policy(max_file_size=10**9)
    size = S3_MIN_PART_SIZE + 1
    created = await create(gateway, ACME, NewUpload("a.wav", 2 * size + 9, part_size_bytes=size))
    assert [part.size_bytes for part in created.parts] == [size, size, 9]


async def test_the_order_of_fields_makes_no_other_request(world: World) -> None:
    """JSON objects have no order: metadata in another one is the same request under its key."""
    first = await create(world.gateway, ACME, NewUpload("a.wav", 9, metadata={"a": "1", "b": "2"}), "k")
    assert await create(world.gateway, ACME, NewUpload("a.wav", 9, metadata={"b": "2", "a": "1"}), "k") == first


@pytest.mark.parametrize(("seconds", "same"), [(1799, True), (1800, False)])
async def test_urls_are_repeated_for_half_of_their_life(world: World, seconds: int, same: bool) -> None:
    """Later the repeated answer has new URLs, so that none is given out just before its end."""
    first = await create(world.gateway, ACME, NewUpload("a.wav", 2500), "k")
    world.clock.move(seconds)
    again = await create(world.gateway, ACME, NewUpload("a.wav", 2500), "k")
    assert (again.parts == first.parts) is same
    assert again.upload == first.upload
    assert len(again.parts) == 3


async def test_an_upload_that_is_over_repeats_no_urls(world: World) -> None:
    """At its very expiry the repeated request gets the upload and no URL."""
    first = await create(world.gateway, ACME, NewUpload("a.wav", 2500), "k")
    world.clock.time = first.upload.expires_at
    assert await create(world.gateway, ACME, NewUpload("a.wav", 2500), "k") == Created(first.upload, ())


async def test_many_parts_are_signed_in_one_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slices that let other requests run in between are joined, and none of them waits."""
    monkeypatch.setattr(signing, "PARTS_PER_STEP", 2)
    body = wav(4500)
    upload = await world.created(body)
    signed = await sign(world.gateway, ACME, upload.id, [WantedPart(number) for number in range(1, 6)])
    assert [(part.part_number, part.size_bytes) for part in signed] == [
        (1, 1000),
        (2, 1000),
        (3, 1000),
        (4, 1000),
        (5, 500),
    ]


async def _cut_by_client(world: World, size: int | None) -> Upload:
    gateway = world.with_policy(max_file_size=LIMIT)
    return (await create(gateway, ACME, NewUpload("a.wav", size, cut_by_client=True))).upload


@pytest.mark.parametrize(("size", "number", "known"), [
    (S3_MIN_PART_SIZE, 1, True),
    (S3_MIN_PART_SIZE + 1, 1, False),
    (S3_MIN_PART_SIZE, 2, False),
    (None, 1, False),
])  # fmt: skip
async def test_a_length_is_signed_where_it_is_known(world: World, size: int | None, number: int, known: bool) -> None:
    """A file of up to 5 MiB is one part of that size; other URLs sign no length and live 15 minutes."""
    upload = await _cut_by_client(world, size)
    gateway = world.with_policy(max_file_size=LIMIT)
    [part] = await sign(gateway, ACME, upload.id, [WantedPart(number)])
    query = {name: values[0] for name, values in parse_qs(urlsplit(part.request.url).query).items()}
    assert part.size_bytes == (size if known else None)
    assert ("content-length" in query["X-Amz-SignedHeaders"]) is known
    assert query["X-Amz-Expires"] == ("3600" if known else "900")
    assert query["partNumber"] == str(number)


async def test_an_upload_gets_as_many_urls_without_a_length_as_it_can_need(world: World) -> None:
    """Five for each 5 MiB that its limit begins; one more is refused with the numbers."""
    upload = await _cut_by_client(world, None)
    gateway = world.with_policy(max_file_size=LIMIT)
    most = URLS_PER_PART * 3
    await sign(gateway, ACME, upload.id, [WantedPart(1)] * most)
    with pytest.raises(TokenExhausted, match=f"given {most} part URLs, which is more than {LIMIT} bytes can need"):
        await sign(gateway, ACME, upload.id, [WantedPart(1)])


async def test_urls_with_a_length_are_not_counted(world: World) -> None:
    """The store takes no more than that length with them."""
    upload = await _cut_by_client(world, 9)
    for _ in range(30):
        await sign(world.gateway, ACME, upload.id, [WantedPart(1)])


async def test_a_declared_size_bounds_the_urls(world: World) -> None:
    """Not the policy's limit: 5 MiB and a byte begin two parts."""
    upload = await _cut_by_client(world, S3_MIN_PART_SIZE + 1)
    gateway = world.with_policy(max_file_size=LIMIT)
    await sign(gateway, ACME, upload.id, [WantedPart(1)] * (URLS_PER_PART * 2))
    with pytest.raises(TokenExhausted):
        await sign(gateway, ACME, upload.id, [WantedPart(1)])


async def test_what_an_upload_without_a_plan_cannot_do_is_said(world: World) -> None:
    """No checksum without sizes, and no parts of a form."""
    upload, posted = await _cut_by_client(world, None), await world.posted(None)
    with pytest.raises(Invalid, match="created without sizes, so its parts cannot carry a checksum"):
        await sign(world.gateway, ACME, upload.id, [WantedPart(1, "x")])
    with pytest.raises(WrongState, match="comes as a form, not in parts") as raised:
        await sign(world.gateway, ACME, posted.id, [WantedPart(1)])
    assert raised.value.fields == {"state": "uploading"}


def _policy_of(form: Any) -> Any:
    import json
    from base64 import b64decode

    return json.loads(b64decode(form.fields["policy"]))["conditions"]


@pytest.mark.parametrize(("size", "bounds"), [(None, [1, 10_000]), (9, [9, 9])])
async def test_a_form_takes_a_file_of_the_declared_size(world: World, size: int | None, bounds: list[int]) -> None:
    """Without one it takes from one byte to the limit; the type is the declared one."""
    wanted = NewUpload("a.wav", size, content_type="audio/wav", as_post_upload=True)
    upload, form = await create_post_upload(world.gateway, ACME, wanted)
    assert ["content-length-range", *bounds] in _policy_of(form)
    assert form.fields["key"] == upload.post_key
    assert form.fields["Content-Type"] == upload.declared_content_type
    assert form.expires_at == world.clock() + timedelta(seconds=900)


async def test_a_form_has_the_type_of_any_file_and_the_stores_limit(world: World) -> None:
    """Where none is declared the type is bytes; a store takes 5 GiB in one request."""
    gateway = world.with_policy(max_file_size=10**12)
    _, form = await create_post_upload(gateway, ACME, NewUpload("a.wav", None, as_post_upload=True))
    assert form.fields["Content-Type"] == "application/octet-stream"
    assert ["content-length-range", 1, S3_MAX_FORM_SIZE] in _policy_of(form)


async def test_arrivals_of_other_uploads_change_nothing(world: World) -> None:
    """Uploads in parts, missing ones, intents, and a form at its very expiry are left as they are."""
    parts, posted = await world.sent(wav()), await world.posted(wav())
    calls = len(world.store.calls)
    assert await complete_arrived(world.gateway, parts.id) == parts
    missing = replace(parts, id=replace(posted).id)
    world.clock.time = posted.expires_at
    assert await complete_arrived(world.gateway, missing.id) == posted
    world.uploads.rows[parts.id] = replace(parts, multipart_upload_id=None)
    assert await complete_arrived(world.gateway, parts.id) is None
    assert len(world.store.calls) == calls


async def test_a_copy_saves_its_progress_and_its_parts_fit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is counted once, and the parts together are the file."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 1000)
    upload = await world.posted(wav())
    saved: list[int] = []
    copied: list[tuple[int, int, int]] = []
    save, copy = world.uploads.save_received, world.store.upload_part_copy

    async def save_received(*arguments: Any, **more: Any) -> bool:
        saved.append(more["received_bytes"])
        return await save(*arguments, **more)

    async def upload_part_copy(key: str, identity: str, number: int, **more: Any) -> str:
        copied.append((number, more["start"], more["length"]))
        return await copy(key, identity, number, **more)

    monkeypatch.setattr(world.uploads, "save_received", save_received)
    monkeypatch.setattr(world.store, "upload_part_copy", upload_part_copy)
    await complete_arrived(world.gateway, upload.id)
    assert saved == [1000, 2000, 2500]
    assert copied == [(1, 0, 1000), (2, 1000, 1000), (3, 2000, 500)]


async def test_a_copy_that_another_process_took_over_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer names the reason and the state."""
    upload = await world.posted(wav())

    async def lost(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(world.uploads, "save_received", lost)
    with pytest.raises(WrongState, match="Another process is copying the form of this upload") as raised:
        await complete(world.gateway, ACME, upload.id)
    assert raised.value.fields == {"state": "uploading"}


async def test_a_claim_that_cannot_be_renewed_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database was away for a whole lease."""
    upload = await world.posted(wav())

    async def away(*_: Any, **__: Any) -> bool:
        raise Unavailable

    monkeypatch.setattr(world.uploads, "save_received", away)
    with pytest.raises(DatabaseUnavailable, match="The claim on this copy could not be renewed"):
        await complete(world.with_policy(lease_seconds=0.0), ACME, upload.id)


async def test_a_form_that_changes_or_vanishes_during_the_copy_is_said(world: World) -> None:
    """Sent again, or removed: the client learns which."""
    again, gone = await world.posted(wav()), await world.posted(wav())

    async def send_again() -> None:
        world.store.put(str(again.post_key), wav(2600))

    async def vanish() -> None:
        raise NoSuchKey

    world.store.before["UploadPartCopy"] = send_again
    with pytest.raises(PartsMismatch, match="sent again while its file was copied"):
        await complete(world.gateway, ACME, again.id)
    world.store.before["UploadPartCopy"] = vanish
    with pytest.raises(PartsMismatch, match="has not been sent yet"):
        await complete(world.gateway, ACME, gone.id)


async def test_a_form_of_exactly_the_limit_is_copied(world: World) -> None:
    """The limit is the largest size that is accepted."""
    upload = await world.posted(wav(10_000))
    final = await complete_arrived(world.gateway, upload.id)
    assert final is not None
    assert final.state is State.READY


async def test_a_refused_assembly_is_logged_with_its_cause(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An operator finds the upload, the code and the store's words."""
    upload = await world.sent(wav())

    async def refuse() -> None:
        raise AccessDenied(operation="CompleteMultipartUpload", s3_code="AccessDenied", status=403)

    world.store.before["CompleteMultipartUpload"] = refuse
    with pytest.raises(AccessDenied) as raised:
        await complete(world.gateway, ACME, upload.id)
    [record] = [one for one in caplog.records if one.name == "gateway.uploads.assemble"]
    assert (record.levelno, record.message) == (
        logging.WARNING,
        "the store refused to assemble an upload; it is open again",
    )
    expected = {"upload_id": str(upload.id), "code": "store_error", "error": str(raised.value)}
    assert record.__dict__ | expected == record.__dict__


async def test_a_replaced_part_is_said_in_a_sentence(world: World) -> None:
    """The client learns what to do."""
    upload = await world.sent(wav())

    async def replace_part() -> None:
        world.put(upload, b"x" * 2500, only={2})

    world.store.before["CompleteMultipartUpload"] = replace_part
    with pytest.raises(PartsMismatch, match="The store no longer holds a part as it was listed"):
        await complete(world.gateway, ACME, upload.id)
