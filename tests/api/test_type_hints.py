"""One function decides what a declared type, a name and the bytes mean together: the same answer by every way in."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from tests.api.conftest import Api, OpenApi, gather
from tests.api.test_companion import Uppy
from tests.api.test_uppy_sign import Signer, found
from tests.api.uploaders import SECRET, issue
from tests.unit.detection import media

# Declared type, name, recipe of the bytes, observed type, and the name that fits where the given one does not.
Row = tuple[Any, str, str, str, str | None]

MEANINGLESS = ("", "null", "audio/*", "undefined", "video", "mp3", "application/unknown", "application/force-download")
H10: list[Row] = [
    (hint, "talk.mp3", "bare.mp3", "audio/mpeg", None)
    for hint in (
        "",
        "null",
        "undefined",
        "video",
        "mp3",
        "audio/*",
        "application/unknown",
        "application/force-download",
    )
]
H11: list[Row] = [
    ("audio/mpeg", "talk.m4a", "aac.m4a", "audio/mp4", None),
    ("text/vnd.trolltech.linguist", "film.ts", "x.ts", "video/mp2t", None),
    ("audio/mpg", "talk.mp3", "bare.mp3", "audio/mpeg", None),
    ("audio/x-mpeg-3", "talk.mp3", "bare.mp3", "audio/mpeg", None),
    ("audio/x-wave", "talk.wav", "adpcm.wav", "audio/vnd.wave", None),
    ("audio/mpeg", "talk.wav", "adpcm.wav", "audio/vnd.wave", None),
    ("audio/wma", "talk.wma", "x.wma", "audio/x-ms-wma", None),
    ("audio/x-opus+ogg", "talk.opus", "x.opus", "audio/ogg", None),
    ("audio/mp4a-latm", "talk.m4a", "aac.m4a", "audio/mp4", None),
    ("video/mp2ts", "film.mts", "x.ts", "video/mp2t", None),
]
H12: list[Row] = [
    ("audio/mpeg", "talk.mp3", "aac.m4a", "audio/mp4", "talk.m4a"),
    ("audio/mpeg", "talk.mp3", "adpcm.wav", "audio/vnd.wave", "talk.wav"),
    ("audio/mpeg", "talk.mp3", "audio.webm", "audio/webm", "talk.webm"),
    ("audio/wav", "talk.wav", "bare.mp3", "audio/mpeg", "talk.mp3"),
    ("audio/wav", "talk.wav", "x.amr", "audio/AMR", "talk.amr"),
    ("audio/mp4", "talk.m4a", "x.aac", "audio/aac", "talk.aac"),
    ("audio/mp4", "talk.m4a", "end.mp4", "video/mp4", "talk.mp4"),
    ("video/mp4", "film.mp4", "x.ts", "video/mp2t", "film.ts"),
    ("video/mpeg", "film.mpeg", "bare.mp3", "audio/mpeg", "film.mp3"),
    ("video/x-msvideo", "film.avi", "end.mp4", "video/mp4", "film.mp4"),
]
H13: list[Row] = [
    (None, "talk.mpga", "bare.mp3", "audio/mpeg", None),
    (None, "talk.weba", "audio.webm", "audio/webm", None),
    (None, "ring.m4r", "aac.m4a", "audio/mp4", None),
    (None, "film.m2t", "x.ts", "video/mp2t", None),
    (None, "talk.adts", "x.aac", "audio/aac", None),
    (None, "talk.latm", "x.loas", "audio/mp4a-latm", None),
    (None, "TALK.MP3", "bare.mp3", "audio/mpeg", None),
    (None, "talk.mp3.", "bare.mp3", "audio/mpeg", None),
]
ROWS = H10 + H11 + H12 + H13

Way = Callable[[Api, Row, bytes], Awaitable[dict[str, Any]]]


async def by_parts(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Create with the hint in JSON, send the parts, complete."""
    return await api.ready(body, row[1], content_type=row[0])


