"""Companion's S3 routes, as each version of Uppy calls them, on a real store."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.maintenance.post_uploads import complete_arrived_posts, remove_late_posts
from gateway.maintenance.sweep import expire
from tests.api.conftest import MIB, Api, OpenApi, gather, large_mp3, mp3_bytes
from tests.api.uploaders import SECRET, call_with, issue


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with upload tokens."""
    started: Api = await open_api(token_secret=SecretStr(SECRET))
    return started


class Uppy:
    """Call Companion's routes below a token's path, as version 6 does; *quoted* as its listings make it."""

    def __init__(self, api: Api, token: str) -> None:
        self.api = api
        self.base = f"/uppy/{token}/s3"

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request without any header of its own."""
        return await self.api.client.request(method, f"{self.base}{path}", **options)

    async def create(self, filename: str = "tone.mp3", **metadata: Any) -> dict[str, Any]:
        """Create an upload as Uppy does: without its size."""
        body = {"filename": filename, "type": "audio/mpeg", "metadata": {"name": filename, **metadata}}
        answer = await self.call("POST", "/multipart", json=body)
        assert answer.status_code == 200, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def put(self, upload_id: str, number: int, body: bytes) -> str:
        """Sign and send one part, and give its ETag as the store wrote it."""
        signed = await self.call("GET", f"/multipart/{upload_id}/{number}?key=whatever")
        assert signed.status_code == 200, signed.text
        sent = await self.api.store.put(signed.json()["url"], content=body)
        assert sent.status_code == 200, sent.text
        return sent.headers["etag"]

    async def complete(self, upload_id: str, etags: list[str]) -> httpx.Response:
        """Complete an upload with these parts."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        return await self.call("POST", f"/multipart/{upload_id}/complete?key=whatever", json={"parts": parts})

    async def upload(self, body: bytes, filename: str = "tone.mp3", **metadata: Any) -> httpx.Response:
        """Send a file in parts of 5 MiB, one after the other, and give the answer to complete."""
        created = await self.create(filename, **metadata)
        pieces = [body[start : start + 5 * MIB] for start in range(0, len(body), 5 * MIB)]
        etags = [(await self.put(created["uploadId"], n, piece)).strip('"') for n, piece in enumerate(pieces, 1)]
        return await self.complete(created["uploadId"], etags)

    async def form(self, filename: str = "tone.mp3", **metadata: str) -> dict[str, Any]:
        """Ask for a form."""
        query = {"filename": filename, "type": "audio/mpeg", **{f"metadata[{k}]": v for k, v in metadata.items()}}
        answer = await self.call("GET", "/params", params=query)
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json()
        return given

    async def send(self, form: dict[str, Any], body: bytes) -> httpx.Response:
        """Send a form to the store as a browser does."""
        return await self.api.store.post(form["url"], data=form["fields"], files={"file": ("blob", body)})


@pytest_asyncio.fixture
async def uppy(api: Api) -> Uppy:
    """Give an uploader with a token of its own."""
    return Uppy(api, (await issue(api))["token"])


async def downloaded(api: Api, upload_id: str) -> bytes:
    """Give what the gateway gives out for an upload."""
    link = await api.call("GET", f"/v1/uploads/{upload_id}/download", headers={"accept": "application/json"})
    assert link.status_code == 200, link.text
    return (await api.store.get(link.json()["url"])).content


async def test_a_file_in_parts_goes_the_whole_way(api: Api, uppy: Uppy) -> None:
    """Without a size and with parts cut by the client, three parts become one checked object with the same bytes."""
    body = large_mp3(11 * MIB)
    answer = await uppy.upload(body, "Ünïcödé 音 🎵.mp3", relativePath=None, width=3)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert done["key"].endswith(".mp3")
    upload_id = done["location"].rsplit("/", 1)[1]
    upload = await api.get(upload_id)
    assert (upload["state"], upload["filename"], upload["size_bytes"]) == ("ready", "Ünïcödé 音 🎵.mp3", 11 * MIB)
    assert upload["metadata"] == {"name": "Ünïcödé 音 🎵.mp3", "width": "3"}
    assert hashlib.sha256(await downloaded(api, upload_id)).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("how", ["bearer token", "API key"])
