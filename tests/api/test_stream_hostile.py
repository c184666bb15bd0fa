"""Forms that nobody honest sends: each ends early, in an answer that says why, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.streaming.form_parser import FormReader
from tests.api.conftest import MIB, large_mp3
from tests.api.streaming import BOUNDARY, Served, form_body, running_api, serve
from tests.conftest import store_settings

FILE = large_mp3(30_000)
HEAD, TAIL = form_body(b"\x00").split(b"\x00")
MARGIN = 8 * MIB
"""What sockets and the server hold while an answer is on its way: a sender gets rid of this much and not of all."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["store", "disk"])
async def shared(
    request: pytest.FixtureRequest,
    make_database: Callable[[], str],
    store_server: StoreServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Served]:
    """Serve with each destination, 20 MiB at most; one server for all tests, a tenant for each."""
    folder = tmp_path_factory.mktemp("kept")
    settings = Settings(_env_file=None, database_url=make_database(), **store_settings(store_server)).model_copy(
        update={"upload_stream_destination": request.param, "upload_dir": folder, "max_file_size": 20 * MIB}
    )
    async with running_api(settings) as api, serve(api) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def served(shared: Served) -> AsyncIterator[Served]:
    """Give the server to a tenant of this test's own."""
    async with shared.as_tenant(uuid.uuid4().hex) as mine:
        yield mine
    for file in shared.api.settings.upload_dir.iterdir():
        file.unlink()