async def by_form(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Send a form whose file part declares the hint."""
    file = (row[1], body) if row[0] is None else (row[1], body, row[0])
    return await _received(api, await api.call("POST", "/upload/stream", files={"file": file}))


async def by_raw_body(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Create, then send the bytes as one body with the hint as its Content-Type."""
    created = await api.create(body, row[1], content_type=row[0])
    headers = {} if row[0] is None else {"content-type": row[0]}
    path = f"/v1/uploads/{created['upload_id']}/content"
    return await _received(api, await api.call("PUT", path, content=body, headers=headers))


async def by_post_form(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Ask for S3's POST form as Uppy does, and send the file to the store with it."""
    uppy = await _uppy(api)
    query = {"filename": row[1], "metadata[name]": row[1]} | ({} if row[0] is None else {"type": row[0]})
    answer = await uppy.call("GET", "/params", params=query)
    assert answer.status_code == 200, answer.text
    sent = await uppy.send(answer.json(), body)
    assert sent.is_success, sent.text
    return await api.arrived(answer.json()["uploadId"])


async def by_companion(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Send one part through Companion's routes."""
    uppy = await _uppy(api)
    wanted = {"filename": row[1], "type": row[0], "metadata": {"name": row[1]}}
    answer = await uppy.call("POST", "/multipart", json=wanted)
    assert answer.status_code == 200, answer.text
    upload_id = answer.json()["uploadId"]
    await uppy.complete(upload_id, [await uppy.put(upload_id, 1, body)])
    return await api.get(upload_id)


async def by_signed_requests(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Send one part as Uppy's `signRequest` has it, in S3's XML."""
    signer = Signer(api, (await issue(api))["token"])
    signed = await signer.sign(method="POST", key=quote(row[1]), contentType=row[0])
    answer = signed.json()
    headers = answer["headers"] | ({} if row[0] is None else {"content-type": row[0]})
    created = await api.client.post(answer["url"], headers=headers)
    assert created.status_code == 200, created.text
    upload_id = found(created, "UploadId")
    sent = await signer.request("PUT", row[1], body, uploadId=upload_id, partNumber=1)
    xml = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{sent.headers['etag']}</ETag></Part>"
    await signer.request("POST", row[1], f"{xml}</CompleteMultipartUpload>".encode(), uploadId=upload_id)
    return await api.get(upload_id)


async def by_question(api: Api, row: Row, body: bytes) -> dict[str, Any]:
    """Ask only; a question declares no type."""
    ranges = [{"start": 0, "data": b64encode(body).decode()}]
    wanted = {"filename": row[1], "size_bytes": len(body), "ranges": ranges}
    answer = await api.call("POST", "/v1/inspect", json=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found | {"state": {True: "ready", False: "rejected"}[found["accepted"]]}


WAYS: tuple[Way, ...] = (
    *(by_parts, by_form, by_raw_body, by_post_form, by_companion, by_signed_requests, by_question),
)


async def _received(api: Api, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return await api.get(answer.json()["upload_id"])


async def _uppy(api: Api) -> Uppy:
    return Uppy(api, (await issue(api))["token"])


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> AsyncIterator[Api]:
    """Give the API with upload tokens, and without rates: a table is sent at once."""
    yield await open_api(token_secret=SecretStr(SECRET), rate_per_minute=100_000)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: re.sub("_", " ", way.__name__))
async def test_h10_h11_h12_h13_bytes_outrank_hints_and_names(api: Api, way: Way) -> None:
    """A proven file is ready with its observed type, whatever was declared; a name that does not fit is noted."""

    async def check(row: Row) -> str | None:
        final = await way(api, row, media.genuine(row[2]))
        told = (final["state"], final["content_type"], final["extension_mismatch"], final["suggested_filename"])
        expected = ("ready", row[3], row[4] is not None, row[4])
        return None if told == expected else f"{row}: {told}"

    # The first three of each case come in by every way, the rest by parts and by question.
    rows = ROWS if way in (by_parts, by_question) else [*H10[:3], *H11[:3], *H12[:3], *H13[:3], H13[-1]]
    wrong = []
    for start in range(0, len(rows), 8):
        wrong += await gather(*(check(row) for row in rows[start : start + 8]))
    assert [text for text in wrong if text is not None] == []


@pytest.mark.parametrize("way", [by_parts, by_form, by_question], ids=lambda way: re.sub("_", " ", way.__name__))
async def test_h12_strict_is_strict_by_every_way(open_api: OpenApi, way: Way) -> None:
    """With the policy `strict` the same sentence comes from parts, form and question."""
    api: Api = await open_api(extension_mismatch="strict")
    row = H12[1]
    try:
        final = await way(api, row, media.genuine(row[2]))
        told = final["rejection"]["detail"]
    except AssertionError as refused:
        told = str(refused)
    assert "This is a WAV file. Rename it to talk.wav." in told
