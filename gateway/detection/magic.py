"""Ask puremagic for a second opinion, by bytes only: never by file name, never by its deep scan.

The deep scan opens local files by the name that it is given, and a 960 KB text costs it half a minute. Its own matcher
has an underscore in 1.30 (Python 3.11) and none in 2.x (3.12 on), and walks 1,485 rows in 0.3 ms: here the same rows
are looked up by place and bytes. A test holds both to the same answers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol

from gateway.detection.verdict import Kind, Refused, Structure

# puremagic's longest useful header but one is 2 KiB; the one at 36,870 is a CD image.
HEAD_BYTES = 4096
FOOT_BYTES = 516
# Rows with fewer different byte values than this, such as four times FF, match by chance: they may speak for a family,
# never against one.
TELLING_VALUES = 4
# '' is no answer. `sndr` is what 2.x says of every file that begins with two zeros.
_NOISE = frozenset(("", ".sndr", "audio/x-sndr"))

# What puremagic calls each family: media types and extensions, in both versions.
NAMES: dict[str, frozenset[str]] = {
    "isobmff": frozenset(
        (".mp4", ".m4a", ".m4b", ".m4v", ".f4a", ".f4b", ".mov", ".qtvr", ".3gp", ".3ga", ".3gpp", ".3g2", ".3gpp2")
    )
    | frozenset(("video/mp4", "audio/mp4", "audio/x-m4b", "video/quicktime", "video/3gpp", "video/3gpp2")),
    "matroska": frozenset(
        (".webm", ".mkv", ".mka", "video/webm", "video/x-matroska", "audio/x-matroska", "application/x-matroska")
    ),
    "ogg": frozenset([".ogg", ".oga", ".ogv", ".opus", ".ogx", "application/ogg", "audio/ogg", "video/ogg"]),
    "flac": frozenset((".flac", "audio/flac")),
    "wav": frozenset((".wav", "audio/wav", "audio/wave", "audio/x-wav")),
    "avi": frozenset((".avi", "video/avi", "video/x-msvideo")),
    "aiff": frozenset((".aif", ".aiff", ".aifc", "audio/aiff", "audio/x-aiff")),
    "caf": frozenset((".caf", "audio/x-caf")),
    "au": frozenset((".au", "audio/x-au", "audio/basic")),
    "asf": frozenset(
        (".asf", ".wma", ".wmv", "application/vnd.ms-asf", "video/x-ms-asf", "video/x-ms-wmv", "audio/x-ms-wma")
    ),
    "flv": frozenset((".flv", "video/x-flv")),
    "amr": frozenset((".amr", ".awb", "audio/AMR", "audio/AMR-WB")),
    "mpeg-audio": frozenset((".mp1", ".mp2", ".mp3", ".mpga", "audio/mpeg")),
    "aac": frozenset((".aac", "audio/aac")),
    "ac3": frozenset((".ac3", "audio/ac3")),
    "mpeg-ps": frozenset((".mpg", ".mpeg", ".vob", "video/mpeg", "video/dvd")),
    "png": frozenset((".png", "image/png")),
    "jpeg": frozenset((".jpg", ".jpeg", "image/jpeg")),
    "gif": frozenset((".gif", "image/gif")),
    "webp": frozenset((".webp", "image/webp")),
    "heif": frozenset((".heic", ".heif", ".avif", "image/heic", "image/heif", "image/avif")),
    "wavpack": frozenset((".wv", ".wvp", "audio/x-wavpack", "audio/wavpack")),
    "voc": frozenset((".voc", "audio/voc", "audio/x-voc")),
    "dsf": frozenset((".dsf", "audio/x-dsf")),
    "sphere": frozenset((".nist", ".sph", "audio/x-nist")),
    "ivf": frozenset((".ivf", "video/x-ivf")),
    "dts": frozenset((".dts", "audio/vnd.dts")),
    "gsm": frozenset((".gsm",)),
    "mxf": frozenset((".mxf", "application/mxf")),
    "realmedia": frozenset((".rm", ".rmvb", ".ra", "application/vnd.rn-realmedia", "audio/x-pn-realaudio")),
    "annexb": frozenset((".h264", ".264", "video/h264")),
    "mpeg-ts": frozenset((".ts", ".m2ts", "video/mp2t")),
}
# With an ID3 tag or the sync bytes of ADTS, puremagic always answers MP3.
_TAGGED = NAMES["mpeg-audio"]
_ALSO: dict[str, frozenset[str]] = {
    "aac": _TAGGED,
    "flac": _TAGGED,
    "ac3": _TAGGED,
    "ogg": _TAGGED,
    "heif": NAMES["isobmff"],
}

# Families that puremagic may not know, with the reason. Only a clear match of another family contradicts them.
MAY_BE_SILENT: dict[str, str] = {
    "isobmff": "it lists some major brands; new ones, and files that begin with another box, have no row",
    "mpeg-ts": "it has no row for 188-byte packets",
    "mpeg-ps": "it knows packs and sequences at the first byte only",
    "mpeg-audio": "1.30 lists a few of the first two bytes; a file cut out of a stream begins inside a frame",
    "aac": "it has no row for LOAS, and none for ADTS cut out of a stream",
    "ac3": "its row wants the sync word at the first byte",
    "wav": "it has no row for Sony Wave64",
    "wavpack": "it knows it by the first bytes alone",
    "voc": "2.x names it by another type",
    "dsf": "it has no row for such files",
    "sphere": "it has no row for such files",
    "ivf": "it has no row for such files",
    "dts": "its rows want the big-endian sync word at the first byte",
    "gsm": "it has no first bytes of its own",
    "mxf": "it has no row for such files",
    "annexb": "it has no row for such files",
    "heif": "it lists some major brands, and takes others for MP4",
}


class _Row(Protocol):
    """One of puremagic's rows: these bytes at this offset (from the end if negative) speak for this name."""

    byte_match: bytes
    offset: int
    extension: str
    mime_type: str


