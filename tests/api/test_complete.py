"""POST /v1/uploads/{id}/complete: one assembly, one answer, and nothing ready that was not checked."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest

from gateway.database import uploads
from gateway.maintenance.sweep import sweep
from tests.api.conftest import MIB, Api, OpenApi, gather, large_mp3, mp3_bytes


async def _listed(api: Api, upload_id: str) -> list[int]:
    answer = await api.call("GET", f"/v1/uploads/{upload_id}/parts")
    assert answer.status_code == 200, answer.text
    return [part["part_number"] for part in answer.json()["parts"]]


async def test_a_file_goes_to_ready_and_comes_back(api: Api) -> None:
    """Bytes that were uploaded in parts are ready and come back as they were."""
    body = large_mp3(33 * MIB)
    final = await api.ready(body, "tone.mp3", content_type="audio/mpeg")
    assert (final["state"], final["size_bytes"], final["content_type"]) == ("ready", len(body), "audio/mpeg")
    assert final["detection"]["family"] == "mpeg-audio"
    link = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download", follow_redirects=False)
    assert link.status_code == 307
    got = await api.store.get(link.headers["location"])
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(body).digest()
    assert got.headers["content-type"] == "audio/mpeg"
    assert got.headers["content-disposition"] == 'attachment; filename="tone.mp3"'


async def test_one_byte_is_an_upload_and_is_rejected_for_what_it_is(api: Api) -> None:
    """A file of one byte goes the whole way; it is no media."""
    final = await api.ready(b"x")
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "type_not_recognised")
    assert final["rejection"]["detail"]


async def test_what_is_rejected_is_deleted(api: Api) -> None:
    """A page under a media name is refused with a reason, and the store holds nothing of it."""
    final = await api.ready(b"<html><script>alert(1)</script></html>" * 100)
    assert final["state"] == "rejected"
    assert final["etag"] is None
    assert not await _in_store(api, final["object_key"])
    download = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download")
    assert (download.status_code, download.json()["code"]) == (409, "wrong_state")


async def _in_store(api: Api, key: str) -> bool:
    from gateway.storage.errors import NoSuchKey

    try:
        await api.gateway.store.head_object(key)
    except NoSuchKey:
        return False
    return True


async def test_h12_a_name_that_does_not_fit_is_noted(api: Api) -> None:
    """The bytes outrank the name: MP3 named .mp4 is ready with its observed type and a name that fits."""
    final = await api.ready(mp3_bytes(), "film.mp4")
    assert (final["state"], final["content_type"]) == ("ready", "audio/mpeg")
    assert (final["extension_mismatch"], final["suggested_filename"]) == (True, "film.mp3")


async def test_h12_strict_refuses_in_plain_words(open_api: OpenApi) -> None:
    """With `strict` the reason says what the file is and how to name it."""
    api: Api = await open_api(extension_mismatch="strict")
    final = await api.ready(mp3_bytes(), "film.mp4")
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "extension_mismatch")
    assert final["rejection"]["detail"] == "This is an MP3 file. Rename it to film.mp3."


@pytest.mark.parametrize(
    "hint", ["", "null", "undefined", "video", "mp3", "audio/*", "application/unknown", "application/force-download",
             "video/mp4", "text/vnd.trolltech.linguist", "a" * 300, "\x00", "%%%", 7, None]
)  # fmt: skip
async def test_h10_h11_no_declared_type_keeps_a_proven_file_out(api: Api, hint: Any) -> None:
    """A hint that means nothing, is malformed or disagrees with the bytes is no error and no rejection."""
    final = await api.ready(mp3_bytes(), "tone.mp3", content_type=hint)
    assert (final["state"], final["content_type"], final["extension_mismatch"]) == ("ready", "audio/mpeg", False)


@pytest.mark.parametrize("name", ["tone.MP3", "tone.mp3 ", "tone.mp3.", "tone.mpga"])
async def test_h13_names_that_people_have_are_taken(api: Api, name: str) -> None:
    """Upper case, a blank or a dot at the end and rare extensions are accepted."""
    final = await api.ready(mp3_bytes(), name)
    assert (final["state"], final["extension_mismatch"]) == ("ready", False)


async def test_a2_part_urls_are_dead_after_complete(api: Api) -> None:
    """A part URL that still lives stores nothing once the upload is complete, and the object stays."""
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    final = (await api.complete(created)).json()
    late = await api.store.put(created["parts"][0]["url"], content=bytes(len(body)))
    assert late.status_code == 404
    again = (await api.complete(created)).json()
    assert again == final
    link = await api.call("GET", f"/v1/uploads/{created['upload_id']}/download", headers={"accept": "application/json"})
    assert (await api.store.get(link.json()["url"])).content == body


async def test_a3_the_store_refuses_another_length(api: Api) -> None:
    """One byte more than signed is refused by the store itself."""
    body = mp3_bytes()
    created = await api.create(body)
    more = await api.store.put(created["parts"][0]["url"], content=body + b"x")
    assert more.status_code == 403


async def test_a4_parts_together_over_the_limit_never_become_an_object(open_api: OpenApi) -> None:
    """A sum over the limit is aborted and rejected before it is assembled."""
    api: Api = await open_api(max_file_size=6 * MIB)
    body = large_mp3(6 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    await api.put(created, body)
    row = await uploads.find_unscoped(api.gateway.database, UUID(created["upload_id"]))
    assert row is not None
    assert row.multipart_upload_id is not None
    await _next_second()
    await api.gateway.store.upload_part(row.object_key, row.multipart_upload_id, 1, bytes(6 * MIB), size_bytes=6 * MIB)
    final = (await api.complete(created)).json()
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "file_too_large")
    assert not await _in_store(api, created["object_key"])


async def test_a4_an_object_of_another_size_is_never_ready(api: Api) -> None:
    """A size in the row that is not the object's is found after assembly, and the object is deleted."""
    body = large_mp3(6 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    await api.put(created, body)
    await api.gateway.database.execute(
        "UPDATE uploads SET state = 'completing', lease_token = gen_random_uuid(), lease_until = now() - interval '1 s'"
        ", declared_size_bytes = declared_size_bytes - 1, assembly = %(assembly)s::jsonb",
        {"assembly": await _assembly(api, created)},
    )
    final = (await api.complete(created)).json()
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "wrong_size")
    assert not await _in_store(api, created["object_key"])


