"""Senders that are slow, silent or gone."""

from __future__ import annotations

from pathlib import Path

from tests.api.conftest import OpenApi, large_mp3
from tests.api.streaming import BOUNDARY, form_body, serve

FILE = large_mp3(30_000)
HEAD = form_body(b"\x00").split(b"\x00")[0]
KIND = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}"


async def test_f9_silence_is_408(open_api: OpenApi, tmp_path: Path) -> None:
    """A sender that stops in mid-body is answered 408 after the longest silence, and nothing is kept."""
    api = await open_api(
        upload_stream_destination="disk", upload_dir=tmp_path / "kept", upload_stream_stall_seconds=0.3
    )
    async with serve(api) as served:
        answer = await served.raw([HEAD, FILE], headers=[KIND, "Content-Length: 9999999"])
        assert answer.status == 408, answer.body
        assert answer.headers["connection"] == "close"
        await served.assert_nothing_left()


async def test_f9_a_deadline_ends_what_never_ends(open_api: OpenApi, tmp_path: Path) -> None:
    """A sender that keeps dripping is answered 408 at its deadline."""
    api = await open_api(upload_stream_destination="disk", upload_dir=tmp_path / "kept", upload_stream_seconds=0.5)
    async with serve(api) as served:
        drops = (b"x" for _ in range(1000))
        answer = await served.raw(chunk for piece in ([HEAD], drops) for chunk in piece)
        assert answer.status in (400, 411)
        drops = (b"x" for _ in range(1000))
        answer = await served.raw(
            (chunk for piece in ([HEAD], drops) for chunk in piece),
            headers=[KIND, "Content-Length: 9999999"],
            pause=0.05,
        )
        assert answer.status == 408, answer.body
        await served.assert_nothing_left()
