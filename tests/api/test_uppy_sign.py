"""Uppy 6's `signRequest`: the store's URLs for bytes, the gateway's own, in S3's XML, for the rest."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.maintenance.post_uploads import complete_arrived_posts
from tests.api.conftest import MIB, Api, OpenApi, large_mp3, mp3_bytes
from tests.api.uploaders import SECRET, call_with, issue

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with upload tokens."""
    started: Api = await open_api(token_secret=SecretStr(SECRET))
    return started


class Signer:
    """Be an application's `signRequest`, and send what it answers as Uppy does."""

    def __init__(self, api: Api, token: str, *, in_path: bool = False) -> None:
        self.api = api
        self.token = token
        self.in_path = in_path

    async def sign(self, **wanted: Any) -> httpx.Response:
        """Ask how to send one request."""
        if self.in_path:
            return await self.api.client.post(f"/uppy/{self.token}/sign", json=wanted)
        return await call_with(self.api, self.token, "POST", "/uppy/sign", json=wanted)

    async def request(self, method: str, key: str, content: bytes = b"", **wanted: Any) -> httpx.Response:
        """Sign and send one request; Uppy adds the content type, and the signer's headers."""
        signed = await self.sign(method=method, key=key, **wanted)
        assert signed.status_code == 200, signed.text
        answer = signed.json()
        ours = urlsplit(answer["url"]).netloc == "localhost"
        client = self.api.client if ours else self.api.store
        headers = {"content-type": "application/xml" if content else "audio/mpeg"} if ours else {}
        headers |= answer.get("headers", {})
        return await client.request(method, answer["url"], content=content, headers=headers)

    async def create(self, key: str) -> str:
        """Create a multipart upload and give its id."""
        answer = await self.request("POST", key)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/xml"
        return found(answer, "UploadId")

    async def upload(self, key: str, body: bytes) -> httpx.Response:
        """Send a file in parts of 5 MiB."""
        upload_id = await self.create(key)
        etags = []
        for number, start in enumerate(range(0, len(body), 5 * MIB), 1):
            piece = body[start : start + 5 * MIB]
            sent = await self.request("PUT", key, piece, uploadId=upload_id, partNumber=number)
            assert sent.status_code == 200, sent.text
            etags.append(sent.headers["etag"].strip('"'))
        return await self.request("POST", key, complete_xml(etags), uploadId=upload_id)


def found(answer: httpx.Response, name: str) -> str:
    """Give the text of an element, with or without S3's namespace."""
    root = ET.fromstring(answer.content)
    text = root.findtext(f"{S3}{name}")
    return text if text is not None else root.findtext(name, "")


def complete_xml(etags: list[str]) -> bytes:
    """Write the body of complete as Uppy does: without quotes and without a namespace."""
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(etags, 1))
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


@pytest.mark.parametrize("in_path", [False, True], ids=["bearer", "path"])
async def test_a_file_goes_the_whole_way(api: Api, in_path: bool) -> None:
    """Create, parts, complete: bytes go to the store, all else to the gateway, which answers where the file is."""
    signer = Signer(api, (await issue(api, metadata={"user": "7"}))["token"], in_path=in_path)
    body = large_mp3(6 * MIB)
    answer = await signer.upload(f"album/{uuid4()}-Ünïcödé & 音.mp3", body)
    assert answer.status_code == 200, answer.text
    upload = await api.get(found(answer, "Location").rsplit("/", 1)[1])
    assert (upload["state"], upload["filename"], upload["size_bytes"]) == ("ready", "Ünïcödé & 音.mp3", 6 * MIB)
    assert (found(answer, "Key"), upload["metadata"]) == (upload["object_key"], {"user": "7"})


async def test_an_api_key_signs_too(api: Api) -> None:
    """A backend may stand between Uppy and the gateway with its own key."""
    answer = await Signer(api, await api.key()).upload("tone.mp3", mp3_bytes())
    assert answer.status_code == 200, answer.text


async def test_a_listing_resumes_and_answers_after_completion(api: Api) -> None:
    """ListParts names what is there, before and after complete, and complete may be repeated."""
    signer = Signer(api, (await issue(api))["token"])
    upload_id, body = await signer.create("tone.mp3"), mp3_bytes()
    await signer.request("PUT", "tone.mp3", body, uploadId=upload_id, partNumber=1)
    listed = await signer.request("GET", "tone.mp3", uploadId=upload_id)
    part = ET.fromstring(listed.content).find(f"{S3}Part")
    assert part is not None
    assert [element.text for element in part][0::2] == ["1", str(len(body))]
    etag = part.findtext(f"{S3}ETag", "")
    first = await signer.request("POST", "tone.mp3", complete_xml([etag]), uploadId=upload_id)
    again = await signer.request("GET", "tone.mp3", uploadId=upload_id)
    second = await signer.request("POST", "tone.mp3", complete_xml([etag]), uploadId=upload_id)
    assert (first.status_code, again.text, second.text) == (200, listed.text, first.text)


