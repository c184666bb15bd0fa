"""One look serves a store, a file and bytes, within a budget that nothing in the file can raise."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gateway.detection import BytesReader, FileReader, examine, inspect, inspect_bytes, inspect_file
from gateway.detection.source import HEAD, MAX_BYTES, MAX_READS, TAIL
from gateway.detection.verdict import Verdict
from tests.unit.detection import media
from tests.unit.detection.media import FTYP, box

GIB = 1024**3


class Sparse:
    """A file of any size of which only some places hold bytes."""

    def __init__(self, size_bytes: int, *places: tuple[int, bytes]) -> None:
        self.size_bytes = size_bytes
        self._places = places
        self.asked: list[tuple[int, int]] = []

    async def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        window = bytearray(min(length, self.size_bytes - start))
        for offset, data in self._places:
            first, last = max(start, offset), min(start + len(window), offset + len(data))
            if first < last:
                window[first - start : last - start] = data[first - offset : last - offset]
        return bytes(window)


@pytest.mark.parametrize("name", ["end.mp4", "x.mkv", "x.mp3", "x.ts", "x.wav"])
async def test_bytes_file_and_reader_agree(name: str, tmp_path: Path) -> None:
    """The same file gets the same verdict however it is read."""
    data = media.genuine(name)
    path = tmp_path / name
    path.write_bytes(data)
    async with FileReader(path) as reader:
        from_file = await inspect(reader)
    assert from_file == inspect_file(path) == inspect_bytes(data) == await inspect(BytesReader(data))


async def test_a_movie_header_behind_three_gib_costs_two_reads() -> None:
    """The data is jumped over; the header at the end and the tail are one read."""
    data = media.genuine("end.mp4")
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4])
    front, movie = data[:at] + struct.pack(">I4sQ", 1, b"mdat", 16 + 3 * GIB), data[at + size :]
    end = at + 16 + 3 * GIB
    reader = Sparse(end + len(movie), (0, front), (end, movie))
    verdict = await inspect(reader)
    assert verdict.accepted
    assert verdict.duration_seconds == pytest.approx(2, abs=0.1)
    assert verdict.reads == 2
    assert len(reader.asked) == 2


async def test_long_sample_tables_are_jumped_over() -> None:
    """A movie header of megabytes costs a read for each track, not its size."""
    data = media.genuine("end.mp4")
    at = data.index(b"moov") - 4
    movie = data[at + 8 :]
    padding = box(b"free", bytes(100))
    big = struct.pack(">I4s", 8 + len(movie) + len(padding) + 5_000_000, b"moov")
    # A free box of five million bytes before the tracks stands for what tables cost.
    first = int.from_bytes(movie[:4])
    free = struct.pack(">I4s", 5_000_000 + len(padding), b"free")
    head = FTYP + box(b"mdat", bytes(64)) + big + movie[:first] + free
    rest_at = len(head) + 5_000_000 + len(padding) - 8
    rest = movie[first:]
    verdict = await inspect(Sparse(rest_at + len(rest), (0, head), (rest_at, rest)))
    assert verdict.accepted
    # The head, and the last 66 KiB in one read: all that a reader of ZIP would search.
    assert (verdict.reads, verdict.bytes_read) == (2, HEAD + TAIL)


async def test_any_number_of_fragments_costs_the_same() -> None:
    """A fragmented movie is proven by its header and first fragment."""
    data = media.genuine("fragmented.mp4")
    at = data.index(b"moof") - 4
    fragment = box(b"moof", bytes(92)) + box(b"mdat", bytes(30_000))
    verdict = inspect_bytes(data[:at] + fragment * 200)
    assert verdict.accepted
    assert verdict.reads <= 3


ENDLESS = {
    "boxes at the top": FTYP + box(b"free", bytes(5000)) * 400,
    "boxes in moov": FTYP + box(b"moov", box(b"mvhd", bytes(100)) + box(b"udta", bytes(5000)) * 400),
    "tracks": FTYP + box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak", box(b"edts", bytes(5000))) * 400),
    "chunks": b"RIFF\xff\xff\xff\x7fWAVE" + media.chunk(b"JUNK", bytes(5000)) * 400,
    "elements": bytes.fromhex("1a45dfa38b428288") + b"matroska\x18\x53\x80\x67\xff" + b"\xec\x53\x88" + bytes(5000),
    "pages": media.genuine("x.ogg")[:58] * 4000,
    "id3 tags": media.id3(bytes(5000)) * 400,
    "flac blocks": b"fLaC\0\0\0\x22"
    + bytes((16, 0, 16, 0))
    + bytes(6)
    + b"\x0a\xc4\x42"
    + bytes(25)
    + b"\1\0\x13\x88" * 4000,
    "sync bytes": b"\xff\xfb\x90\x64" * 100_000,
    "adts syncs": b"\xff\xf1\x50\x80" * 100_000,
    "comments": FTYP + box(b"free", b"<!---->" * 3000),
    "declarations": FTYP + box(b"free", b"<?xml" * 3000),
    "zip ends": media.genuine("bare.mp3") + b"PK\5\6" * 16_000,
    "nested boxes": FTYP + b"".join(struct.pack(">I4s", 80_000 - 8 * depth, b"moov") for depth in range(10_000)),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_in_a_file_makes_it_cost_more(name: str) -> None:
    """Counts, sizes and depths that a file claims end at the budget."""
    verdict = inspect_bytes(ENDLESS[name])
    assert verdict.reads <= MAX_READS
    assert verdict.bytes_read <= MAX_BYTES
    assert name == "zip ends" or not verdict.accepted


async def test_errors_of_the_reader_come_through() -> None:
    """What the store says is not taken for a property of the file."""

    class Gone:
        size_bytes = 100

        async def read(self, start: int, length: int) -> bytes:
            raise KeyError("gone")

    with pytest.raises(KeyError):
        await inspect(Gone())


def test_a_file_that_cannot_be_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    """A missing file has no verdict."""
    with pytest.raises(FileNotFoundError):
        inspect_file(tmp_path / "missing.mp4")


def test_every_request_lies_inside_the_file() -> None:
    """No read begins behind the end, asks for nothing or overlaps the end."""
    for recipe in media.RECIPES:
        data = media.genuine(recipe.name)
        steps = examine(len(data))
        request: tuple[int, int] | None = next(steps)
        while request:
            start, length = request
            assert 0 <= start < len(data)
            assert 0 < length <= len(data) - start
            try:
                request = steps.send(data[start : start + length])
            except StopIteration:
                request = None


def test_a_verdict_becomes_plain_values() -> None:
    """`to_dict` is what the API, the database and the command show."""
    shown = inspect_bytes(media.genuine("end.mp4")).to_dict()
    assert [(track["kind"], track["codec"]) for track in shown["tracks"]] == [
        ("video", "avc1.f4000b"),
        ("audio", "mp4a.40.2"),
    ]
    assert set(shown) == set(Verdict.__dataclass_fields__)
