"""Files sent to the gateway itself, through a real server, to both destinations."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.api.conftest import MIB, OpenApi, large_mp3
from tests.api.streaming import Served, serve

DESTINATIONS = ("store", "disk")


@pytest.fixture(params=DESTINATIONS)
async def served(request: pytest.FixtureRequest, open_api: OpenApi, tmp_path: Path):
    api = await open_api(upload_stream_destination=request.param, upload_dir=tmp_path / "kept")
    async with serve(api) as running:
        yield running


@pytest.mark.parametrize("size", [1, 20_000, 5 * MIB, 8 * MIB, 20 * MIB + 1])
async def test_a_form_becomes_a_ready_upload_of_the_same_bytes(served: Served, size: int) -> None:
    """What is sent in a form is kept byte for byte and answered as the transcription pipeline needs it."""
    body = large_mp3(max(size, 5000)) if size > 1 else large_mp3(5000)
    answer = await served.form(body, sha256=hashlib.sha256(body).hexdigest(), size_bytes=str(len(body)))
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["state"] == "ready"
    assert told["size_bytes"] == len(body)
    assert told["content_type"] == "audio/mpeg"
    assert await served.kept(told) == body
    assert served.temporary_files() == []
