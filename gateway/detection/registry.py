"""Choose the structural look that a file's first bytes call for."""

from __future__ import annotations

from typing import Protocol

from gateway.detection import front, magic
from gateway.detection.beginnings import ARCHIVE, DOCUMENT, beginning, refuse_beginning
from gateway.detection.foreign import advice_for
from gateway.detection.formats import (
    aac,
    amr,
    annexb,
    asf,
    avi,
    documents,
    dsf,
    ebml,
    elementary,
    flac,
    flv,
    gsm,
    iff,
    images,
    isobmff,
    ivf,
    mpeg_ps,
    mpeg_ts,
    mxf,
    ogg,
    realmedia,
    riff,
    sphere,
    voc,
    wavpack,
)
from gateway.detection.source import Source
from gateway.detection.verdict import Kind, Look, Refused, Structure


class _Format(Protocol):
    """A module of `formats` that knows its files by their first bytes."""

    def looks_like(self, head: bytes) -> bool:
        """Say whether the file begins so."""
        ...

    def look(self, source: Source) -> Look[Structure]:
        """Prove it, or raise Refused."""
        ...


# Formats with a signature at byte 0; the others are found by their frames and strides.
_BY_HEADER: tuple[_Format, ...] = (
    riff,
    avi,
    isobmff,
    ebml,
    ogg,
    flac,
    asf,
    iff,
    flv,
    amr,
    mpeg_ps,
    aac,
    images,
    wavpack,
    voc,
    dsf,
    sphere,
    ivf,
    annexb,
    mxf,
    realmedia,
)
_MAY_BEGIN: dict[str, Kind] = {DOCUMENT: "document", ARCHIVE: "archive"}


def find(source: Source, head: bytes, allowed: frozenset[Kind]) -> Look[tuple[Structure, bool]]:
    """Return the structure of the file, and whether only its magic bytes prove it.

    Raises Refused when it is nothing that may pass.
    """
    what = beginning(head)
    if what is None or _MAY_BEGIN.get(what) not in allowed:
        refuse_beginning(head)
    elif documents.kind_of(head) in allowed:
        return (yield from documents.look(source)), False
    else:
        return _by_magic(head, allowed), True
    structure = yield from _media(source, head)
    return (structure, False) if structure else (_by_magic(head, allowed), True)


def _media(source: Source, head: bytes) -> Look[Structure | None]:
    head = yield from front.step_over(source, head)
    for module in _BY_HEADER:
        if module.looks_like(head):
            return (yield from module.look(source))
    found = (yield from gsm.look(source)) if head and head[0] >> 4 == gsm.MARK else None
    return found or (yield from mpeg_ts.look(source)) or (yield from elementary.look(source))


def _by_magic(head: bytes, allowed: frozenset[Kind]) -> Structure:
    """Take puremagic's word for kinds that have no structural look here; never for audio or video."""
    found = magic.best(head)
    if found is not None and found.kind in allowed:
        return found
    reason = advice_for(head) or "The file does not begin like any format that is accepted here."
    raise Refused("unknown", reason)
