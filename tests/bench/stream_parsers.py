"""Measure form parsers on good and hostile input: `python -m tests.bench.stream_parsers`.

Each parser counts the bytes of the file and nothing else, so that the figures are the parsers' own. Hostile input is
fed until the parser refuses it or ten seconds of CPU are gone.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import multipart
import python_multipart
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

MIB = 1024 * 1024
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
MOST_SECONDS = 10.0
GOOD_BYTES = 1024 * MIB
HEAD = (
    b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    % BOUNDARY
)
TAIL = b"\r\n--%s--\r\n" % BOUNDARY

Feed = Callable[[bytes], None]


class _Count(BaseTarget):
    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def on_data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)


def streaming_form_data() -> tuple[Feed, Callable[[], int]]:
    """Feed streaming-form-data."""
    parser = StreamingFormDataParser({"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"})
    target = _Count()
    parser.register("file", target)
    return parser.data_received, lambda: target.size


def push_multipart() -> tuple[Feed, Callable[[], int]]:
    """Feed multipart's push parser with the limits the gateway gives it."""
    parser = multipart.PushMultipartParser(
        BOUNDARY, max_header_size=4096, max_header_count=8, max_segment_count=20, strict=True
    )
    size = 0

    def feed(data: bytes) -> None:
        nonlocal size
        for event in parser.parse(data):
            if isinstance(event, bytes):
                size += len(event)

    return feed, lambda: size


def python_multipart_parser() -> tuple[Feed, Callable[[], int]]:
    """Feed python-multipart, which Starlette uses."""
    size = 0

    def on_part_data(_data: bytes, start: int, end: int) -> None:
        nonlocal size
        size += end - start

    parser = python_multipart.MultipartParser(BOUNDARY, {"on_part_data": on_part_data})

    def feed(data: bytes) -> None:
        parser.write(data)

    return feed, lambda: size


PARSERS = {
    f"streaming-form-data {version('streaming-form-data')}": streaming_form_data,
    f"multipart {version('multipart')}": push_multipart,
    f"python-multipart {version('python-multipart')}": python_multipart_parser,
}


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _good(body: bytes, chunk: int, total: int = GOOD_BYTES) -> Iterator[bytes]:
    yield HEAD
    pieces = [*_cut(body, chunk)]
    for _ in range(total // len(body)):
        yield from pieces
    yield TAIL


def _random() -> bytes:
    import random

    return random.Random(5).randbytes(16 * MIB)


def cases() -> dict[str, Callable[[], Iterator[bytes]]]:
    """Name the inputs; each call gives the chunks anew."""
    random_bytes, near = _random(), (b"\r\n--" + BOUNDARY[:-1] + b"!") * (16 * MIB // 41)
    part = b'--%s\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' % BOUNDARY
    return {
        "good, 1 GiB, 64 KiB chunks": lambda: _good(random_bytes, 64 * 1024),
        "good, 1 GiB, 256 KiB chunks": lambda: _good(random_bytes, 256 * 1024),
        "1 GiB of near boundaries": lambda: _good(near, 64 * 1024),
        "1 GiB of CR": lambda: _good(b"\r" * MIB, 64 * 1024),
        "preamble of 50 MB CR LF": lambda: _cut(b"\r\n" * 25_000_000 + HEAD + b"x" + TAIL, 64 * 1024),
        "one header of 50 MB": lambda: _cut(HEAD[:60] + b"a" * 50_000_000, 64 * 1024),
        "a million headers": lambda: _cut(HEAD[:-2] + b"X-A: b\r\n" * 1_000_000, 64 * 1024),
        "20,000 parts of a byte": lambda: _cut(part * 20_000, 64 * 1024),
        "1 MB in 1-byte chunks": lambda: _cut(HEAD + b"x" * 1_000_000 + TAIL, 1),
    }


def _run(make: Callable[[], tuple[Feed, Callable[[], int]]], chunks: Iterator[bytes]) -> str:
    feed, size = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, end = time.process_time(), "taken"
    for chunk in chunks:
        try:
            feed(chunk)
        except Exception as exc:  # noqa: BLE001 - whatever a parser raises is its refusal
            end = f"refused ({type(exc).__name__})"
            break
        if time.process_time() - began > MOST_SECONDS:
            end = "stopped"
            break
    seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    return f"{seconds:7.2f} s CPU  {end}, {size() / MIB:.0f} MiB of file" + (f", +{grown} MB" if grown > 8 else "")


def main() -> None:
    """Print a table."""
    print(sys.version.split()[0])
    for name, chunks in cases().items():
        print(name)
        for parser, make in PARSERS.items():
            print(f"  {parser:28} {_run(make, chunks())}", flush=True)


if __name__ == "__main__":
    main()
