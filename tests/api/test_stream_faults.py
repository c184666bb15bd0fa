"""What breaks while a file comes in: the client, the store, the disk, the process. Nothing half-made is ever ready."""

from __future__ import annotations

import asyncio
import os
import resource
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import bootstrap
from gateway.domain.errors import Unavailable
from gateway.maintenance.sweep import sweep
from gateway.streaming import disk
from tests.api.conftest import MIB, OpenApi, large_mp3
from tests.api.streaming import BOUNDARY, Served, form_body, serve
from tests.holding_proxy import HoldingProxy

KIND = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}"


@pytest_asyncio.fixture(params=["store", "disk"])
async def served(request: pytest.FixtureRequest, open_api: OpenApi, tmp_path: Path) -> AsyncIterator[Served]:
    """Serve with each destination."""
    api = await open_api(upload_stream_destination=request.param, upload_dir=tmp_path / "kept")
    async with serve(api) as running:
        yield running


async def half_sent(served: Served, body: bytes, sent: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the first bytes of a form and wait until its upload is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {served.key}", KIND]
    lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:sent])
    await writer.drain()
    await served.only_upload()
    return reader, writer


async def ended(served: Served) -> dict[str, Any]:
    """Wait until the only upload is in a final state and cleaned up."""
    for _ in range(200):
        upload = await served.only_upload()
        row = await served.api.gateway.database.fetch_one("SELECT cleanup_pending FROM uploads", {})
        if upload["state"] not in ("uploading", "completing", "validating") and row and not row["cleanup_pending"]:
            return upload
        await asyncio.sleep(0.05)
    raise AssertionError(upload)


@pytest.mark.parametrize("sent", [1000, 9 * MIB, 20 * MIB])
async def test_a_client_that_goes_away_leaves_nothing(served: Served, sent: int) -> None:
    """A connection that ends in mid-body aborts the upload and removes what came."""
    _, writer = await half_sent(served, form_body(large_mp3(21 * MIB)), sent)
    writer.transport.abort()
    assert (await ended(served))["state"] == "aborted"
    await served.assert_nothing_left()


async def test_b10_a_process_that_ends_says_so(served: Served) -> None:
    """When the process is to end, a form in mid-body is answered 503 after the grace, and another is not begun."""
    reader, writer = await half_sent(served, form_body(large_mp3(9 * MIB)), 9 * MIB)
    served.api.gateway.receiving.active_bodies.begin_shutdown(0.2)
    assert (await served.form(large_mp3(9000))).status_code == 503
    assert (await reader.readline()).split()[1] == b"503"
    writer.close()
    assert (await ended(served))["state"] == "aborted"
    await served.assert_nothing_left()


@pytest.mark.parametrize("moment", ["reset", "slow_down"])
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "ListParts"])
async def test_b2_a_store_that_fails_in_mid_stream_is_503(
    open_api: OpenApi, tmp_path: Path, operation: str, moment: Any
) -> None:
    """A store that does not take the parts ends the form with 503 in bounded time; nothing of it is ready or kept."""
    plain = await open_api()
    with HoldingProxy(plain.settings.s3_endpoint, operation, moment).running() as proxy:
        api = await open_api(s3_endpoint=proxy.address, upload_dir=tmp_path / "kept")
        async with serve(api) as served:
            answer = await served.form(large_mp3(20 * MIB))
            assert answer.status_code == 503, answer.text
            proxy.let_go()
            await api.gateway.database.execute("UPDATE uploads SET expires_at = now() - interval '1 minute'", {})
            await served.swept()
            await served.assert_nothing_left()


@pytest.mark.parametrize("size", [1 * MIB, 20 * MIB])
async def test_b2_a_store_that_hangs_in_mid_stream_is_503(open_api: OpenApi, tmp_path: Path, size: int) -> None:
    """A store that takes connections and says nothing is 503 when it was silent for long enough, tries or no tries."""
    plain = await open_api()
    with HoldingProxy(plain.settings.s3_endpoint, "UploadPart", "hang").running() as proxy:
        api = await open_api(
            s3_endpoint=proxy.address,
            upload_dir=tmp_path / "kept",
            upload_stream_store_seconds=1.5,
            s3_max_attempts=10,
        )
        async with serve(api) as served:
            async with asyncio.timeout(8):
                answer = await served.form(large_mp3(size))
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert proxy.seen.count("UploadPart") >= 2
            proxy.let_go()
            await served.swept()
            await served.assert_nothing_left()


