"""Files sent to the gateway itself, through a real server, to both destinations."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.api.conftest import MIB, OpenApi, large_mp3
from tests.api.streaming import BOUNDARY, Served, form_body, serve
from tests.conftest import missing

HTML = b"<!doctype html><script>alert(1)</script>" * 100


@pytest_asyncio.fixture(params=["store", "disk"])
async def served(request: pytest.FixtureRequest, open_api: OpenApi, tmp_path: Path) -> AsyncIterator[Served]:
    """Serve with each destination."""
    api = await open_api(upload_stream_destination=request.param, upload_dir=tmp_path / "kept")
    async with serve(api) as running:
        yield running


@pytest.mark.parametrize("size", [5000, 8 * MIB, 20 * MIB + 1])
async def test_a_form_becomes_a_ready_upload_of_the_same_bytes(served: Served, size: int) -> None:
    """What is sent in a form is kept byte for byte and answered as the transcription pipeline needs it."""
    body = large_mp3(size)
    answer = await served.form(body, sha256=hashlib.sha256(body).hexdigest(), size_bytes=str(len(body)))
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["state"] == "ready"
    assert told["size_bytes"] == len(body)
    assert told["content_type"] == "audio/mpeg"
    assert ("path" in told) != ("object_key" in told)
    assert ("bucket" in told) == ("object_key" in told)
    assert await served.kept(told) == body
    assert served.temporary_files() == []
    seen = await served.client.get(answer.headers["location"])
    assert seen.json()["state"] == "ready"
    assert (seen.json()["etag"], seen.json()["bucket"]) == (told["etag"], told.get("bucket"))


async def test_a_streamed_upload_has_the_events_of_any_other(served: Served) -> None:
    """Created, completing, validating, ready: the log of a streamed upload reads like that of a direct one."""
    told = (await served.form(large_mp3(50_000))).json()
    rows = await served.api.gateway.database.fetch_all(
        "SELECT type FROM events WHERE upload_id = %(id)s ORDER BY id", {"id": told["upload_id"]}
    )
    assert [row["type"] for row in rows] == ["created", "completing", "validating", "ready"]


@pytest.mark.parametrize("encoding", ["hex", "HEX", "base64"])
@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_declared_checksum_is_checked(served: Served, place: str, encoding: str) -> None:
    """The SHA-256 may stand before or behind the file; the right one passes and a wrong one is 422, nothing kept."""
    body = large_mp3(300_000)
    digest = hashlib.sha256(body)
    right = {
        "hex": digest.hexdigest(),
        "HEX": digest.hexdigest().upper(),
        "base64": base64.b64encode(digest.digest()).decode(),
    }
    taken = await served.raw_form(form_body(body, **{place: {"sha256": right[encoding]}}))
    assert taken.status == 201, taken.body
    refused = await served.raw_form(form_body(body[:-1] + b"!", **{place: {"sha256": right[encoding]}}))
    assert refused.status == 422, refused.body
    assert refused.json()["code"] == "file_mismatch"
    assert sorted(upload["state"] for upload in await served.uploads()) == ["aborted", "ready"]
    assert served.temporary_files() == []


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("declared", "code"), [("49999", "file_mismatch"), ("50001", "file_mismatch"), ("50e3", "invalid_request")]
)
async def test_a_declared_size_is_checked(served: Served, place: str, declared: str, code: str) -> None:
    """A file of another size than declared is 422, wherever the size stands."""
    answer = await served.raw_form(form_body(large_mp3(50_000), **{place: {"size_bytes": declared}}))
    assert answer.status == 422, answer.body
    assert answer.json()["code"] == code
    await served.assert_nothing_left()


async def test_a_rejected_file_is_told_and_gone(served: Served) -> None:
    """A file that is not what its name says is 422 with its upload_id and the reason, and its bytes are deleted."""
    answer = await served.form(HTML)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert told["code"] == "file_rejected"
    assert told["rejection"]["code"] == "type_not_recognised"
    seen = (await served.client.get(f"/v1/uploads/{told['upload_id']}")).json()
    assert seen["state"] == "rejected"
    await served.assert_nothing_left()


@pytest.mark.parametrize(
    "filename", ["../../etc/cron.d/a.mp3", "C:\\temp\\a.mp3", "a\u202e3pm.mp3", "-rf.mp3", "~/a.mp3"]
)
async def test_c1_no_name_of_a_client_becomes_a_path(served: Served, filename: str) -> None:
    """Whatever the file is called, it is kept under its upload_id."""
    answer = await served.raw_form(form_body(large_mp3(9000), filename))
    assert answer.status == 201, answer.body
    told = answer.json()
    place = Path(told.get("path") or told["object_key"])
    assert re.fullmatch(rf"{told['upload_id']}(-[0-9a-f]{{32}})?\.mp3", place.name)
    assert all(name == place.name for name in served.all_files())


@pytest.mark.parametrize(
    ("filename", "suggested"), [("tone.mp3 ", None), ("tone.MP3. .", None), ("tone.wav. ", "tone.mp3")]
)
async def test_h12_h13_blanks_and_dots_after_the_name_of_a_form_do_not_count(
    served: Served, filename: str, suggested: str | None
) -> None:
    """File systems drop them: the extension before them is compared with the bytes, and the suggested name has none."""
    answer = await served.raw_form(form_body(large_mp3(9000), filename))
    assert answer.status == 201, answer.body
    told = (await served.client.get(f"/v1/uploads/{answer.json()['upload_id']}")).json()
    assert told["state"] == "ready"
    assert (told["extension_mismatch"], told["suggested_filename"]) == (suggested is not None, suggested)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_without_a_key_nothing_is_read(served: Served, method: str) -> None:
    """A body of nobody's is 401 before it is read, and the connection ends with the answer."""
    path = "/upload/stream" if method == "POST" else f"/v1/uploads/{uuid.uuid4()}/content"
    served.key = "gw_no"
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {4 * 1024 * MIB}"]
    endless = (bytes(65536) for _ in range(65536))
    answer = await served.raw(endless, path=path, method=method, headers=lines)
    assert answer.status == 401
    assert answer.headers["connection"] == "close"
    assert answer.sent_bytes < 16 * MIB


