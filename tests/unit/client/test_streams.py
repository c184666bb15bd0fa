"""Sources without a known length, many files at once, and files that were only touched."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client import (
    AsyncClient,
    Client,
    ClientError,
    FileChanged,
    FileToSend,
    GatewayUnavailable,
    Progress,
    SourceError,
    StoreRefused,
    Unreachable,
    UploadCancelled,
)
from tests.unit.client.conftest import HASTY
from tests.unit.client.standin import KEY, StandIn

MIB = 1024 * 1024


def pieces(count: int, size: int = 64 * 1024) -> Iterator[bytes]:
    """Yield pieces that differ."""
    for number in range(count):
        yield bytes([number % 251]) * size


def _write_and_close(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


class _Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation("seek")


@pytest.mark.parametrize("kind", ["iterator", "file", "pipe", "fifo"])
def test_a_stream_of_unknown_length_arrives(client: Client, standin: StandIn, tmp_path: Path, kind: str) -> None:
    """An iterator, a file that cannot seek, a pipe and a named pipe are sent through the gateway, with metadata."""
    expected = b"".join(pieces(40))
    if kind == "iterator":
        source: Any = pieces(40)
    elif kind == "file":
        source = _Unseekable(expected)
    elif kind == "pipe":
        reading, writing = os.pipe()
        source = os.fdopen(reading, "rb")
        threading.Thread(target=_write_and_close, args=(writing, expected)).start()
    else:
        source = tmp_path / "talk.mp3"
        os.mkfifo(source)
        threading.Thread(target=source.write_bytes, args=(expected,)).start()
    seen: list[Progress] = []
    upload = client.upload(source, filename="talk.mp3", metadata={"a": "b"}, progress=seen.append)
    if kind == "pipe":
        source.close()
    assert (upload.state, upload.size_bytes, upload.metadata) == ("ready", len(expected), {"a": "b"})
    assert standin.content() == expected
    assert (seen[0].size_bytes, seen[-1].size_bytes, seen[-1].phase) == (None, len(expected), "done")


async def test_an_async_iterator_arrives(standin: StandIn, tmp_path: Path) -> None:
    """The asynchronous client reads an async iterator in its event loop."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces(20):
            await asyncio.sleep(0)
            yield piece

    async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        assert (await client.upload(chunks(), filename="talk.mp3")).state == "ready"
    assert standin.content() == b"".join(pieces(20))


