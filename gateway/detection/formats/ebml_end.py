"""Find the last blocks of a Matroska or WebM file: the end of a recording that states none (RFC 9559)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.formats.ebml_numbers import UNKNOWN, parse_element
from gateway.detection.formats.endings import something_follows
from gateway.detection.source import TAIL, Source
from gateway.detection.verdict import Look

_CLUSTER = b"\x1f\x43\xb6\x75"
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
# Elements that may stand in a Cluster or after one.
_AFTER = frozenset((_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, 0xAB, 0xA7, 0xEC, 0xBF, 0xAF, 0x5854, 0x1F43B675,
                    0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0x114D9B74, 0x1549A966, 0x1654AE6B))  # fmt: skip
_MOST_ELEMENTS = 4096
_CLUSTERS = 8
# Places at which a chain of blocks may begin in the tail.
_STARTS = 128
_CHAIN = 4
# More than this after the last block is another file.
_FOREIGN = 4096


@dataclass(frozen=True, slots=True)
class LastBlock:
    """The end of the file in bytes where it is known, the time of the last block, and whether the file is whole."""

    end: int | None
    seconds: float | None
    complete: bool | None


def find_end(source: Source, stated: int | None, scale: int, container: str) -> Look[LastBlock]:
    """Read the time of the last block in the tail.

    Raises Refused when the Segment states no end and no blocks stand near the end of the file.
    """
    tail = yield from source.tail()
    offset = source.size - len(tail)
    at = tail.rfind(_CLUSTER)
    seconds: float | None = None
    reached, whole = 0, True
    for _ in range(_CLUSTERS):
        if at < 0:
            break
        seconds, reached, whole = _cluster(tail, at, scale)
        if reached > at + 16:
            break
        at = tail.rfind(_CLUSTER, 0, at)
    if stated is not None:
        return LastBlock(min(stated, source.size), seconds, complete=stated <= source.size)
    if at < 0:
        reached, whole = _chain(tail)
        if not reached and offset > 0:
            # A picture may be longer than the tail.
            start = max(0, offset - TAIL)
            longer = (yield from source.at(start, offset - start)) + tail
            offset = start
            tail = longer
            reached, whole = _chain(tail)
    if (not reached or len(tail[reached:].strip(b"\x00")) > _FOREIGN) and whole and offset > 0:
        raise something_follows(container)
    # A recorder that streams states no end: its file is whole where its last element is.
    return LastBlock(offset + reached if reached and whole else None, seconds, complete=whole if reached else None)


def _cluster(tail: bytes, at: int, scale: int) -> tuple[float | None, int, bool]:
    """Walk one Cluster and the elements after it; return the last time, the end, and whether all were whole."""
    begin, latest, whole = 0, 0, True
    for _ in range(_MOST_ELEMENTS):
        parsed = parse_element(tail[at : at + 12], 0)
        if parsed is None or parsed[0] not in _AFTER:
            break
        ident, start, size = parsed
        body = at + start
        if ident == 0x1F43B675:
            at = body
            continue
        if size == UNKNOWN:
            break
        if body + size > len(tail):
            whole = False
            break
        if ident == _TIMESTAMP:
            begin = int.from_bytes(tail[body : body + min(size, 8)])
            latest = max(latest, begin)
        elif ident in (_SIMPLE_BLOCK, _BLOCK_GROUP):
            latest = max(latest, begin + _relative(tail, ident, body))
        at = body + size
    seconds = latest * scale / 1e9
    return round(seconds, 3) if 0 < seconds < 1e9 else None, at, whole


def _relative(tail: bytes, ident: int, body: int) -> int:
    """Return the time of a block from the beginning of its Cluster (RFC 9559, section 10)."""
    if ident == _BLOCK_GROUP:
        parsed = parse_element(tail[body : body + 12], 0)
        if parsed is None or parsed[0] != _BLOCK:
            return 0
        body += parsed[1]
    track = 9 - tail[body].bit_length() if body < len(tail) and tail[body] else 1
    return int.from_bytes(tail[body + track : body + track + 2], signed=True)


def _chain(tail: bytes) -> tuple[int, bool]:
    """Find blocks that lead to one another to the end of the tail, where its Cluster begins before it."""
    at = tail.find(b"\xa3")
    for _ in range(_STARTS):
        if at < 0:
            break
        position, count, whole = at, 0, True
        while position < len(tail) and count < _MOST_ELEMENTS:
            parsed = parse_element(tail[position : position + 12], 0)
            if parsed is None or parsed[0] not in _AFTER or parsed[2] == UNKNOWN:
                break
            count += 1
            if position + parsed[1] + parsed[2] > len(tail):
                whole = False
                break
            position += parsed[1] + parsed[2]
        if count >= _CHAIN and (position == len(tail) or not whole):
            return position, whole
        at = tail.find(b"\xa3", at + 1)
    return 0, True