async def test_nobody_completes_or_takes_over_what_is_being_received(served: Served) -> None:
    """While a file comes in, completing it is 409; aborting it ends the stream, and nothing is kept."""
    body = form_body(large_mp3(9 * MIB))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {served.key}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[: 8 * MIB + 200_000])
    await writer.drain()
    upload = await served.only_upload()
    refused = await served.client.post(f"/v1/uploads/{upload['upload_id']}/complete", json={})
    assert refused.status_code == 409, refused.text
    aborted = await served.client.delete(f"/v1/uploads/{upload['upload_id']}")
    assert aborted.status_code == 204
    await asyncio.sleep(1.5)
    writer.write(body[8 * MIB + 200_000 :])
    assert (await reader.readline()).split()[1] in (b"409", b"410")
    writer.close()
    await served.swept()
    await served.assert_nothing_left()


async def test_progress_is_told_while_bytes_move(served: Served) -> None:
    """The row says how many bytes came, at least once a second, for whoever watches at whichever process."""
    body = form_body(large_mp3(300_000))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {served.key}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:200_000])
    upload = await served.only_upload()
    seen = 0
    for _ in range(100):
        row = await served.api.gateway.database.fetch_one(
            "SELECT streamed_bytes FROM uploads WHERE id = %(id)s", {"id": upload["upload_id"]}
        )
        assert row is not None
        seen = row["streamed_bytes"]
        if seen:
            break
        await asyncio.sleep(0.1)
    assert 190_000 < seen <= 200_000
    writer.write(body[200_000:])
    assert (await reader.readline()).split()[1] == b"201"
    writer.close()


async def _begun(served: Served, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {served.key}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:1000])
    return reader, writer


async def test_a_tenant_with_slow_senders_leaves_room_for_others(open_api: OpenApi, tmp_path: Path) -> None:
    """Past its share a tenant is told to come back, for forms and raw bodies; others are served, and it again later."""
    api = await open_api(upload_stream_destination="store", upload_dir=tmp_path, upload_stream_buffers=4)
    async with serve(api) as served, served.as_tenant("globex") as other:
        body = form_body(large_mp3(MIB))
        begun = [await _begun(served, body) for _ in range(3)]
        while len(await served.uploads()) < 3:
            await asyncio.sleep(0.02)
        refused = [await served.form(large_mp3(9000))]
        created = await api.create(large_mp3(9000))
        refused.append(await served.client.put(f"/v1/uploads/{created['upload_id']}/content", content=large_mp3(9000)))
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_receivers")
            assert answer.headers["retry-after"]
        assert (await other.form(large_mp3(9000))).status_code == 201
        for reader, writer in begun:
            writer.write(body[1000:])
            assert (await reader.readline()).split()[1] == b"201"
            writer.close()
        assert (await served.form(large_mp3(9000))).status_code == 201