async def test_the_same_routes_take_a_bearer(api: Api, how: str) -> None:
    """Version 5 can send headers: below `/s3` a bearer token or an API key does what the path's token does."""
    bearer = (await issue(api))["token"] if how == "bearer token" else await api.key()
    body = mp3_bytes()
    created = (await call_with(api, bearer, "POST", "/s3/multipart", json={"filename": "a.mp3", "type": None})).json()
    signed = await call_with(api, bearer, "GET", f"/s3/multipart/{created['uploadId']}/1")
    etag = (await api.store.put(signed.json()["url"], content=body)).headers["etag"]
    done = await call_with(
        api,
        bearer,
        "POST",
        f"/s3/multipart/{created['uploadId']}/complete",
        json={"parts": [{"PartNumber": 1, "ETag": etag}]},
    )
    assert done.status_code == 200, done.text
    assert (await api.client.get(f"/s3/multipart/{created['uploadId']}")).status_code == 401


async def test_d2_the_clients_key_is_never_read(api: Api, uppy: Uppy) -> None:
    """Whatever `key` a client sends, its parts are signed for the key in our row."""
    created = await uppy.create()
    for key in ("other/tenant.mp3", "../../etc/passwd", ""):
        signed = await uppy.call("GET", f"/multipart/{created['uploadId']}/1", params={"key": key})
        assert f"/{created['key']}?" in signed.json()["url"]


async def test_several_parts_are_signed_at_once(api: Api, uppy: Uppy) -> None:
    """The batch route answers a URL for each part it is asked for, and refuses what are no part numbers."""
    created = await uppy.create()
    batch = f"/multipart/{created['uploadId']}/batch?partNumbers="
    urls = (await uppy.call("GET", f"{batch}1,2,7")).json()["presignedUrls"]
    assert set(urls) == {"1", "2", "7"}
    for wrong in ("", "0", "1,", "x", "10001", "-1", "1.5", "٣", ",".join(["1"] * 1001)):
        answer = await uppy.call("GET", f"{batch}{wrong}")
        assert answer.status_code == 422, wrong


async def test_a_listing_answers_after_completion(api: Api, uppy: Uppy) -> None:
    """A client that lost the answer to complete lists, sends the listed ETags, quotes and all, and gets it again."""
    body = large_mp3(6 * MIB)
    created = await uppy.create()
    etags = [
        await uppy.put(created["uploadId"], 1, body[: 5 * MIB]),
        await uppy.put(created["uploadId"], 2, body[5 * MIB :]),
    ]
    listed = (await uppy.call("GET", f"/multipart/{created['uploadId']}?key=x")).json()
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, MIB)]
    first = await uppy.complete(created["uploadId"], etags)
    again = (await uppy.call("GET", f"/multipart/{created['uploadId']}?key=x")).json()
    assert again == listed
    second = await uppy.complete(created["uploadId"], [part["ETag"] for part in again])
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()


async def test_a_failed_complete_can_be_mended(api: Api, uppy: Uppy) -> None:
    """A complete that names a missing part says so and changes nothing; after sending it, it succeeds."""
    body = large_mp3(6 * MIB)
    created = await uppy.create()
    second = await uppy.put(created["uploadId"], 2, body[5 * MIB :])
    failed = await uppy.complete(created["uploadId"], ["0" * 32, second])
    assert failed.status_code == 409
    problem = failed.json()
    assert problem["message"] == problem["detail"] == "Parts do not match the plan (missing: 1)."
    assert problem["error"] == f"s3: {problem['message']}"
    first = await uppy.put(created["uploadId"], 1, body[: 5 * MIB])
    assert (await uppy.complete(created["uploadId"], [first, second])).status_code == 200


async def test_refused_content_is_an_error_for_a_person(api: Api, uppy: Uppy) -> None:
    """Text named .mp3 is a 415 whose message says what is wrong; asking again says the same, and nothing is kept."""
    created = await uppy.create()
    etag = await uppy.put(created["uploadId"], 1, b"just a letter " * 500)
    for _ in range(2):
        answer = await uppy.complete(created["uploadId"], [etag])
        assert (answer.status_code, answer.json()["code"]) == (415, "type_rejected")
        assert answer.json()["message"] == (await api.get(created["uploadId"]))["rejection"]["detail"]
    assert (await uppy.call("DELETE", f"/multipart/{created['uploadId']}")).json() == {}