async def test_cancel_removes_the_parts(api: Api) -> None:
    """AbortMultipartUpload comes to the gateway, again is fine, and ends the upload."""
    signer = Signer(api, (await issue(api))["token"])
    upload_id = await signer.create("tone.mp3")
    for _ in range(2):
        answer = await signer.request("DELETE", "tone.mp3", uploadId=upload_id)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get(upload_id))["state"] == "aborted"
    assert (await signer.sign(method="PUT", key="x", uploadId=upload_id, partNumber=1)).status_code == 409


async def test_a_small_file_is_a_form(api: Api) -> None:
    """PutObject is answered with a form, which Uppy sends in its place."""
    signer = Signer(api, (await issue(api))["token"])
    signed = (await signer.sign(method="PUT", key=f"{uuid4()}-tone.mp3", contentType="audio/mpeg")).json()
    assert (signed["fields"]["Content-Type"], "file" in signed["fields"]) == ("audio/mpeg", False)
    sent = await api.store.post(signed["url"], data=signed["fields"], files={"file": ("blob", mp3_bytes())})
    assert sent.status_code == 201
    await complete_arrived_posts(api.gateway, [UUID(signed["uploadId"])])
    upload = await api.get(signed["uploadId"])
    assert (upload["state"], upload["filename"]) == ("ready", "tone.mp3")


async def test_errors_are_s3s_and_say_why(api: Api) -> None:
    """Uppy shows an error's code and nothing else: the header that it reads first holds the whole sentence."""
    signer = Signer(api, (await issue(api))["token"])
    refused = await signer.request("POST", f"{uuid4()}-virus.exe")
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/xml")
    assert refused.headers["x-amz-error-code"] == "Files .exe are not accepted here."
    assert (found(refused, "Code"), found(refused, "Message")) == (
        "ExtensionNotAllowed",
        "Files .exe are not accepted here.",
    )
    upload_id = await signer.create("letter.mp3")
    await signer.request("PUT", "letter.mp3", b"just a letter " * 500, uploadId=upload_id, partNumber=1)
    for _ in range(2):
        wrong = await signer.request("POST", "letter.mp3", uploadId=upload_id)
        assert wrong.status_code == 415
        assert wrong.headers["x-amz-error-code"] == (await api.get(upload_id))["rejection"]["detail"]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"method": "PUT"},
        {"method": "PATCH", "key": "a.mp3"},
        {"method": "DELETE", "key": "a.mp3"},
        {"method": "GET", "key": "a.mp3"},
        {"method": "PUT", "key": ""},
        {"method": "PUT", "key": "a.mp3", "uploadId": str(uuid4()), "partNumber": 0},
        {"method": "PUT", "key": "a.mp3", "uploadId": str(uuid4()), "partNumber": 10_001},
        {"method": "PUT", "key": "a.mp3", "uploadId": str(uuid4())},
    ],
)
async def test_what_cannot_be_signed_is_refused(api: Api, wanted: dict[str, Any]) -> None:
    """Objects are neither read nor deleted by key, and odd requests are 4xx with Companion's fields."""
    answer = await Signer(api, (await issue(api))["token"]).sign(**wanted)
    assert answer.status_code == 422
    assert answer.json()["message"] == answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"<",
        b"no xml",
        b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>y</ETag></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><Part>&x;</Part></a>',
        b"<a>" * 100_000,
    ],
    ids=range(7),
)
async def test_g2_xml_that_is_none_is_refused(api: Api, body: bytes) -> None:
    """Broken, hostile and endless XML is a 4xx, and the upload goes on."""
    signer = Signer(api, (await issue(api))["token"])
    upload_id = await signer.create("tone.mp3")
    answer = await signer.request("POST", "tone.mp3", body, uploadId=upload_id)
    assert answer.status_code == 422
    assert (await api.get(upload_id))["state"] == "uploading"


async def test_d1_another_tokens_upload_is_not_signed(api: Api) -> None:
    """A token signs parts of its own uploads only."""
    mine, other = Signer(api, (await issue(api))["token"]), Signer(api, (await issue(api))["token"])
    upload_id = await other.create("tone.mp3")
    assert (await mine.sign(method="PUT", key="tone.mp3", uploadId=upload_id, partNumber=1)).status_code == 404
    for method in ("GET", "POST", "DELETE"):
        assert (await mine.request(method, "tone.mp3", uploadId=upload_id)).status_code == 404
    assert (await api.client.post("/uppy/sign", json={"method": "POST", "key": "a.mp3"})).status_code == 401