async def test_b2_a_store_that_hangs_is_not_tried_by_everybody_in_line(
    open_api: OpenApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten files that wait for one turn, two at most learn that the store hangs; all others are 503 with them."""
    monkeypatch.setattr(bootstrap, "MAX_CONCURRENT_SENDS", 1)
    plain = await open_api()
    with HoldingProxy(plain.settings.s3_endpoint, "UploadPart", "hang").running() as proxy:
        api = await open_api(
            s3_endpoint=proxy.address, upload_dir=tmp_path / "kept", upload_stream_store_seconds=1.5, s3_max_attempts=10
        )
        async with serve(api) as served:
            answers = await asyncio.gather(*[served.form(large_mp3(1 * MIB)) for _ in range(10)])
            assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "store_unavailable")}
            tried = {path for path, name in zip(proxy.paths, proxy.seen, strict=True) if name == "UploadPart"}
            assert 1 <= len(tried) <= 2
            proxy.let_go()
            assert (await served.form(large_mp3(1 * MIB))).status_code == 201
            await served.swept()


async def test_b2_a_part_that_fails_once_is_sent_again(open_api: OpenApi, tmp_path: Path) -> None:
    """One reset of the store's costs the sender nothing: the part is still in memory and is sent again."""
    plain = await open_api()
    with HoldingProxy(plain.settings.s3_endpoint, "UploadPart", "reset").running() as proxy:
        api = await open_api(s3_endpoint=proxy.address, upload_dir=tmp_path / "kept", s3_max_attempts=10)
        body = large_mp3(20 * MIB)
        async with serve(api) as served:
            sending = asyncio.create_task(served.form(body))
            while "UploadPart" not in proxy.seen:
                await asyncio.sleep(0.01)
            proxy.let_go()
            answer = await sending
            assert answer.status_code == 201, answer.text
            assert await served.kept(answer.json()) == body


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow past *size_bytes*: the kernel refuses the write as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_b9_a_full_disk_is_507(open_api: OpenApi, tmp_path: Path) -> None:
    """When the disk takes no more, the form ends with 507 and the room is given back."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path / "kept")
    async with serve(api) as served:
        with disk_of(5 * MIB):
            answer = await served.raw_form(form_body(large_mp3(30 * MIB)))
        assert answer.status == 507, answer.body
        assert (await ended(served))["state"] == "aborted"
        await served.assert_nothing_left()


async def test_a_folder_that_cannot_be_written_is_503(open_api: OpenApi, tmp_path: Path) -> None:
    """A folder that is none is a mistake of the operator's, not of the client's."""
    (tmp_path / "kept").write_text("a file")
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path / "kept")
    async with serve(api) as served:
        answer = await served.form(large_mp3(9000))
        assert answer.status_code == 503, answer.text


async def test_b1_disk_what_stopped_after_the_last_byte_is_finished(
    open_api: OpenApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was safe on the disk when its process stopped becomes ready by any other process."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path / "kept")
    body = large_mp3(300_000)

    def fail(path: Path) -> None:
        raise Unavailable

    async with serve(api) as served:
        with monkeypatch.context() as patch:
            patch.setattr(disk, "put_in_place", fail)
            answer = await served.form(body)
        assert answer.status_code == 202, "a client that is told of an error sends the file again"
        upload = await served.only_upload()
        assert upload["upload_id"] == answer.json()["upload_id"]
        assert upload["state"] == answer.json()["state"] == "validating"
        assert served.temporary_files() == [f"{upload['upload_id']}.tmp"]
        await api.gateway.database.execute("UPDATE uploads SET lease_until = now() - interval '1 s'", {})
        await served.swept()
        assert (await served.only_upload())["state"] == "ready"
        assert served.all_files() == [f"{upload['upload_id']}.mp3"]
        assert (tmp_path / "kept" / f"{upload['upload_id']}.mp3").read_bytes() == body


async def test_a1_disk_a_file_that_is_changed_after_it_was_received_is_rejected(
    open_api: OpenApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary file that has another length than was received is never ready."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path / "kept")
    find = disk.find

    def tampering(path: Path) -> Path:
        found = find(path)
        with found.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(disk, "find", tampering)
    async with serve(api) as served:
        answer = await served.form(large_mp3(300_000))
        assert answer.status_code == 422, answer.text
        assert answer.json()["rejection"]["code"] == "object_changed"
        await served.assert_nothing_left()


async def test_b5_a_temporary_file_that_outlived_its_upload_is_swept(open_api: OpenApi, tmp_path: Path) -> None:
    """The sweeper removes old temporary files of uploads that ended, no young ones and no other program's."""
    kept = tmp_path / "kept"
    api = await open_api(upload_stream_destination="disk", upload_dir=kept)
    async with serve(api) as served:
        assert (await served.form(b"no media" * 1000)).status_code == 422
        taken = (await served.form(large_mp3(9000))).json()
        ended_id = next(upload["upload_id"] for upload in await served.uploads() if upload["state"] == "rejected")
    names = [f"{ended_id}.tmp", "somebody.tmp", f"{uuid.uuid4()}.tmp"]
    for name in names:
        (kept / name).write_bytes(b"x")
    assert (await sweep(api.gateway))["temporary_files"] == 0
    for name in names:
        os.utime(kept / name, (1, 1))
    assert (await sweep(api.gateway))["temporary_files"] == 1
    assert sorted(path.name for path in kept.iterdir()) == sorted([f"{taken['upload_id']}.mp3", *names[1:]])