@dataclass(frozen=True, slots=True)
class _Rows:
    """puremagic's table: rows by (offset, length) and bytes, rows at the end, and rows that refine a matched one."""

    heads: tuple[tuple[int, int, dict[bytes, list[_Row]]], ...]
    feet: tuple[_Row, ...]
    refined: dict[bytes, list[_Row]]


@cache
def _rows() -> _Rows:
    """Import puremagic, with its deep scan off in every path, and sort its rows."""
    os.environ["PUREMAGIC_DEEPSCAN"] = "0"
    main = import_module("puremagic.main")
    heads: dict[tuple[int, int], dict[bytes, list[_Row]]] = {}
    for row in main.magic_header_array:
        heads.setdefault((row.offset, len(row.byte_match)), {}).setdefault(row.byte_match, []).append(row)
    places = tuple((offset, offset + length, rows) for (offset, length), rows in heads.items())
    return _Rows(places, tuple(main.magic_footer_array), dict(main.multi_part_dict))


def matches(head: bytes, tail: bytes) -> list[tuple[_Row, bytes]]:
    """Return every row of puremagic that matches, with the bytes that matched."""
    table = _rows()
    found = [
        (row, row.byte_match)
        for start, end, rows in table.heads
        if end <= len(head)
        for row in rows.get(head[start:end], ())
    ]
    found.extend((row, row.byte_match) for row in table.feet if _stands(row, tail))
    refining = [
        (row, matched + row.byte_match)
        for matched in dict.fromkeys(spoke for _, spoke in found)
        for row in table.refined.get(matched, ())
        if _stands(row, tail if row.offset < 0 else head)
    ]
    return found + refining


def _stands(row: _Row, data: bytes) -> bool:
    """Say whether a row's bytes stand at its offset, from the end if negative, and are not cut by the edge."""
    end = row.offset + len(row.byte_match)
    return data[row.offset : end or None] == row.byte_match


def candidates(head: bytes, tail: bytes) -> dict[str, int]:
    """Return every name puremagic has for these bytes, with how many different byte values spoke for it."""
    found: dict[str, int] = {}
    for row, spoke in matches(head[:HEAD_BYTES], tail[-FOOT_BYTES:]):
        for name in (row.extension, row.mime_type):
            if name not in _NOISE:
                found[name] = max(found.get(name, 0), len(set(spoke)))
    return found


def agree(family: str, container: str, head: bytes, tail: bytes, *, tagged: bool = False) -> None:
    """Raise Refused when puremagic's candidates do not hold the family, nor may rightly miss it.

    `tagged` says that a tag or padding stands before the format; puremagic then names the tag.
    """
    if tagged:
        return
    found = candidates(head, tail)
    if not found.keys().isdisjoint(NAMES[family] | _ALSO.get(family, frozenset())):
        return
    telling = sorted(
        (name for name, length in found.items() if length >= TELLING_VALUES), key=lambda name: -found[name]
    )
    if family in MAY_BE_SILENT and not telling:
        return
    seen = f"they say {telling[0]}" if telling else "they say nothing"
    raise Refused("magic", f"The file is built like {container}, but its magic bytes do not agree: {seen}.", container)


# Types whose kind their first word does not tell.
_ARCHIVES = frozenset(
    (
        "application/gzip",
        "application/x-gzip",
        "application/x-7z-compressed",
        "application/x-rar-compressed",
        "application/vnd.rar",
        "application/x-bzip2",
        "application/x-xz",
        "application/zstd",
        "application/x-tar",
        "application/zip",
    )
)
_DOCUMENTS = frozenset(
    ("application/rtf", "text/rtf", "application/msword", "application/vnd.ms-excel", "application/postscript")
)


def best(head: bytes) -> Structure | None:
    """Return puremagic's best answer for an image, a document or an archive; None for anything else."""
    found = candidates(head, b"")
    for name in sorted(found, key=lambda name: (-found[name], name)):
        kind: Kind | None = "image" if name.startswith("image/") and "svg" not in name else None
        kind = "archive" if name in _ARCHIVES else "document" if name in _DOCUMENTS else kind
        if kind:
            container = name.partition("/")[2].removeprefix("x-")
            return Structure(container, container, name, kind)
    return None