async def test_more_than_there_are_buffers_for_is_503(open_api: OpenApi, tmp_path: Path) -> None:
    """When every buffer is in use, another form is told to come back, and the one that runs goes on."""
    api = await open_api(upload_stream_destination="store", upload_dir=tmp_path, upload_stream_buffers=1)
    api.gateway.receiving.buffer_pool._wait_seconds = 0.2
    async with serve(api) as served, served.as_tenant("globex") as other:
        body = form_body(large_mp3(20 * MIB))
        reader, writer = await _begun(served, body)
        await served.only_upload()
        busy = await other.form(large_mp3(9000))
        assert busy.status_code == 503
        assert busy.headers["retry-after"]
        writer.write(body[1000:])
        assert (await reader.readline()).split()[1] == b"201"
        writer.close()


async def test_put_content_completes_a_created_upload(served: Served, tmp_path: Path) -> None:
    """`curl -T` sends the file of a created upload, which is then ready."""
    body = large_mp3(20 * MIB + 1)
    created = await served.api.create(body)
    (tmp_path / "a.mp3").write_bytes(body)
    program = shutil.which("curl") or missing("curl is not installed")
    url = f"http://127.0.0.1:{served.port}/v1/uploads/{created['upload_id']}/content"
    process = await asyncio.create_subprocess_exec(
        *(program, "-sS", "-T", str(tmp_path / "a.mp3"), "-H", f"Authorization: Bearer {served.key}", url),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert b'"ready"' in output, output
    assert await served.kept(created) == body


async def test_put_content_is_as_long_as_declared(served: Served) -> None:
    """A body of another length is refused, at once or in mid-stream; the upload stays open for the right one."""
    body = large_mp3(9 * MIB)
    created = await served.api.create(body)
    path = f"/v1/uploads/{created['upload_id']}/content"

    async def chunked(data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 65536):
            yield data[start : start + 65536]

    assert (await served.client.put(path, content=body + b"x")).status_code == 422
    assert (await served.client.put(path, content=chunked(body + b"x"))).status_code == 422
    assert (await served.client.put(path, content=chunked(body[:-1]))).status_code == 422
    assert (await served.api.get(created["upload_id"]))["state"] == "uploading"
    assert (await served.client.put(path, content=chunked(body))).status_code == 201
    assert (await served.client.put(path, content=body)).status_code == 409
    assert await served.kept(created) == body


async def test_put_content_goes_over_parts_that_were_cut_smaller(served: Served) -> None:
    """Whoever sent every part by its URL first may send the file as a body after that: the old parts do not count."""
    body = large_mp3(21 * MIB)
    created = await served.api.create(body, part_size_bytes=5 * MIB)
    await served.api.put(created, body)
    # SeaweedFS lists both copies of a part that was sent again, and tells them apart by the second only.
    await asyncio.sleep(1.1)
    path = f"/v1/uploads/{created['upload_id']}/content"
    sent = await served.client.put(path, content=body, timeout=60)
    assert sent.status_code == 201, sent.text
    assert sent.json()["size_bytes"] == len(body)
    assert await served.kept(sent.json()) == body


async def test_put_content_of_another_tenant_is_404(served: Served) -> None:
    """Nobody sends into another tenant's upload."""
    created = await served.api.create(large_mp3(9000))
    async with served.as_tenant("other") as other:
        answer = await other.client.put(f"/v1/uploads/{created['upload_id']}/content", content=large_mp3(9000))
    assert answer.status_code == 404


async def test_two_bodies_for_one_upload_do_not_mix(served: Served) -> None:
    """Of two senders at the same time one is 409, and what becomes ready is the other's alone."""
    first, second = large_mp3(9 * MIB), large_mp3(9 * MIB + 7)[7:]
    created = await served.api.create(first)
    path = f"/v1/uploads/{created['upload_id']}/content"
    answers = await asyncio.gather(
        served.client.put(path, content=first, timeout=60), served.client.put(path, content=second, timeout=60)
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201, 409], [answer.text for answer in answers]
    winner = first if answers[0].status_code == 201 else second
    assert await served.kept(created) == winner
