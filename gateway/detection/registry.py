"""Choose the structural look that a file's first bytes call for."""

from __future__ import annotations

from gateway.detection.beginnings import refuse_beginning
from gateway.detection.formats import (
    aac,
    amr,
    asf,
    ebml,
    elementary,
    flac,
    flv,
    iff,
    isobmff,
    mpeg_ps,
    mpeg_ts,
    ogg,
    riff,
)
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure

# Formats that say at byte 0 what they are; the others follow by their frames and strides.
_BY_HEADER = (riff, isobmff, ebml, ogg, flac, asf, iff, flv, amr, mpeg_ps, aac)


def find(source: Source, head: bytes, allowed: frozenset[Kind]) -> Look[tuple[Structure, bool]]:
    """Return what the file is and whether magic bytes alone said so.

    Raises Refused when it is nothing that may pass.
    """
    refuse_beginning(head)
    for module in _BY_HEADER:
        if module.looks_like(head):
            return (yield from module.look(source)), False
    if structure := (yield from mpeg_ts.look(source)):
        return structure, False
    if structure := (yield from elementary.look(source)):
        return structure, False
    raise Refused("unknown", "The file does not begin like any audio or video format that is known here.")