async def _assembly(api: Api, created: dict[str, str]) -> str:
    import json

    parts = (await api.call("GET", f"/v1/uploads/{created['upload_id']}/parts")).json()["parts"]
    return json.dumps([[p["part_number"], p["size_bytes"], p["etag"], p["checksum_sha256"]] for p in parts])


async def test_a5_a_missing_part_is_named_and_may_be_mended(api: Api) -> None:
    """Without part 2 nothing is assembled; with it the same upload is ready."""
    body = large_mp3(12 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    await api.put(created, body, only={1, 3})
    answer = await api.complete(created)
    assert (answer.status_code, answer.json()["code"], answer.json()["missing"]) == (409, "parts_mismatch", [2])
    assert (await api.get(created["upload_id"]))["state"] == "uploading"
    await api.put(created, body, only={2})
    assert (await api.complete(created)).json()["state"] == "ready"


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [([1, 2], "extra"), ([1, 2, 3, 3], "duplicate"), ([3, 2, 1], "out_of_order"), ([1, 2, 3, 4], "missing")],
)
async def test_a5_named_parts_must_be_the_parts_there_are(api: Api, numbers: list[int], reason: str) -> None:
    """A list that leaves out, doubles, turns round or invents parts is refused by the gateway itself."""
    body = large_mp3(12 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    etags = dict(enumerate(await api.put(created, body), 1))
    named = [{"part_number": number, "etag": etags.get(number, "x")} for number in numbers]
    answer = await api.complete(created, json={"parts": named})
    assert answer.status_code == 409
    assert answer.json()[reason]
    right = [{"part_number": number, "etag": etag} for number, etag in etags.items()]
    assert (await api.complete(created, json={"parts": right})).json()["state"] == "ready"


@pytest.mark.parametrize("number", [0, 10_001])
async def test_a5_a_part_number_outside_s3s_is_refused(api: Api, number: int) -> None:
    """Part numbers run from 1 to 10,000."""
    created = await api.create(b"x")
    answer = await api.complete(created, json={"parts": [{"part_number": number, "etag": "x"}]})
    assert answer.status_code == 422


async def test_a6_a_part_sent_again_counts_with_its_new_etag(api: Api) -> None:
    """The ETag of the replaced bytes is refused; the list shows the newest once; the newest bytes are assembled."""
    body = large_mp3(11 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    wrong = bytes(5 * MIB)
    first = await api.store.put(created["parts"][0]["url"], content=wrong)
    await _next_second()
    etags = await api.put(created, body)
    assert await _listed(api, created["upload_id"]) == [1, 2, 3]
    stale = [first.headers["etag"], *etags[1:]]
    answer = await api.complete(created, json={"parts": _named(stale)})
    assert (answer.status_code, answer.json()["wrong_etag"]) == (409, [1])
    final = (await api.complete(created, json={"parts": _named(etags)})).json()
    assert final["state"] == "ready"


async def _next_second() -> None:
    """Stores date parts to the second; within one, which copy is the newer cannot be seen from outside."""
    await asyncio.sleep(1.1)


def _named(etags: list[str]) -> list[dict[str, object]]:
    return [{"part_number": number, "etag": etag} for number, etag in enumerate(etags, 1)]


async def test_a7_six_completes_at_once_are_one(api: Api) -> None:
    """Six calls at the same time get the same answer, and the log has one way to it."""
    body = large_mp3(11 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    await api.put(created, body)
    answers = await gather(*(api.complete(created) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    rows = await api.gateway.database.fetch_all("SELECT type FROM events ORDER BY id", {})
    assert [row["type"] for row in rows] == ["created", "completing", "validating", "ready"]


async def test_a11_of_abort_and_complete_at_once_one_wins(api: Api) -> None:
    """The upload ends ready or aborted, never both, and the store agrees."""
    body = mp3_bytes()
    for _ in range(5):
        created = await api.create(body)
        await api.put(created, body)
        path = f"/v1/uploads/{created['upload_id']}"
        completed, aborted = await gather(api.complete(created), api.call("DELETE", path))
        state = (await api.get(created["upload_id"]))["state"]
        assert state in ("ready", "aborted")
        assert (completed.status_code == 200) == (state == "ready")
        assert (aborted.status_code == 204) == (state == "aborted")
        assert await _in_store(api, created["object_key"]) == (state == "ready")


async def test_checksums_declared_at_create_are_enforced_by_the_store(api: Api) -> None:
    """Parts whose SHA-256 was declared are refused when one bit differs, and ready when none does."""
    body = large_mp3(11 * MIB)
    pieces = [body[start : start + 5 * MIB] for start in range(0, len(body), 5 * MIB)]
    sums = [b64encode(hashlib.sha256(piece).digest()).decode() for piece in pieces]
    created = await api.create(body, part_size_bytes=5 * MIB, part_checksums=sums)
    assert [part["headers"] for part in created["parts"]] == [{"x-amz-checksum-sha256": value} for value in sums]
    part = created["parts"][0]
    damaged = b"\x00" + pieces[0][1:]
    assert (await api.store.put(part["url"], content=damaged, headers=part["headers"])).status_code == 400
    await api.put(created, body)
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_checksums_may_come_part_by_part(api: Api) -> None:
    """With part_checksums=sha256 each part is signed with its checksum, and with none it is not signed."""
    body = mp3_bytes()
    created = await api.create(body, part_checksums="sha256")
    assert created["parts"] == []
    path = f"/v1/uploads/{created['upload_id']}/parts/sign"
    assert (await api.call("POST", path, json={"part_numbers": [1]})).status_code == 422
    checksum = b64encode(hashlib.sha256(body).digest()).decode()
    signed = await api.call("POST", path, json={"parts": [{"part_number": 1, "checksum_sha256": checksum}]})
    created["parts"] = signed.json()["parts"]
    await api.put(created, body)
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_over_its_time_budget_complete_answers_202_and_goes_on(open_api: OpenApi) -> None:
    """A client that is told 202 finds the upload ready without asking again to complete."""
    api: Api = await open_api(complete_budget_seconds=0.0001)
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    answer = await api.complete(created)
    assert answer.status_code == 202
    assert int(answer.headers["retry-after"]) > 0
    got = await api.call("GET", f"/v1/uploads/{created['upload_id']}", headers={"prefer": "wait=20"})
    assert got.json()["state"] == "ready"
    assert got.headers["preference-applied"] == "wait=20"


async def test_a9_a_completion_whose_answer_was_lost_is_found(api: Api) -> None:
    """The store has assembled, the answer is lost, the process is gone: the next call finds the object."""
    body = large_mp3(11 * MIB)
    created = await api.create(body, part_size_bytes=5 * MIB)
    await api.put(created, body)
    row = await uploads.find_unscoped(api.gateway.database, UUID(created["upload_id"]))
    assert row is not None
    assert row.multipart_upload_id is not None
    stored = await api.gateway.store.list_parts(row.object_key, row.multipart_upload_id)
    await api.gateway.store.complete_multipart_upload(row.object_key, row.multipart_upload_id, stored)
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_parts_that_the_store_lost_end_in_rejected(api: Api) -> None:
    """When the store knows neither parts nor object, the client is told to upload again."""
    created = await api.create(b"x")
    row = await uploads.find_unscoped(api.gateway.database, UUID(created["upload_id"]))
    assert row is not None
    assert row.multipart_upload_id is not None
    await api.gateway.store.abort_multipart_upload(row.object_key, row.multipart_upload_id)
    final = (await api.complete(created)).json()
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "parts_lost")


async def test_b5_the_sweeper_expires_what_is_late_and_leaves_what_is_not(api: Api) -> None:
    """An upload past its time is expired and its parts are gone: sign and then complete say 410. Others stay."""
    body = mp3_bytes()
    late, early = await api.create(body), await api.create(body)
    await api.put(late, body)
    await api.gateway.database.execute(
        "UPDATE uploads SET expires_at = now() - interval '1 s' WHERE id = %(id)s", {"id": late["upload_id"]}
    )
    signed = await api.call("POST", f"/v1/uploads/{late['upload_id']}/parts/sign", json={"part_numbers": [1]})
    assert signed.status_code == 410
    first, second = await gather(sweep(api.gateway), sweep(api.gateway))
    assert first["expired"] + second["expired"] == 1
    assert (await api.get(late["upload_id"]))["state"] == "expired"
    assert (await api.complete(late)).status_code == 410
    assert (await api.get(early["upload_id"]))["state"] == "uploading"
    assert (await api.complete(late)).status_code == 410
    assert (await api.store.put(late["parts"][0]["url"], content=body)).status_code == 404
    assert (await api.call("DELETE", f"/v1/uploads/{late['upload_id']}")).status_code == 204


async def test_b4_a_multipart_upload_of_a_lost_answer_is_swept(api: Api) -> None:
    """The store opened it, the answer never came: the intent's row leads the sweeper to it."""
    created = await api.create(b"x")
    await api.gateway.database.execute(
        "UPDATE uploads SET multipart_upload_id = NULL, expires_at = now() - interval '1 s'", {}
    )
    assert (await api.call("GET", f"/v1/uploads/{created['upload_id']}")).status_code == 404
    assert (await sweep(api.gateway))["expired"] == 1
    assert (await api.store.put(created["parts"][0]["url"], content=b"x")).status_code == 404


async def test_b6_two_processes_finish_a_dropped_upload_once(open_api: OpenApi) -> None:
    """Of two sweepers that find the same dropped upload, one takes it."""
    api: Api = await open_api()
    other: Api = await open_api()
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    await api.gateway.database.execute(
        "UPDATE uploads SET state = 'completing', lease_token = gen_random_uuid(), lease_until = now() - interval '1 s'"
        ", assembly = %(assembly)s::jsonb",
        {"assembly": await _assembly(api, created)},
    )
    counts = await gather(sweep(api.gateway), sweep(other.gateway))
    assert sum(count["dropped"] for count in counts) == 1
    assert (await api.get(created["upload_id"]))["state"] == "ready"
    rows = await api.gateway.database.fetch_all("SELECT type FROM events WHERE type = 'ready'", {})
    assert len(rows) == 1