async def test_cancel_removes_the_parts(api: Api, uppy: Uppy) -> None:
    """DELETE aborts, again is fine, and afterwards nothing is signed, listed or completed."""
    created = await uppy.create()
    await uppy.put(created["uploadId"], 1, b"x")
    for _ in range(2):
        answer = await uppy.call("DELETE", f"/multipart/{created['uploadId']}?key=x")
        assert (answer.status_code, answer.json()) == (200, {})
    assert (await uppy.call("GET", f"/multipart/{created['uploadId']}/2")).status_code == 409
    assert (await uppy.call("GET", f"/multipart/{created['uploadId']}")).status_code == 409
    assert (await uppy.complete(created["uploadId"], ["x"])).status_code == 409


async def test_errors_carry_what_each_version_shows(api: Api, uppy: Uppy) -> None:
    """A problem has `message` for version 5, `error` as Companion has it, and the fields of RFC 9457."""
    answer = await uppy.call("POST", "/multipart", json={"filename": "virus.exe", "type": "x/y", "metadata": {}})
    problem = answer.json()
    assert answer.status_code == 400
    assert problem["message"] == problem["detail"] == "Files .exe are not accepted here."
    assert (problem["error"], problem["code"]) == ("s3: Files .exe are not accepted here.", "extension_not_allowed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"filename":""}',
        b'{"filename":1}',
        b'{"filename":"a.mp3","metadata":[]}',
        b'{"filename":"a.mp3","metadata":{"%s":1}}' % (b"x" * 65),
        b'{"filename":"a.mp3","metadata":{"a":"%s"}}' % (b"x" * 1025),
        b'{"filename":"a.mp3","metadata":{%s}}' % b",".join(b'"%d":1' % n for n in range(33)),
        b"[" * 100_000,
    ],
    ids=range(10),
)
async def test_g1_a_create_that_cannot_be_is_refused(uppy: Uppy, body: bytes) -> None:
    """Whatever is sent as Companion's create, the answer is a 4xx."""
    answer = await uppy.call("POST", "/multipart", content=body)
    assert 400 <= answer.status_code < 500, answer.text


async def test_what_is_too_large_is_stopped_while_it_comes(api: Api) -> None:
    """Parts of unsigned size are summed whenever another is signed or listed: over the limit the upload is rejected."""
    uppy = Uppy(api, (await issue(api, max_size_bytes=6 * MIB))["token"])
    for ask in ("sign", "list", "complete"):
        created = await uppy.create()
        etag = await uppy.put(created["uploadId"], 1, b"x" * (7 * MIB))
        path = f"/multipart/{created['uploadId']}"
        answer = (
            await uppy.complete(created["uploadId"], [etag])
            if ask == "complete"
            else await uppy.call("GET", path + ("/2" if ask == "sign" else ""))
        )
        assert answer.status_code == 413, ask
        assert f"larger than {6 * MIB} bytes" in answer.json()["message"]
        upload = await api.get(created["uploadId"])
        assert (upload["state"], upload["rejection"]["code"]) == ("rejected", "file_too_large")


async def test_a_part_past_the_limit_is_not_signed(api: Api) -> None:
    """A part number that at least 5 MiB a part before it put past the limit is refused."""
    uppy = Uppy(api, (await issue(api, max_size_bytes=10 * MIB))["token"])
    created = await uppy.create()
    assert (await uppy.call("GET", f"/multipart/{created['uploadId']}/2")).status_code == 200
    assert (await uppy.call("GET", f"/multipart/{created['uploadId']}/3")).status_code == 413
    assert (await uppy.call("GET", f"/multipart/{created['uploadId']}/batch?partNumbers=1,9")).status_code == 413