def repeated(piece: bytes, total: int) -> Iterator[bytes]:
    """Give *piece* again and again, *total* bytes in all."""
    block = piece * (65536 // len(piece) + 1)
    for _ in range(total // len(block)):
        yield block


def chunked(pieces: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
    """Write a chunked body."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


KIND = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}"
CHUNKED = [KIND, "Transfer-Encoding: chunked"]


@pytest.mark.parametrize("filename", ["setup.exe", "tone.mp3.exe", "tone", ".mp3", "tone.", "a.mp3/b"])
async def test_f1_extension_is_refused_before_a_byte_is_kept(served: Served, filename: str) -> None:
    """A file whose last extension is no audio or video is 400, and no upload was ever created."""
    answer = await served.raw_form(form_body(FILE, filename))
    assert answer.status == 400, answer.body
    assert b"extension_not_allowed" in answer.body
    assert await served.uploads() == []
    await served.assert_nothing_left()


async def test_f2_too_long_by_its_own_word_is_refused_unread(served: Served) -> None:
    """A Content-Length over the limit is 413 at once; with Expect: 100-continue not one byte of body is asked for."""
    lines = [KIND, f"Content-Length: {6 * 1024 * MIB}", "Expect: 100-continue"]
    answer = await served.raw([], headers=lines)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert await served.uploads() == []


async def test_f2_expected_form_is_asked_for_and_taken(served: Served) -> None:
    """A sender that waits for 100 Continue gets it, and then its answer."""
    body = form_body(FILE)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {served.key}", KIND]
    lines += [f"Content-Length: {len(body)}", "Expect: 100-continue"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_f3_too_long_without_saying_so_ends_in_mid_stream(served: Served) -> None:
    """A chunked body is 413 the moment the file passes the limit, however much would follow."""
    endless = repeated(large_mp3(65536), 1024 * MIB)

    def body() -> Iterator[bytes]:
        yield HEAD
        yield from endless

    answer = await served.raw(chunked(body()), headers=CHUNKED)
    assert answer.status == 413, answer.body
    assert answer.headers["connection"] == "close"
    assert answer.sent_bytes < 20 * MIB + MARGIN
    await served.assert_nothing_left()


async def test_f3_a_limit_is_met_to_the_byte(served: Served) -> None:
    """A file of exactly the limit is taken, and one byte more is 413."""
    whole = large_mp3(20 * MIB + 1)
    taken = await served.raw_form(form_body(whole[:-1]))
    assert taken.status == 201, taken.body
    refused = await served.raw_form(form_body(whole))
    assert refused.status == 413, refused.body
    assert len([upload for upload in await served.uploads() if upload["state"] == "ready"]) == 1


HOSTILE_HEADERS = {
    "one endless header": lambda: (piece for piece in (HEAD[:60], *repeated(b"a", 50_000_000))),
    "a header without end": lambda: (piece for piece in (HEAD[:-4] + b"\r\nX-A: ", *repeated(b"b", 50_000_000))),
    "a million headers": lambda: (piece for piece in (HEAD[:-2], *repeated(b"X-A: b\r\n", 8_000_000))),
    "50 MB of line ends before the first boundary": lambda: repeated(b"\r\n", 50_000_000),
    "50 MB of line ends and then a form": lambda: iter([*repeated(b"\r\n", 50_000_000), form_body(FILE)]),
    "a long text before the first boundary": lambda: iter([b"Dear server,\r\n" * 200, form_body(FILE)]),
    "a boundary in mid-line": lambda: iter([b"Dear server, ", form_body(FILE)]),
    "50 MB without a boundary": lambda: repeated(b"x", 50_000_000),
    "line ends that are none": lambda: iter([form_body(FILE).replace(b"\r\n", b"\n")]),
    "a header that is none": lambda: iter([b"--%s\r\nnonsense\r\n\r\n" % BOUNDARY]),
    "a header continued": lambda: iter([form_body(FILE).replace(b"; filename", b";\r\n filename")]),
    "NUL in a header": lambda: iter([form_body(FILE).replace(b"tone", b"to\x00ne")]),
}


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
async def test_f4_headers_and_preambles_are_bounded(served: Served, case: str) -> None:
    """Endless, countless and broken headers and everything before the first boundary end within kilobytes."""
    answer = await served.raw(chunked(HOSTILE_HEADERS[case]()), headers=CHUNKED)
    # A name that is well written and not taken is what it is at create, too.
    assert answer.status == (422 if case == "NUL in a header" else 400), answer.body
    assert answer.sent_bytes < MARGIN
    assert await served.uploads() == []
    await served.assert_nothing_left()


@pytest.mark.parametrize("with_file", [False, True])
async def test_f5_parts_are_counted(served: Served, with_file: bool) -> None:
    """The twenty-first of 20,000 tiny parts ends it, also behind a good file."""
    part = b'--%s\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n'
    parts = [part % (BOUNDARY, number) for number in range(20_000)]
    body = (HEAD + FILE + b"\r\n" if with_file else b"") + b"".join(parts) + b"--%s--\r\n" % BOUNDARY
    answer = await served.raw_form(body)
    assert answer.status == 400, answer.body
    await served.assert_nothing_left()


async def test_f5_fields_are_bounded(served: Served) -> None:
    """A field of megabytes is 413."""
    answer = await served.raw_form(form_body(FILE, before={"sha256": "a" * MIB}))
    assert answer.status == 413, answer.body
    await served.assert_nothing_left()


async def test_f6_single_bytes_are_coalesced(served: Served) -> None:
    """A body in 1-byte chunks is taken in pieces that are worth parsing: a thousandth as many as there are bytes."""
    calls = 0
    feed = FormReader.feed

    async def counting(self: FormReader, chunk: bytes) -> None:
        nonlocal calls
        calls += 1
        await feed(self, chunk)

    body = form_body(large_mp3(300_000))
    wire = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    pieces = [wire[start : start + 600] for start in range(0, len(wire), 600)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FormReader, "feed", counting)
        answer = await served.raw(pieces, headers=CHUNKED)
    assert answer.status == 201, answer.body
    assert calls < len(body) / 1000


def _without_end() -> bytes:
    return HEAD + FILE + b"\r\n--" + BOUNDARY + b"\r\n"


BROKEN = {
    "no last boundary": _without_end(),
    "cut in the last boundary": HEAD + FILE + b"\r\n--" + BOUNDARY + b"-",
    "cut in the file": HEAD + FILE,
    "cut in a header": HEAD[:50],
    "nothing at all": b"",
    "two files": form_body(FILE)[: -len(BOUNDARY) - 6] + form_body(FILE),
    "a page of text after the end": form_body(FILE) + b"PS: thank you. " * 100,
    "a second form behind the first": form_body(FILE) + form_body(FILE),
    "1,025 line feeds after the end": form_body(FILE) + b"\n" * 1025,
    "filename twice": form_body(FILE).replace(b'; filename="', b'; filename="a.mp3"; filename="'),
    "filename and filename*": form_body(FILE).replace(b'; filename="', b"; filename*=UTF-8''a.exe; filename=\""),
    "name twice": form_body(FILE).replace(b'name="file"', b'name="file"; name="size_bytes"'),
    "Content-Disposition twice": form_body(FILE).replace(
        b"Content-Type: audio", b'Content-Disposition: form-data; name="x"; filename="b.exe"\r\nContent-Type: audio'
    ),
    "no Content-Disposition": b"--%s\r\nContent-Type: audio/mpeg\r\n\r\nx\r\n--%s--\r\n" % (BOUNDARY, BOUNDARY),
    "an attachment": form_body(FILE).replace(b"form-data;", b"attachment;"),
    "base64": form_body(FILE).replace(
        b"Content-Type: audio", b"Content-Transfer-Encoding: base64\r\nContent-Type: audio"
    ),
    "no file": b'--%s\r\nContent-Disposition: form-data; name="size_bytes"\r\n\r\n1\r\n--%s--\r\n'
    % (BOUNDARY, BOUNDARY),
    "no file chosen": form_body(b"", filename=""),
    "an empty file": form_body(b""),
    "an empty form": b"--%s--\r\n" % BOUNDARY,
    "a field twice": form_body(FILE, before={"size_bytes": "1"}, after={"size_bytes": "1"}),
    "a field that is not UTF-8": form_body(FILE).replace(
        b"--%s\r\n" % BOUNDARY,
        b'--%s\r\nContent-Disposition: form-data; name="sha256"\r\n\r\n\xff\r\n--%s\r\n' % (BOUNDARY, BOUNDARY),
        1,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("pieces", ["whole", "split"])
async def test_f7_what_two_readers_could_read_in_two_ways_is_refused(served: Served, case: str, pieces: str) -> None:
    """A form that is cut off, goes on, repeats itself or hides something is 400, and nothing of it is kept."""
    body = BROKEN[case]
    cut = [body] if pieces == "whole" else [body[start : start + 997] for start in range(0, len(body), 997)]
    answer = await served.raw_form(cut)
    assert answer.status == 400, answer.body
    await served.assert_nothing_left()


@pytest.mark.parametrize("content_type", ["", "multipart/form-data", "multipart/form-data; boundary=" + "a" * 71])
async def test_f7_forms_without_a_lawful_boundary_are_not_read(served: Served, content_type: str) -> None:
    """Without a lawful boundary the answer is 400 before the body."""
    answer = await served.raw_form(form_body(FILE), content_type=content_type)
    assert answer.status == 400, answer.body
    assert await served.uploads() == []


async def test_f7_a_quoted_boundary_is_taken(served: Served) -> None:
    """A boundary that has to be quoted works, as .NET and others send it."""
    body = form_body(FILE, boundary=b"a b'c")
    answer = await served.raw_form(body, content_type='multipart/form-data; boundary="a b\'c"')
    assert answer.status == 201, answer.body


async def test_f7_boundaries_within_the_file_are_only_bytes(served: Served) -> None:
    """What only looks like the boundary stays in the file, wherever the pieces are cut."""
    chooser = random.Random(7)
    almost = b"\r\n--" + BOUNDARY[:-1]
    inner = [almost, b"\r\n", b"\r", b"--" + BOUNDARY, b"\r\n--", almost + b"\r\n", b"\n--" + BOUNDARY + b"--"]
    file = large_mp3(40_000) + b"".join(
        chooser.choice(inner) + bytes(chooser.choices(b"abc-", k=3)) for _ in range(3000)
    )
    body = form_body(file)
    pieces, position = [], 0
    while position < len(body):
        size = chooser.randint(1, 700)
        pieces.append(body[position : position + size])
        position += size
    answer = await served.raw_form(pieces)
    told = answer.json()
    if answer.status == 201:
        assert await served.kept(told) == file
    else:
        assert answer.status == 422, answer.body
        assert told["code"] == "file_rejected"


@pytest.mark.parametrize("first", ["Content-Length", "Transfer-Encoding"])
async def test_f10_two_lengths_are_refused(served: Served, first: str) -> None:
    """Content-Length beside Transfer-Encoding is 400: two servers in a row would see two different requests."""
    body = b"".join(chunked([form_body(FILE)]))
    both = [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"]
    answer = await served.raw([body], headers=[KIND, *(both if first == "Content-Length" else reversed(both))])
    assert answer.status == 400, answer.body
    assert await served.uploads() == []


@pytest.mark.parametrize("path", ["/upload/stream", "/v1/uploads/01890000-0000-7000-8000-000000000000/content"])
async def test_f10_no_length_is_411(served: Served, path: str) -> None:
    """A body of no announced length is 411."""
    answer = await served.raw([], path=path, method="POST" if "stream" in path else "PUT", headers=[KIND])
    assert answer.status == 411, answer.body


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: 0x10"],
        ["Content-Length: 5_0"],
        ["Transfer-Encoding: gzip, chunked, gzip"],
        ["Transfer-Encoding: xchunked"],
    ],
)
async def test_f10_unreadable_lengths_are_400(served: Served, lines: list[str]) -> None:
    """A length that two servers could read in two ways is 400."""
    answer = await served.raw([b"12345"], headers=[KIND, *lines])
    assert answer.status == 400, answer.body
    assert await served.uploads() == []
