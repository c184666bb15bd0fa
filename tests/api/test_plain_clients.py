"""Requests as simple programs send them: HEAD, a key that follows the redirect, JSON of other encodings."""

from __future__ import annotations

import codecs
import gzip
import json

import pytest

from tests.api.conftest import Api, mp3_bytes


async def test_h20_head_follows_the_redirect(api: Api) -> None:
    """HEAD gets a URL that is signed for HEAD, and the store answers it with the size of the file and its type."""
    body = mp3_bytes()
    final = await api.ready(body)
    answer = await api.call("HEAD", f"/v1/uploads/{final['upload_id']}/download")
    assert answer.status_code == 307
    stored = await api.store.head(answer.headers["location"])
    assert (stored.status_code, stored.headers["content-length"]) == (200, str(len(body)))
    assert stored.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("query", ["redirect=false", "redirect=0"])
async def test_h20_a_client_that_sends_its_key_on_asks_for_json(api: Api, query: str) -> None:
    """`?redirect=false` gives the URL as JSON, for clients that would send the key to the store."""
    body = mp3_bytes()
    final = await api.ready(body)
    answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download?{query}", headers={"accept": "*/*"})
    assert answer.status_code == 200
    assert (await api.store.get(answer.json()["url"])).content == body


async def test_h20_the_redirect_is_the_default(api: Api) -> None:
    """A browser's link is a redirect that no cache keeps."""
    final = await api.ready(mp3_bytes())
    for query in ("", "?redirect=true"):
        answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download{query}")
        assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")


async def test_h21_a_byte_order_mark_is_read(api: Api) -> None:
    """JSON with the UTF-8 byte order mark of PowerShell and .NET is read like any other."""
    text = json.dumps({"filename": "größe.mp3", "size_bytes": 5}, ensure_ascii=False).encode()
    answer = await api.call("POST", "/v1/uploads", content=codecs.BOM_UTF8 + text)
    assert (answer.status_code, answer.json()["filename"]) == (201, "größe.mp3")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
async def test_h21_other_encodings_are_named(api: Api, encoding: str) -> None:
    """JSON in UTF-16 or UTF-32 is refused with 415 and a sentence that says so, with and without a mark."""
    text = json.dumps({"filename": "a.mp3", "size_bytes": 5}).encode(encoding)
    answer = await api.call("POST", "/v1/uploads", content=text)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_body")
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br"])
async def test_h21_compressed_bodies_are_named(api: Api, encoding: str) -> None:
    """A compressed body is refused with 415 and its encoding; `identity` is no compression."""
    text = json.dumps({"filename": "a.mp3", "size_bytes": 5}).encode()
    answer = await api.call("POST", "/v1/uploads", content=gzip.compress(text), headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_body")
    assert encoding.lower() in answer.json()["detail"]
    answer = await api.call("POST", "/v1/uploads", content=text, headers={"content-encoding": "identity"})
    assert answer.status_code == 201
