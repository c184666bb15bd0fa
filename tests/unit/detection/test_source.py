"""The source of one file: windows, budget, base and tail, each bound on both of its sides; no file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.detection import BytesReader, FileReader
from gateway.detection.source import HEAD, MAX_BYTES, MAX_READ, MAX_READS, READ_AHEAD, TAIL, Source
from gateway.detection.verdict import Look, Refused, Track, Verdict, broken, rounded, text, truncated

BIG = 10**9


class Reader:
    """Answer what a source asks for from bytes that say where they are, and remember the requests."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.asked: list[tuple[int, int]] = []

    def run(self, look: Look[bytes]) -> bytes:
        """Give the bytes that a look returns."""
        try:
            request = next(look)
            while True:
                self.asked.append(request)
                request = look.send(content(*request))
        except StopIteration as stop:
            given: bytes = stop.value
            return given


def content(start: int, length: int) -> bytes:
    """Give bytes of which each says its offset, modulo a prime."""
    first = start % 251
    return (bytes(range(251)) * (length // 251 + 2))[first : first + length]


def _reader(size: int = BIG) -> Reader:
    return Reader(Source(size))


def test_what_was_read_is_not_asked_for_again() -> None:
    """Any part of a window is served from it; one byte more is a read, from its own start."""
    reader = _reader()
    assert reader.run(reader.source.at(100, 10)) == content(100, 10)
    assert reader.asked == [(100, READ_AHEAD)]
    for start, length in ((100, READ_AHEAD), (105, 5), (99 + READ_AHEAD, 1)):
        assert reader.run(reader.source.at(start, length)) == content(start, length)
    assert len(reader.asked) == 1
    assert reader.run(reader.source.at(99, 2)) == content(99, 2)
    assert reader.run(reader.source.at(99 + READ_AHEAD, 2)) == content(99 + READ_AHEAD, 2)
    assert reader.asked[1:] == [(99, READ_AHEAD), (99 + READ_AHEAD, READ_AHEAD)]
    assert (reader.source.reads, reader.source.bytes_read) == (3, 3 * READ_AHEAD)


def test_a_request_is_cut_to_one_read_and_to_the_file() -> None:
    """A length out of the file cannot ask for more than one read; at the end there are fewer bytes, or none."""
    reader = _reader()
    assert len(reader.run(reader.source.at(0, 10**8))) == MAX_READ
    small = _reader(10)
    assert small.run(small.source.at(4, 100)) == content(4, 6)
    assert small.run(small.source.at(9, 1)) == content(9, 1)
    assert small.run(small.source.at(10, 1)) == b""
    assert small.run(small.source.at(11, 1)) == b""
    assert small.asked == [(0, 10)]
    end = _reader(10)
    assert end.run(end.source.at(10, 1)) == b""
    assert end.asked == []


def test_a_read_that_begins_in_the_tail_takes_all_of_it() -> None:
    """The last bytes are needed anyway: they are one read."""
    inside, before = _reader(), _reader()
    assert inside.run(inside.source.at(BIG - TAIL, 1)) == content(BIG - TAIL, 1)
    assert inside.asked == [(BIG - TAIL, TAIL)]
    assert before.run(before.source.at(BIG - TAIL - 1, 1)) == content(BIG - TAIL - 1, 1)
    assert before.asked == [(BIG - TAIL - 1, READ_AHEAD)]


def test_the_tail_of_a_small_file_begins_after_its_head() -> None:
    """What was read with the head is not read again, and the tail is given whole."""
    size = HEAD + 1000
    reader = _reader(size)
    reader.run(reader.source.at(0, HEAD, ahead=HEAD))
    assert reader.run(reader.source.tail()) == content(0, size)
    assert reader.asked == [(0, HEAD), (HEAD, 1000)]
    large = _reader(BIG)
    large.run(large.source.at(0, HEAD, ahead=HEAD))
    assert large.run(large.source.tail()) == content(BIG - TAIL, TAIL)
    assert large.asked == [(0, HEAD), (BIG - TAIL, TAIL)]


def test_windows_that_touch_are_one() -> None:
    """Nothing hides across the seam of two reads; windows with a gap stay apart."""
    reader = _reader()
    reader.run(reader.source.at(0, 10))
    reader.run(reader.source.at(READ_AHEAD, 10))
    reader.run(reader.source.at(10**6, 10))
    assert reader.source.windows() == (
        (0, content(0, 2 * READ_AHEAD)),
        (10**6, content(10**6, READ_AHEAD)),
    )
    assert reader.source.cached(READ_AHEAD - 1, 2) == content(READ_AHEAD - 1, 2)
    assert reader.source.cached(2 * READ_AHEAD - 1, 2) is None


def test_all_offsets_count_from_the_base() -> None:
    """After a tag the format begins at 0 again; windows and tags keep the file's own offsets."""
    reader = _reader(1000)
    reader.source.rebase(100)
    reader.source.rebase(20)
    assert (reader.source.base, reader.source.size) == (120, 880)
    assert reader.run(reader.source.at(5, 10)) == content(125, 10)
    assert reader.source.cached(5, 10) == content(125, 10)
    assert reader.run(reader.source.tail()) == content(120, 880)
    reader.source.mark_tag(0, 10)
    reader.source.mark_tag(20, 20)
    reader.source.mark_tag(30, 31)
    assert reader.source.tags == [(120, 130), (150, 151)]
    assert [reader.source.is_tag(place) for place in (119, 120, 129, 130)] == [False, True, True, False]


def test_the_tail_of_a_small_file_after_a_base() -> None:
    """It begins at the base at the earliest."""
    reader = _reader(HEAD + 500)
    reader.run(reader.source.at(0, HEAD, ahead=HEAD))
    reader.source.rebase(HEAD + 100)
    assert reader.run(reader.source.tail()) == content(HEAD + 100, 400)


def test_the_budget_of_reads_ends_the_look() -> None:
    """The last allowed read is made, the next one is a refusal with a sentence."""
    reader = _reader()
    for number in range(MAX_READS):
        reader.run(reader.source.at(number * 10**6, 1, ahead=1))
    assert reader.source.reads == MAX_READS
    with pytest.raises(Refused, match="cannot be proven from a few kilobytes") as raised:
        reader.run(reader.source.at(50 * 10**6, 1))
    assert (raised.value.check, raised.value.container) == ("budget", None)
    assert reader.run(reader.source.at(0, 1)) == content(0, 1)


def test_the_budget_of_bytes_ends_the_look() -> None:
    """The rest of the budget is given, cut from what would be read ahead; one byte more is refused."""
    reader = _reader()
    for number in range(3):
        reader.run(reader.source.at(number * 10**6, MAX_READ))
    left = MAX_BYTES - 3 * MAX_READ
    assert reader.run(reader.source.at(5 * 10**6, left - 10, ahead=MAX_READ)) == content(5 * 10**6, left - 10)
    assert (reader.asked[-1], reader.source.bytes_read) == ((5 * 10**6, left), MAX_BYTES)
    with pytest.raises(Refused):
        reader.run(reader.source.at(7 * 10**6, 1))
    exact, over = _reader(), _reader()
    for one in (exact, over):
        for number in range(3):
            one.run(one.source.at(number * 10**6, MAX_READ))
    assert len(exact.run(exact.source.at(5 * 10**6, left))) == left
    with pytest.raises(Refused):
        over.run(over.source.at(5 * 10**6, left + 1))


def test_room_for_one_more_read_keeps_the_tail() -> None:
    """Two reads and the bytes of the tail stay for the end of the file."""
    reader = _reader()
    source = reader.source
    assert source.can_read(MAX_BYTES - TAIL)
    assert not source.can_read(MAX_BYTES - TAIL + 1)
    for number in range(MAX_READS - 4):
        reader.run(source.at(number * 10**6, 1, ahead=1))
    assert source.can_read(1)
    reader.run(source.at(90 * 10**6, 1, ahead=1))
    assert not source.can_read(1)
    assert source.reads == MAX_READS - 3


def test_more_bytes_than_were_asked_for_do_not_count() -> None:
    """A reader that answers too much changes no window and no budget."""
    source = Source(BIG)
    look = source.at(0, 10)
    first, wanted = next(look)
    with pytest.raises(StopIteration) as stopped:
        look.send(content(first, wanted) + b"more")
    assert stopped.value.value == content(0, 10)
    assert source.windows() == ((0, content(0, READ_AHEAD)),)
    assert source.bytes_read == READ_AHEAD


async def test_readers_give_fewer_bytes_at_the_end(tmp_path: Path) -> None:
    """Of bytes and of a file, which is closed with the block."""
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    assert await BytesReader(b"0123456789").read(8, 5) == b"89"
    async with FileReader(path) as reader:
        assert (reader.size_bytes, await reader.read(8, 5), reader.read_now(2, 3)) == (10, b"89", b"234")
    with pytest.raises(ValueError, match="closed"):
        reader.read_now(0, 1)


@pytest.mark.parametrize(("raw", "name"), [
    (b"", None), (b"\0 \0", None), (b"avc1", "avc1"), (b" mp4a\0", "mp4a"), (b"a b~", "a b~"), (b"\x1f", "0x1f"),
    (b"XviD", "XviD"), (b"a\x7f", "0x617f"), (b"\xe4", "0xe4"), (b"a\0b", "0x610062"),
])  # fmt: skip
def test_a_name_in_a_file_is_printable(raw: bytes, name: str | None) -> None:
    """It comes into logs and the database: other bytes are shown in hex."""
    assert text(raw) == name


def test_refusals_say_what_is_wrong() -> None:
    """Check, container and a sentence that a sender understands."""
    cut, damaged = truncated("its header", "wav"), broken("The size is 0", "mp4")
    assert (cut.check, cut.container, str(cut)) == ("truncated", "wav", cut.reason)
    assert cut.reason == "The file ends inside its header: it was cut short. Upload the complete file."
    assert (damaged.check, damaged.container) == ("structure", "mp4")
    assert damaged.reason == "The size is 0: the file is damaged, or is not what it begins like."
    assert (truncated("x").container, broken("x").container) == (None, None)


def test_a_verdict_is_plain_values() -> None:
    """Tracks are dictionaries too, in a list, as JSON has them."""
    verdict = Verdict(True, container="wav", tracks=(Track("audio", codec="pcm"),))
    plain = verdict.to_dict()
    assert (plain["accepted"], plain["container"], plain["scan"]) == (True, "wav", None)
    assert plain["tracks"][0] | {"kind": "audio", "codec": "pcm", "width": None} == plain["tracks"][0]
    assert isinstance(plain["tracks"], list)


@pytest.mark.parametrize(("seconds", "shown"), [
    (0.0, None), (1.23456, 1.235), (0.001, 0.001), (0.0014, 0.001), (0.00099956, 0.001), (0.00012345, 0.000123),
    (1e-7, None), (0.5004, 0.5), (9.9996, 10.0),
])  # fmt: skip
def test_a_duration_is_shown_in_thousandths(seconds: float, shown: float | None) -> None:
    """In millionths below one thousandth; what would be 0 is unknown."""
    assert rounded(seconds) == shown