async def test_a_size_in_the_metadata_is_held(api: Api, uppy: Uppy) -> None:
    """`meta.size` is a declared size: too large is refused at create, and another sum at complete."""
    refused = await uppy.call(
        "POST", "/multipart", json={"filename": "a.mp3", "type": "audio/mpeg", "metadata": {"size": 6 * 1024**3}}
    )
    assert refused.status_code == 413
    body = large_mp3(6 * MIB)
    created = await uppy.create(size=len(body) + 1)
    etag = await uppy.put(created["uploadId"], 1, body)
    answer = await uppy.complete(created["uploadId"], [etag])
    assert (answer.status_code, str(len(body) + 1) in answer.json()["message"]) == (409, True)
    assert (await uppy.upload(body, size=len(body))).status_code == 200


async def test_a_form_is_finished_by_the_first_check(api: Api, uppy: Uppy) -> None:
    """A POST upload waits until its file has arrived, and is ready after the next check."""
    body = mp3_bytes()
    form = await uppy.form("Übung.mp3", name="Übung.mp3", relativePath="null")
    assert form["method"] == "POST"
    assert 0 < form["expires"] <= 900
    assert (await api.arrived(form["uploadId"]))["state"] == "uploading"
    assert (await uppy.send(form, body)).status_code == 201
    upload = await api.arrived(form["uploadId"])
    assert (upload["state"], upload["size_bytes"], upload["filename"]) == ("ready", len(body), "Übung.mp3")
    assert upload["metadata"] == {"name": "Übung.mp3"}
    assert upload["object_key"] != form["fields"]["key"]
    assert await downloaded(api, form["uploadId"]) == body


async def test_a_form_is_found_by_the_worker(api: Api, uppy: Uppy) -> None:
    """Nobody asks: a look at our own rows finds it, and many forms at once each become their own file."""
    bodies = [large_mp3(50_000 + n) for n in range(5)]
    forms = await gather(*(uppy.form(f"{n}.mp3") for n in range(6)))
    for form, body in zip(forms, bodies, strict=False):
        assert (await uppy.send(form, body)).status_code == 201
    await _age(api)
    assert await complete_arrived_posts(api.gateway) == 5
    states = [await api.call("GET", f"/v1/uploads?state={state}") for state in ("ready", "uploading")]
    assert [len(state.json()["uploads"]) for state in states] == [5, 1]
    for form, body in zip(forms, bodies, strict=False):
        assert await downloaded(api, form["uploadId"]) == body


async def _age(api: Api, seconds: float = 60.0) -> None:
    """Let uploads look older than they are, so that the worker's turn comes."""
    await api.gateway.database.execute(
        "UPDATE uploads SET created_at = created_at - make_interval(secs => %(s)s), "
        "updated_at = updated_at - make_interval(secs => %(s)s)",
        {"s": seconds},
    )


async def test_looks_for_forms_become_rare(api: Api, uppy: Uppy) -> None:
    """A form that does not come is looked for again only after a tenth of its age, and by one worker at a time."""
    from gateway.database import post_uploads

    form = await uppy.form()
    await _age(api, 600)
    turns = await gather(*(post_uploads.claim_due_checks(api.gateway.database, limit=10) for _ in range(5)))
    assert sorted(len(turn) for turn in turns) == [0, 0, 0, 0, 1]
    assert await post_uploads.claim_due_checks(api.gateway.database, limit=10) == []
    await api.gateway.database.execute("UPDATE uploads SET updated_at = updated_at - interval '50 s'", {})
    assert await post_uploads.claim_due_checks(api.gateway.database, limit=10) == []
    await api.gateway.database.execute("UPDATE uploads SET updated_at = updated_at - interval '15 s'", {})
    assert [str(found) for found in await post_uploads.claim_due_checks(api.gateway.database, limit=10)] == [
        form["uploadId"]
    ]


