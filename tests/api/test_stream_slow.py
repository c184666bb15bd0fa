"""SendQueue that are slow, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.streaming import limits
from tests.api.conftest import OpenApi, large_mp3
from tests.api.streaming import BOUNDARY, form_body, serve

FILE = large_mp3(30_000)
HEAD = form_body(b"\x00").split(b"\x00")[0]
KIND = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}"


@pytest.fixture(params=["store", "disk"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Give settings for each destination."""
    return {"upload_stream_destination": request.param, "upload_dir": tmp_path / "kept"}


def drops(count: int = 100_000) -> Iterator[bytes]:
    """Give the beginning of a form, and then a byte at a time."""
    yield HEAD
    for _ in range(count):
        yield b"x"


async def test_f9_silence_is_408(open_api: OpenApi, kept: dict[str, object]) -> None:
    """A sender that stops in mid-body is answered 408 after the longest silence, and nothing is kept."""
    api = await open_api(**kept, upload_stream_stall_seconds=0.3)
    async with serve(api) as served:
        answer = await served.raw([HEAD, FILE], headers=[KIND, "Content-Length: 9999999"])
        assert answer.status == 408, answer.body
        assert answer.headers["connection"] == "close"
        await served.assert_nothing_left()


@pytest.mark.parametrize("pause", [0.05, 0.001], ids=["slowly", "always something"])
async def test_f9_a_deadline_ends_what_never_ends(open_api: OpenApi, kept: dict[str, object], pause: float) -> None:
    """A sender that keeps dripping is answered 408 at its deadline, also one of whom some bytes always wait."""
    api = await open_api(**kept, upload_stream_seconds=0.5)
    async with serve(api) as served:
        answer = await served.raw(drops(), headers=[KIND, "Content-Length: 9999999"], pause=pause)
        assert answer.status == 408, answer.body
        await served.assert_nothing_left()


async def test_f9_less_than_the_least_rate_is_408(
    open_api: OpenApi, kept: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that is never silent, and too slow all the same, is answered 408 when its time of grace is over."""
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.5)
    api = await open_api(**kept, upload_stream_least_rate=16 * 1024)
    async with serve(api) as served:
        answer = await served.raw(drops(), headers=[KIND, "Content-Length: 9999999"], pause=0.01)
        assert answer.status == 408, answer.body
        assert b"bytes a second" in answer.body
        await served.assert_nothing_left()


async def test_b10_a_dripping_sender_is_told_that_the_process_ends(open_api: OpenApi, kept: dict[str, object]) -> None:
    """A sender of whom some bytes always wait is cut off as well, with 503, and nothing is kept."""
    api = await open_api(**kept)
    async with serve(api) as served:
        sending = asyncio.create_task(served.raw(drops(), headers=[KIND, "Content-Length: 9999999"], pause=0.001))
        await served.only_upload()
        api.gateway.receiving.active_bodies.begin_shutdown(0.2)
        answer = await sending
        assert answer.status == 503, answer.body
        await served.assert_nothing_left()
