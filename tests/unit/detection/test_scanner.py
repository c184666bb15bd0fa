"""A real clamd says what is clean; whatever goes wrong with it is an answer of ours."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.detection import ClamdScanner, ScanResult, scan_by_policy
from gateway.detection.scanner import parse_address
from gateway.domain.errors import ScannerUnavailable
from tests.unit.detection import media
from tests.unit.detection.clamd import EICAR, STREAM_MAX


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def scanner(address: str, max_bytes: int = STREAM_MAX, timeout_seconds: float = 20.0) -> ClamdScanner:
    return ClamdScanner(address, max_bytes=max_bytes, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("which", [0, 1], ids=["unix", "tcp"])
async def test_a_signature_is_found_across_chunks(clamd: tuple[str, str], which: int) -> None:
    """EICAR split over two chunks in the middle of a file is found and named, over socket and port."""
    body = (bytes(100_000) + EICAR[:20], EICAR[20:] + bytes(100_000))
    result = await scanner(clamd[which]).scan(chunks_of(*body), sum(map(len, body)))
    assert result == ScanResult(False, signature="Test.Eicar.UNOFFICIAL")


async def test_every_container_is_looked_into(clamd: tuple[str, str]) -> None:
    """clamd by itself answers OK to MP3 with a tag and to Ogg without reading them; through this it reads them all."""
    unseen = []
    for recipe in media.RECIPES:
        body = media.genuine(recipe.name)
        result = await scanner(clamd[0]).scan(chunks_of(b"", body, EICAR), len(body) + len(EICAR))
        if result.signature is None:
            unseen.append(recipe.name)
    assert unseen == []


async def test_a_clean_file_is_clean(clamd: tuple[str, str]) -> None:
    """Bytes without a signature pass, also none at all."""
    assert await scanner(clamd[0]).scan(chunks_of(bytes(1000)), 1000) == ScanResult(True)
    assert await scanner(clamd[0]).scan(chunks_of(), 0) == ScanResult(True)


async def test_a_file_over_our_cap_is_not_sent() -> None:
    """Nothing is connected to and nothing read when the size says no."""
    touched = []

    async def chunks() -> AsyncIterator[bytes]:
        touched.append(1)
        yield b""

    result = await scanner("tcp://127.0.0.1:1", max_bytes=10).scan(chunks(), 11)
    assert not result.clean
    assert "larger" in (result.skipped_reason or "")
    assert touched == []


async def test_a_file_over_clamds_own_limit_is_an_answer(clamd: tuple[str, str]) -> None:
    """clamd hangs up in the middle; that is a file it did not scan, not a scanner that is gone."""
    size = 4 * STREAM_MAX
    body = [bytes(65_536)] * (size // 65_536)
    result = await scanner(clamd[0], max_bytes=10 * size).scan(chunks_of(*body), size)
    assert not result.clean
    assert "StreamMaxLength" in (result.skipped_reason or "")


@pytest.mark.parametrize("way", [0, 1])
async def test_an_answer_that_lies_unread_is_read(clamd: tuple[str, str], way: int) -> None:
    """clamd hangs up while this process is busy: the next write fails before the answer was looked at."""

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(STREAM_MAX + 1)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop shall not get to read the answer that comes meanwhile
        yield bytes(65_536)
        yield bytes(65_536)

    result = await scanner(clamd[way], max_bytes=10 * STREAM_MAX).scan(chunks(), 2 * STREAM_MAX)
    assert "StreamMaxLength" in (result.skipped_reason or "")


async def test_memory_does_not_follow_the_file(clamd: tuple[str, str]) -> None:
    """Chunks are sent and forgotten."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(48):
            yield bytes(65_536)

    tracemalloc.start()
    try:
        assert (await scanner(clamd[0]).scan(chunks(), 48 * 65_536)).clean
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:///nonexistent/clamd.ctl"])
async def test_no_clamd_is_unavailable(address: str) -> None:
    """A refused connection is an error of ours, which says that it is worth another try."""
    with pytest.raises(ScannerUnavailable):
        await scanner(address).scan(chunks_of(b"x"), 1)


@asynccontextmanager
async def pretended(how: str) -> AsyncIterator[str]:
    """Listen where clamd should and misbehave; return the address."""
    handlers: set[asyncio.Task[None]] = set()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handlers.add(task)
        try:
            await reader.readuntil(b"\0")
            if how == "endless":
                writer.write(b"x" * 100_000)
            elif how == "nonsense":
                writer.write(b"stream: what?\0")
            if how != "closed":
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(behave, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*handlers)


@pytest.mark.parametrize("how", ["silent", "endless", "nonsense", "closed"])
async def test_a_broken_clamd_is_unavailable(how: str) -> None:
    """Silence, an endless or senseless answer and a closed connection all end, in the same error."""
    async with pretended(how) as address:
        with pytest.raises(ScannerUnavailable):
            await scanner(address, timeout_seconds=0.3).scan(chunks_of(b"x"), 1)


async def test_errors_of_the_store_are_the_stores() -> None:
    """What goes wrong while the file is read is not blamed on the scanner."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("the object is gone")

    async with pretended("silent") as address:
        with pytest.raises(KeyError):
            await scanner(address).scan(chunks(), 2)


async def test_fail_closed_lets_nothing_pass_unseen() -> None:
    """A scanner that does not answer is tried again later; a file too large for it is not clean."""
    with pytest.raises(ScannerUnavailable):
        await scan_by_policy(scanner("tcp://127.0.0.1:1"), "fail_closed", chunks_of(b"x"), 1)
    large = await scan_by_policy(scanner("tcp://127.0.0.1:1", max_bytes=1), "fail_closed", chunks_of(b"xx"), 2)
    assert not large.clean
    assert large.skipped_reason


async def test_fail_open_says_that_nobody_looked() -> None:
    """The file passes, and its record says why it was not scanned."""
    absent = await scan_by_policy(scanner("tcp://127.0.0.1:1"), "fail_open", chunks_of(b"x"), 1)
    large = await scan_by_policy(scanner("tcp://127.0.0.1:1", max_bytes=1), "fail_open", chunks_of(b"xx"), 2)
    assert absent.clean
    assert large.clean
    assert absent.skipped_reason
    assert large.skipped_reason


async def test_no_policy_lets_a_found_signature_pass(clamd: tuple[str, str]) -> None:
    """fail_open is about files that were not scanned, never about infected ones."""
    result = await scan_by_policy(scanner(clamd[0]), "fail_open", chunks_of(EICAR), len(EICAR))
    assert not result.clean
    assert result.signature


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("tcp://127.0.0.1:3310", ("127.0.0.1", 3310)),
        ("tcp://clamav", ("clamav", 3310)),
        ("tcp://[::1]:99", ("::1", 99)),
        ("unix:///run/clamav/clamd.ctl", ("/run/clamav/clamd.ctl", None)),
    ],
)
def test_addresses(address: str, parsed: tuple[str, int | None]) -> None:
    """Host with or without a port, or the path of a socket."""
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["", "127.0.0.1:3310", "http://x", "unix://relative/path", "tcp:///x", "tcp://h:x"])
def test_other_addresses_are_refused(address: str) -> None:
    """A typo is found when the gateway starts."""
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        parse_address(address)
