"""Step over the known bytes that may stand before any format: a stream's answer header, ID3 and APE tags, zeros."""

from __future__ import annotations

import re

from gateway.detection.beginnings import refuse_beginning
from gateway.detection.formats import id3
from gateway.detection.source import HEAD, MAX_READ, Source
from gateway.detection.verdict import Look, truncated

# Tools that record a radio stream keep the answer of the server: a status line and header fields, then a blank line.
_ANSWER = re.compile(
    rb"(?:ICY|HTTP/1\.[01]) \d{3}[^\r\n<]{0,100}\r?\n(?:[A-Za-z0-9-]{1,64}:[^\r\n<]{0,512}\r?\n){0,64}\r?\n"
)
# Zeros before the format, at most this many reads of them.
_ZERO_READS = 3
_FEW_ZEROS = 8


def step_over(source: Source, head: bytes) -> Look[bytes]:
    """Move the base of the source after such bytes and return the bytes there.

    Raises Refused when a page, script, program or archive stands there.
    """
    if answer := _ANSWER.match(head):
        source.mark_tag(0, answer.end())
        source.rebase(answer.end())
    for _ in range(2):
        yield from _step_over_zeros(source)
        end = yield from id3.skip(source)
        source.rebase(end)
        if not end:
            break
    if not source.base:
        return head
    yield from _step_over_zeros(source)
    rest = yield from source.at(0, HEAD // 2)
    if not rest:
        raise truncated("its ID3 tag: no sound follows", "mp3")
    refuse_beginning(rest)
    return rest


def _step_over_zeros(source: Source) -> Look[None]:
    """Skip zeros, but leave three before a small number: the size of an MP4 box, or a start code of MPEG."""
    first = yield from source.at(0, _FEW_ZEROS)
    if len(first) < _FEW_ZEROS or any(first):
        return
    position = 0
    for _ in range(_ZERO_READS):
        data = yield from source.at(position, 16 * 1024, ahead=MAX_READ)
        rest = data.lstrip(b"\x00")
        position += len(data) - len(rest)
        if rest or not data:
            break
    after = yield from source.at(position, 8)
    if after[:1] and after[0] < 0x20:
        position -= 2 if after[0] == 1 else 3
    source.rebase(position)
