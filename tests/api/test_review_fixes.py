"""What a sender could do that a first reading of the code did not see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from gateway.domain.principal import Principal
from gateway.uploads import copy_form
from gateway.uploads.access import load
from tests.api.conftest import MIB, Api, OpenApi, gather, large_mp3, mp3_bytes

TOKENS = SecretStr("a secret of more than 32 characters for tests")


async def test_nul_in_metadata_is_refused(open_api: OpenApi) -> None:
    """Metadata that PostgreSQL cannot keep is a mistake of the client's on every way in, never an error of ours."""
    api = await open_api(token_secret=TOKENS)
    file = {"filename": "a.mp3", "metadata": {"a": "\x00"}}
    answers = [
        await api.call("POST", "/v1/uploads", json={**file, "size_bytes": 5}),
        await api.call("POST", "/v1/uploads", json={**file, "size_bytes": 5, "metadata": {"\x00": "a"}}),
        await api.call("POST", "/s3/multipart", json=file),
        await api.call("GET", "/s3/params?filename=a.mp3&metadata[a]=%00"),
        await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60, "metadata": {"a": "\x00"}}),
    ]
    statuses = [answer.status_code for answer in answers]
    assert all(400 <= status < 500 for status in statuses), statuses


@pytest.mark.parametrize("encoding", ["foo", "base64", "utf-7", "idna"])
async def test_xml_of_an_unknown_encoding_is_refused(api: Api, encoding: str) -> None:
    """XML in an encoding that no parser knows is a mistake of the client's."""
    body = f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()
    answer = await api.call("POST", f"/s3xml/{uuid4()}", content=body)
    assert 400 <= answer.status_code < 500, answer.text


async def test_a_file_on_disk_has_no_link_to_the_store(open_api: OpenApi, tmp_path: Path) -> None:
    """Nobody gets a link to an object that the store never had."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path)
    sent = await api.call("POST", "/upload/stream", files={"file": ("t.mp3", mp3_bytes(), "audio/mpeg")})
    assert sent.status_code == 201, sent.text
    answer = await api.call("GET", f"/v1/uploads/{sent.json()['upload_id']}/download")
    assert answer.status_code == 409, answer.text


async def test_files_on_their_way_to_the_disk_count(open_api: OpenApi, tmp_path: Path) -> None:
    """A token for one file takes one, also while it is being received on the gateway's disk."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path, token_secret=TOKENS)
    made = await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 600, "max_files": 1})
    headers = {
        "authorization": f"Bearer {made.json()['token']}",
        "content-type": "multipart/form-data; boundary=b",
        "transfer-encoding": "chunked",
    }
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n' + mp3_bytes()[:100]
        begun.set()
        await go_on.wait()
        yield mp3_bytes()[100:] + b"\r\n--b--\r\n"

    async def second() -> int:
        await begun.wait()
        answer = await api.client.post(
            "/v1/uploads",
            headers={"authorization": headers["authorization"]},
            json={"filename": "b.mp3", "size_bytes": 5},
        )
        go_on.set()
        return answer.status_code

    first, refused = await gather(api.client.post("/upload/stream", content=slow(), headers=headers), second())
    assert first.status_code == 201, first.text
    assert 400 <= refused < 500


async def test_a_form_sent_again_smaller_holds_nothing_of_the_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a process stops between copy and claim, and the form is sent again, the file is the second one alone."""
    monkeypatch.setattr(copy_form, "COPY_PART_BYTES", 5 * MIB)
    form = (await api.call("GET", "/s3/params?filename=a.mp3&type=audio/mpeg")).json()

    async def post(size_bytes: int) -> None:
        files = {"file": ("a.mp3", large_mp3(size_bytes), "audio/mpeg")}
        sent = await api.store.post(form["url"], data=form["fields"], files=files)
        assert sent.is_success, sent.text

    await post(17 * MIB)
    upload = await load(api.gateway, Principal("acme", "test"), UUID(form["uploadId"]))
    head = await copy_form.find_posted_file(api.gateway, upload)
    assert head is not None
    async with copy_form.claim_copy(api.gateway, upload) as copy:
        assert copy is not None
        await copy_form.copy_form(api.gateway, upload, head, copy)
    await post(10 * MIB)
    found = await api.arrived(form["uploadId"])
    assert (found["state"], found["size_bytes"]) == ("ready", 10 * MIB)