async def test_a_cancelled_task_stops_an_async_iterator(standin: StandIn, tmp_path: Path) -> None:
    """A source that never gives another byte does not keep a cancelled upload alive."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.upload(chunks(), filename="talk.mp3")
    assert standin.uploads == {}


def test_a_rejected_stream_is_an_outcome(client: Client, standin: StandIn) -> None:
    """A stream that the gateway rejects returns its upload, as a file by parts does."""
    standin.final_state = "rejected"
    upload = client.upload(pieces(1), filename="talk.mp3")
    assert (upload.state, upload.rejection and upload.rejection.code) == ("rejected", "type_mismatch")


@pytest.mark.parametrize("fault", [503, "reset"])
def test_a_short_stream_is_sent_again(client: Client, standin: StandIn, fault: Any) -> None:
    """While the beginning is still in memory, a request that failed is sent again."""
    standin.api_faults["stream"].extend([fault, fault])
    assert client.upload(pieces(4), filename="talk.mp3").state == "ready"
    assert standin.content() == b"".join(pieces(4))


def test_a_long_stream_that_was_cut_says_what_to_do(client: Client, standin: StandIn) -> None:
    """A stream that went too far cannot be sent again: the error names the address and says so."""
    standin.api_faults["stream"].append("late")
    with pytest.raises((Unreachable, GatewayUnavailable), match="cannot be read twice") as caught:
        client.upload(pieces(200), filename="talk.mp3")
    assert standin.url in str(caught.value)


def test_what_a_stream_must_be(client: Client, standin: StandIn) -> None:
    """A stream without a name, one of text, and one that fails are named errors."""
    with pytest.raises(SourceError, match="filename"):
        client.upload(pieces(1))
    with pytest.raises(SourceError, match="not bytes"):
        client.upload(iter(["text"]), filename="a.mp3")  # type: ignore[arg-type]
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(UploadCancelled):
        client.upload(pieces(1), filename="a.mp3", cancel=cancel)
    assert standin.uploads == {}


def test_a_file_object_is_read_from_where_it_stands(client: Client, standin: StandIn, media: Path) -> None:
    """The bytes before the position of a file object are not sent, and it is left at its end."""
    with media.open("rb") as file:
        file.seek(1000)
        assert client.upload(file).size_bytes == media.stat().st_size - 1000
        assert file.tell() == media.stat().st_size
    assert standin.content() == media.read_bytes()[1000:]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_sent(client: Client, standin: StandIn, media: Path, kind: type) -> None:
    """Bytes in memory are sent by parts, under the given name."""
    assert client.upload(kind(media.read_bytes()), filename="a.mp4").state == "ready"
    assert standin.content() == media.read_bytes()


@pytest.mark.parametrize("checksums", [True, False])
def test_h22_touch_while_uploading_goes_on(client: Client, standin: StandIn, media: Path, checksums: bool) -> None:
    """A file that only got a new modification time is sent to its end."""
    standin.part_faults[3].append(lambda: os.utime(media, (1, 1)))
    assert client.upload(media, checksums=checksums).state == "ready"
    assert standin.content() == media.read_bytes()


def test_h22_other_bytes_of_the_same_size_are_named(client: Client, standin: StandIn, media: Path) -> None:
    """When a part that was sent has other bytes now, the error says which bytes."""

    def overwrite() -> None:
        with media.open("r+b") as file:
            file.write(b"other")

    standin.api_faults["sign"].extend([None, None, None, None, overwrite])
    with pytest.raises(FileChanged, match="part 1, bytes 0 to 65535, is no longer what was sent"):
        _send_in_order(standin, media)
    assert standin.only().state == "aborted"


def _send_in_order(standin: StandIn, media: Path) -> None:
    """Send with one part at a time: the order of parts is then known."""
    with Client(standin.url, KEY, retry=HASTY, parallel=1, state_folder=media.parent / "state") as client:
        client.upload(media)


def test_h22_a_changed_size_is_named(client: Client, standin: StandIn, media: Path) -> None:
    """When the size changed, the error says from what to what."""
    size = media.stat().st_size
    standin.part_faults[1].append(lambda: os.truncate(media, size - 1))
    with pytest.raises(FileChanged, match=f"its size went from {size} to {size - 1} bytes"):
        client.upload(media)


def test_h22_touch_without_anything_to_compare_with_is_an_error(client: Client, standin: StandIn, media: Path) -> None:
    """Where neither a checksum nor an MD5 is known of a sent part, a touched file is refused and the reason named."""
    standin.hide_etags = True
    standin.part_faults[3].append(lambda: os.utime(media, (1, 1)))
    with pytest.raises(FileChanged, match="without a checksum"):
        client.upload(media, checksums=False)


def test_h22_a_touched_file_is_resumed(client: Client, standin: StandIn, media: Path) -> None:
    """The same command resumes a file that was touched meanwhile: its parts are compared in any case."""
    standin.part_faults[4].append((400, "InvalidRequest"))
    with pytest.raises(StoreRefused):
        client.upload(media)
    os.utime(media, (1, 1))
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_h22_another_content_of_the_same_size_is_another_upload_once_all_parts_were_sent(
    client: Client, standin: StandIn, media: Path
) -> None:
    """An upload whose check goes on is not the answer for a file that has other bytes now."""
    standin.rounds_until_final = 1000
    first = client.upload(media, wait_seconds=0)
    media.write_bytes(os.urandom(media.stat().st_size))
    standin.rounds_until_final = 0
    second = client.upload(media)
    assert (first.upload_id != second.upload_id, second.state) == (True, "ready")


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_one_failure_does_not_end_the_others(standin: StandIn, media: Path, tmp_path: Path, mode: str) -> None:
    """Of many files each has its outcome: a missing one, an empty one, one whose source fails, and those that work."""

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("the camera is unplugged")

    (tmp_path / "empty.mp3").touch()
    files: list[Any] = [
        tmp_path / "missing.mp3",
        media,
        FileToSend(broken(), "camera.mp3"),
        tmp_path / "empty.mp3",
        FileToSend(media.read_bytes(), "b.mp4", metadata={"c": "d"}),
    ]
    options: Any = {"files_at_once": 2, "metadata": {"a": "b"}}
    if mode == "sync":
        with Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
            outcomes = list(client.upload_many(iter(files), **options))
    else:
        async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as async_client:
            outcomes = [outcome async for outcome in async_client.upload_many(iter(files), **options)]
    assert len(outcomes) == 5
    ready = {outcome.upload.filename: dict(outcome.upload.metadata) for outcome in outcomes if outcome.upload}
    assert ready == {"talk.mp4": {"a": "b"}, "b.mp4": {"a": "b", "c": "d"}}
    errors = sorted(str(outcome.error) for outcome in outcomes if outcome.error)
    assert len(errors) == 3
    assert any("unplugged" in error for error in errors)


def test_a_badly_encoded_file_name_is_sent(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """A file name that is no UTF-8 ends neither its own upload nor a batch; it is declared as readable text."""
    bad = tmp_path / os.fsdecode(b"b\xfc\xff.mp4")
    bad.write_bytes(media.read_bytes())
    outcomes = list(client.upload_many([FileToSend(bad, metadata={"path": str(bad)}), media]))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert {record.body["filename"] for record in standin.uploads.values()} == {"b\ufffd\ufffd.mp4", "talk.mp4"}


def test_files_at_once_are_bounded(client: Client, standin: StandIn, media: Path) -> None:
    """No more files are read from the list than are sent at once."""
    taken: list[int] = []

    def files() -> Iterator[FileToSend]:
        for number in range(6):
            taken.append(number)
            yield FileToSend(media.read_bytes(), f"{number}.mp4")

    outcomes = client.upload_many(files(), files_at_once=2)
    next(outcomes)
    assert len(taken) <= 4
    assert all(outcome.upload for outcome in outcomes)
    assert len(taken) == 6


def test_an_error_of_a_batch_is_a_client_error(client: Client, tmp_path: Path) -> None:
    """Whatever a source raises, the outcome's error is a ClientError with the original as its cause."""

    class Odd:
        def __fspath__(self) -> str:
            raise RuntimeError("no path")

    [outcome] = client.upload_many([Odd()])
    assert isinstance(outcome.error, ClientError)
    assert "no path" in str(outcome.error)
