"""Prove the format of a file from a few kilobytes.

Order: scriptable beginnings, the structural look, a second format hidden inside, puremagic's opinion, the policy.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from gateway.detection import hidden, magic, registry
from gateway.detection.codecs import one_name
from gateway.detection.source import HEAD, FileReader, RangeReader, Source
from gateway.detection.verdict import Kind, Look, Refused, Structure, Verdict

AUDIO_VIDEO: frozenset[Kind] = frozenset(("audio", "video"))
_FORMATS = "gateway.detection.formats."
logger = logging.getLogger(__name__)


async def inspect(reader: RangeReader, *, allowed_kinds: Collection[Kind] = AUDIO_VIDEO) -> Verdict:
    """Judge a file behind any reader with at most 24 reads and 256 KiB; only the reader's own errors are raised."""
    steps = examine(reader.size_bytes, allowed_kinds)
    try:
        request = next(steps)
        while True:
            request = steps.send(await reader.read(*request))
    except StopIteration as stop:
        verdict: Verdict = stop.value
        return verdict


def inspect_bytes(data: bytes, *, allowed_kinds: Collection[Kind] = AUDIO_VIDEO) -> Verdict:
    """Judge bytes in memory."""
    steps = examine(len(data), allowed_kinds)
    try:
        start, length = next(steps)
        while True:
            start, length = steps.send(data[start : start + length])
    except StopIteration as stop:
        verdict: Verdict = stop.value
        return verdict


def inspect_file(path: Path | str, *, allowed_kinds: Collection[Kind] = AUDIO_VIDEO) -> Verdict:
    """Judge a local file, blocking. Raises OSError when it cannot be read."""
    reader = FileReader(path)
    try:
        steps = examine(reader.size_bytes, allowed_kinds)
        try:
            request = next(steps)
            while True:
                request = steps.send(reader.read_now(*request))
        except StopIteration as stop:
            verdict: Verdict = stop.value
            return verdict
    finally:
        reader.close()


def examine(size_bytes: int, allowed_kinds: Collection[Kind] = AUDIO_VIDEO) -> Look[Verdict]:
    """Judge a file of this size without doing any I/O: yield (start, length), be sent the bytes."""
    source = Source(size_bytes)
    try:
        structure, alone = yield from _prove(source, frozenset(allowed_kinds))
    except Refused as refusal:
        return _refusal(refusal, source)
    except MemoryError:
        # Says something of the machine, nothing of the file.
        raise
    except Exception as exc:
        # A mistake in a format's code must not end the job that asks: it would be run again, with the same file, for
        # ever. The reader's own errors do not come here: whoever reads is outside of this generator.
        logger.exception(
            "detection failed; the file is refused",
            extra={"error": type(exc).__name__, "format": _format_of(exc.__traceback__)},
        )
        reason = "The check could not make sense of the file: it is damaged, or is not what it begins like."
        return _refusal(Refused("structure", reason), source)
    return _verdict(structure, source, alone, frozenset(allowed_kinds))


def _refusal(refusal: Refused, source: Source) -> Verdict:
    return Verdict(
        accepted=False,
        container=refusal.container,
        check=refusal.check,
        reason=refusal.reason,
        reads=source.reads,
        bytes_read=source.bytes_read,
    )


def _format_of(traceback: TracebackType | None) -> str | None:
    """Return the module of `formats` that raised an exception, or None."""
    while traceback is not None:
        name: str = traceback.tb_frame.f_globals.get("__name__", "")
        if name.startswith(_FORMATS):
            return name.removeprefix(_FORMATS)
        traceback = traceback.tb_next
    return None


def _prove(source: Source, allowed: frozenset[Kind]) -> Look[tuple[Structure, bool]]:
    if source.size <= 0:
        raise Refused("empty", "The file is empty.")
    head = yield from source.at(0, HEAD, ahead=HEAD)
    structure, alone = yield from registry.find(source, head, allowed)
    if structure.kind in AUDIO_VIDEO | {"image"}:
        tail = yield from source.tail()
        yield from hidden.refuse(source, structure, head, tail)
        if not alone:
            magic.agree(structure.family, structure.container, head, tail, tagged=source.base > 0)
    return structure, alone


def _verdict(structure: Structure, source: Source, alone: bool, allowed: frozenset[Kind]) -> Verdict:
    refused = structure.kind not in allowed
    reason = f"The file is {_WORDS[structure.kind]} ({structure.media_type}), which is not accepted here."
    return Verdict(
        accepted=not refused,
        container=structure.container,
        family=structure.family,
        media_type=structure.media_type,
        kind=structure.kind,
        tracks=tuple(replace(track, codec=track.codec or one_name(track.codec_name)) for track in structure.tracks),
        duration_seconds=structure.duration_seconds,
        duration_is=structure.duration_is,
        bit_rate=_bit_rate(structure, source.size),
        complete=structure.complete,
        available_seconds=structure.available_seconds,
        check="kind" if refused else None,
        reason=reason if refused else None,
        by_magic_alone=alone,
        reads=source.reads,
        bytes_read=source.bytes_read,
    )


def _bit_rate(structure: Structure, size_bytes: int) -> int | None:
    """Return the mean bits per second of the file; a cut file has its bytes in the time that is there."""
    seconds = structure.available_seconds if structure.complete is False else structure.duration_seconds
    return round(8 * size_bytes / seconds) if seconds else None


_WORDS: dict[Kind, str] = {
    "audio": "audio",
    "video": "video",
    "image": "an image",
    "document": "a document",
    "archive": "an archive",
}