@pytest.mark.parametrize("when", ["before it is looked at", "after it is ready"])
async def test_a1_a_form_that_is_sent_again_changes_nothing_that_was_checked(
    api: Api, uppy: Uppy, boto3_s3: Any, store_server: Any, when: str
) -> None:
    """The form lives and is sent again with other bytes: what is given out stays what was checked."""
    checked, other = mp3_bytes(), b"<script>alert(1)</script>" * 1000
    form = await uppy.form()
    if when == "before it is looked at":
        assert (await uppy.send(form, other)).status_code == 201
    assert (await uppy.send(form, checked)).status_code == 201
    upload = await api.arrived(form["uploadId"])
    assert upload["state"] == "ready"
    for _ in range(2):
        assert (await uppy.send(form, other)).status_code == 201
        assert await downloaded(api, form["uploadId"]) == checked
        await complete_arrived_posts(api.gateway)
    assert (await api.arrived(form["uploadId"]))["etag"] == upload["etag"]
    # What was sent again is removed when no form can be sent any more.
    await api.gateway.database.execute("UPDATE uploads SET expires_at = now() - interval '23 hours'", {})
    assert await remove_late_posts(api.gateway) == 0, "a POST may still be on its way"
    await api.gateway.database.execute("UPDATE uploads SET expires_at = now() - interval '25 hours'", {})
    assert await remove_late_posts(api.gateway) == 1
    held = boto3_s3.list_objects_v2(Bucket=store_server.bucket, Prefix=form["fields"]["key"])
    assert held["KeyCount"] == 0
    assert await downloaded(api, form["uploadId"]) == checked


async def test_a12_a_replaced_form_while_it_is_copied_never_becomes_what_was_not_checked(api: Api, uppy: Uppy) -> None:
    """Whoever sends the form over and over while it is looked at gets ready only for bytes that were looked at."""
    good, bad = mp3_bytes(), b"#!/bin/sh\n" * 2000
    form = await uppy.form()
    await uppy.send(form, good)

    async def race() -> None:
        for n in range(6):
            await uppy.send(form, (bad, good)[n % 2])

    async def look() -> None:
        for _ in range(6):
            await api.arrived(form["uploadId"])

    await asyncio.gather(race(), look(), look())
    upload = await api.arrived(form["uploadId"])
    assert upload["state"] in ("ready", "rejected")
    if upload["state"] == "ready":
        assert await downloaded(api, form["uploadId"]) == good


async def test_refused_forms_leave_nothing(api: Api, uppy: Uppy, boto3_s3: Any, store_server: Any) -> None:
    """A form with the wrong content is rejected with the reason, and neither key holds anything."""
    form = await uppy.form()
    assert (await uppy.send(form, b"just a letter " * 500)).status_code == 201
    upload = await api.arrived(form["uploadId"])
    assert (upload["state"], upload["rejection"]["code"]) == ("rejected", "type_not_recognised")
    for key in (form["fields"]["key"], upload["object_key"]):
        assert boto3_s3.list_objects_v2(Bucket=store_server.bucket, Prefix=key)["KeyCount"] == 0


async def test_a_form_carries_what_it_was_signed_for(api: Api) -> None:
    """The store refuses an empty file, one byte too many, another key and another type."""
    uppy = Uppy(api, (await issue(api, max_size_bytes=1000))["token"])
    form = await uppy.form()
    assert (await uppy.send(form, b"")).status_code == 400
    assert (await uppy.send(form, b"x" * 1001)).status_code == 400
    for change in ({"key": "uploads/other.mp3"}, {"Content-Type": "text/html"}, {"x-amz-meta-upload-id": "1"}):
        altered = {**form, "fields": {**form["fields"], **change}}
        assert (await uppy.send(altered, b"x" * 10)).status_code == 403, change
    assert (await api.arrived(form["uploadId"]))["state"] == "uploading"
    exact = await uppy.form(size="10")
    assert (await uppy.send(exact, b"x" * 9)).status_code == 400
    assert (await uppy.send(exact, b"x" * 10)).status_code == 201


async def test_an_empty_file_is_empty_however_it_came(api: Api, uppy: Uppy, boto3_s3: Any, store_server: Any) -> None:
    """Where a store took an empty or oversize form after all, the upload is rejected for it."""
    for body, code in ((b"", "empty"), (b"x" * 2001, "file_too_large")):
        token = (await issue(api, max_size_bytes=2000))["token"]
        form = await Uppy(api, token).form()
        # Not put_object: its `Expect: 100-continue` has SeaweedFS wait a minute for an empty body.
        there = {"Bucket": store_server.bucket, "Key": form["fields"]["key"]}
        async with httpx.AsyncClient() as client:
            put = await client.put(boto3_s3.generate_presigned_url("put_object", there), content=body)
        assert put.status_code == 200
        upload = await api.arrived(form["uploadId"])
        assert (upload["state"], upload["rejection"]["code"]) == ("rejected", code)
    refused = await uppy.call("GET", "/params?filename=a.mp3&type=audio/mpeg&metadata[size]=0")
    assert (refused.status_code, "empty" in refused.json()["message"]) == (422, True)


