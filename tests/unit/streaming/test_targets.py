"""The targets by themselves, under either parser."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

from gateway.streaming import disk
from gateway.streaming.buffers import BufferPool, Buffers
from gateway.streaming.file_target import StreamingFileTarget
from gateway.streaming.form_parser import FileComponent, FormReader
from gateway.streaming.parts_target import StreamingPartsTarget
from tests.api.streaming import BOUNDARY, form_body

FILE = os.urandom(3_000_001)
FORM = form_body(FILE)
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}


def pieces(size: int) -> list[bytes]:
    return [FORM[start : start + size] for start in range(0, len(FORM), size)]


@pytest.mark.parametrize("size", [1000, 65536, len(FORM)])
def test_file_target_works_with_streaming_form_data(tmp_path: Path, size: int) -> None:
    """The target is one of streaming-form-data's: its own parser fills the temporary file."""
    target = StreamingFileTarget(tmp_path / "id.mp3", with_sha256=True)
    assert isinstance(target, BaseTarget)
    parser = StreamingFormDataParser(HEADERS)
    parser.register("file", target)
    for piece in pieces(size):
        parser.data_received(piece)
    assert (tmp_path / "id.tmp").read_bytes() == FILE
    assert not (tmp_path / "id.mp3").exists()
    assert target.sha256 == hashlib.sha256(FILE).hexdigest()
    assert target.size_bytes == len(FILE)
    assert target.multipart_filename == "tone.mp3"
    disk.put_in_place(target.path)
    assert (tmp_path / "id.mp3").read_bytes() == FILE
    target.close()


async def test_file_target_works_with_the_asynchronous_parser(tmp_path: Path) -> None:
    """streaming-form-data's asynchronous calls write the same bytes."""
    target = StreamingFileTarget(tmp_path / "id.mp3", chunk_size=65536)
    parser = StreamingFormDataParser(HEADERS)
    parser.register("file", target)
    for piece in pieces(10_000):
        await parser.adata_received(piece)
    assert (tmp_path / "id.tmp").read_bytes() == FILE
    await target.aclose()


async def test_file_target_works_behind_the_gateways_reader(tmp_path: Path) -> None:
    """The same target behind the gateway's reader writes the same bytes."""
    target = StreamingFileTarget(tmp_path / "id.mp3", chunk_size=65536)

    async def open_file(part: FileComponent) -> BaseTarget:
        assert part == FileComponent("tone.mp3", "audio/mpeg")
        return target

    reader = FormReader(BOUNDARY.decode(), open_file)
    for piece in pieces(10_000):
        await reader.feed(piece)
    reader.close()
    assert (tmp_path / "id.tmp").read_bytes() == FILE
    await target.aclose()


async def test_an_old_file_is_never_written_over(tmp_path: Path) -> None:
    """A temporary file, or a link somebody put in its place, is an error and stays as it is."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "id.tmp").symlink_to(tmp_path / "secret")
    target = StreamingFileTarget(tmp_path / "id.mp3")
    with pytest.raises(Exception, match="disk does not take"):
        await target.astart()
    await target.aclose()
    assert (tmp_path / "secret").read_text() == "secret"


class Store:
    """Take parts as slowly as it is told to, and know how many were on their way at once."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.open = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def send(self, number: int, part: list[bytes], size: int) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.open.wait()
        self.at_once -= 1
        self.parts[number] = b"".join(part)
        assert len(self.parts[number]) == size
        return f"etag-{number}"


async def _pool(count: int) -> tuple[BufferPool, Buffers]:
    pool = BufferPool(count)
    admitted = pool.admit()
    return pool, await admitted.__aenter__()


async def test_parts_target_cuts_at_the_part_size() -> None:
    """Whatever pieces come in, every part but the last has the part size, and all of them together are the file."""
    store = Store()
    store.open.set()
    _, buffers = await _pool(3)
    target = StreamingPartsTarget(store.send, buffers, part_size_bytes=500_000, with_sha256=True)
    parser = StreamingFormDataParser(HEADERS)
    parser.register("file", target)
    for piece in pieces(70_001):
        await parser.adata_received(piece)
    assert [len(store.parts[number]) for number in sorted(store.parts)] == [500_000] * 6 + [1]
    assert b"".join(store.parts[number] for number in sorted(store.parts)) == FILE
    assert target.etags == [f"etag-{number}" for number in range(1, 8)]
    assert target.sha256 == hashlib.sha256(FILE).hexdigest()
    await target.aclose()


@pytest.mark.parametrize(("free", "at_once"), [(1, 1), (2, 2), (3, 3), (10, 3)])
async def test_parts_in_memory_are_as_many_as_there_are_buffers(free: int, at_once: int) -> None:
    """With a store that takes nothing, a sender is stopped when its buffers are full: three at most."""
    store = Store()
    _, buffers = await _pool(free)
    target = StreamingPartsTarget(store.send, buffers, part_size_bytes=100_000)
    sent = 0

    async def feed() -> None:
        nonlocal sent
        for start in range(0, len(FILE), 10_000):
            await target.adata_received(FILE[start : start + 10_000])
            sent += 10_000

    feeding = asyncio.create_task(feed())
    await asyncio.sleep(0.1)
    assert store.at_once == at_once
    assert sent <= at_once * 100_000
    store.open.set()
    await feeding
    await target.afinish()
    assert b"".join(store.parts[number] for number in sorted(store.parts)) == FILE
    await target.aclose()


async def test_buffers_are_lent_in_turn() -> None:
    """Nobody takes a second buffer while another waits for its first, and all come back."""
    pool = BufferPool(2, wait_seconds=5)
    async with pool.admit() as first:
        assert first.grow()
        waiting = asyncio.create_task(pool.admit().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        first.shrink()
        second = await waiting
        assert not first.grow()
        assert (first.count, second.count) == (1, 1)