async def test_a_form_has_no_parts(api: Api, uppy: Uppy) -> None:
    """An upload that comes as a form signs no parts, and completing it before it is there says so."""
    form = await uppy.form()
    assert (await uppy.call("GET", f"/multipart/{form['uploadId']}/1")).status_code == 409
    early = await api.call("POST", f"/v1/uploads/{form['uploadId']}/complete")
    assert (early.status_code, early.json()["code"]) == (409, "parts_mismatch")
    await uppy.send(form, mp3_bytes())
    assert (await api.call("POST", f"/v1/uploads/{form['uploadId']}/complete")).json()["state"] == "ready"


async def test_b5_an_expired_form_is_removed(api: Api, uppy: Uppy, boto3_s3: Any, store_server: Any) -> None:
    """A form that nobody finished in time leaves nothing at its key."""
    form = await uppy.form()
    await uppy.send(form, mp3_bytes())
    await api.gateway.database.execute("UPDATE uploads SET expires_at = now()", {})
    assert await expire(api.gateway, UUID(form["uploadId"]))
    held = boto3_s3.list_objects_v2(Bucket=store_server.bucket, Prefix=form["fields"]["key"])
    assert held["KeyCount"] == 0


class TestStoreEvents:
    """Events are hints: they bring a look forward and prove nothing."""

    SECRET = "a secret for the store's events, long enough"

    @pytest_asyncio.fixture
    async def api(self, open_api: OpenApi) -> Api:
        """Give the API that takes events."""
        started: Api = await open_api(token_secret=SecretStr(SECRET), store_events_secret=SecretStr(self.SECRET))
        return started

    async def tell(self, api: Api, *keys: str, secret: str | None = None, name: str = "s3:ObjectCreated:Post") -> int:
        """Send an event as MinIO's webhook does."""
        records = [{"eventName": name, "s3": {"bucket": {"name": "b"}, "object": {"key": key}}} for key in keys]
        headers = {"authorization": f"Bearer {secret or self.SECRET}"}
        return (await api.client.post("/store-events", json={"Records": records}, headers=headers)).status_code

    async def test_b12_an_event_brings_the_look_forward(self, api: Api, uppy: Uppy) -> None:
        """After the store's event the upload becomes ready without a question, also when the event is told twice."""
        form = await uppy.form()
        await uppy.send(form, mp3_bytes())
        key = form["fields"]["key"]
        assert await self.tell(api, key.replace("/", "%2F"), key) == 204
        assert await self.tell(api, key) == 204
        for _ in range(200):
            row = await api.gateway.database.fetch_one("SELECT state FROM uploads", {})
            if row is not None and row["state"] == "ready":
                return
            await asyncio.sleep(0.05)
        pytest.fail("the event was not followed")

    async def test_b12_a_made_up_event_changes_nothing(self, api: Api, uppy: Uppy) -> None:
        """Events without the secret are refused; events about what is not there, or is not ours, do nothing."""
        form = await uppy.form()
        key = form["fields"]["key"]
        assert await self.tell(api, key, secret="another secret of the same length as that") == 401
        assert await self.tell(api, key) == 204
        assert await self.tell(api, "x", "../forms/1.mp3", "forms/" + "0" * 36 + ".mp3") == 204
        assert await self.tell(api, key, name="s3:ObjectRemoved:Delete") == 204
        odd = await api.client.post(
            "/store-events", json={"Records": [{}, {"s3": 1}]}, headers={"authorization": f"Bearer {self.SECRET}"}
        )
        assert odd.status_code == 204
        await asyncio.sleep(0.3)
        assert (await api.arrived(form["uploadId"]))["state"] == "uploading"


async def test_without_a_secret_the_store_tells_nothing(api: Api) -> None:
    """A gateway that was given no secret for events takes none."""
    answer = await api.client.post("/store-events", json={"Records": []}, headers={"authorization": "Bearer "})
    assert answer.status_code == 501
