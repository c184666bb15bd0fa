"""Read a multipart form with one file in it, and refuse whatever else a sender may think of.

The `multipart` package parses (docs/decisions tell why it and no other); targets are streaming-form-data's, so that
each of them also works with that package's own parser.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from gateway.domain.errors import BodyTooLarge, Malformed
from gateway.streaming.target import BaseTarget

MOST_PARTS = 20
"""A file and the fields beside it; the gateway knows fewer."""

MOST_FIELD_BYTES = 16 * 1024
"""Of all fields together."""

MOST_HEADERS = 8
"""Of one part; RFC 7578 knows three."""

MOST_HEADER_BYTES = 4096
"""Of one header: a file name of 1,024 bytes is 3 KiB when every byte is escaped."""

OVERHEAD_BYTES = MOST_PARTS * MOST_HEADERS * MOST_HEADER_BYTES + MOST_FIELD_BYTES
"""No form is larger than its file by more than this."""

_MEDIA_TYPE = re.compile(r"multipart/form-data[ \t]*(;.*)", re.IGNORECASE)
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf';[ \t]*({_WORD})=(?:"([^"\\]*)"|({_WORD}))[ \t]*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_DISPOSITION = re.compile(r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^\s;"]*)')
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})


@dataclass(frozen=True, slots=True)
class FilePart:
    """What the form says of its file."""

    filename: str
    content_type: str | None


OpenFile = Callable[[FilePart], Awaitable[BaseTarget]]


def boundary_of(content_type: str) -> str:
    """Return the boundary that a Content-Type header names; raise Malformed for none, two or an unlawful one.

    RFC 2046 allows 1 to 70 characters of a small set, quoted or not.
    """
    found = _MEDIA_TYPE.fullmatch(content_type[:1024].strip())
    if found is None:
        raise Malformed("The body must be multipart/form-data with a boundary.")
    boundaries, position = [], 0
    while position < len(found[1]):
        parameter = _PARAMETER.match(found[1], position)
        if parameter is None:
            raise Malformed("The Content-Type header cannot be read.")
        if parameter[1].lower() == "boundary":
            boundaries.append(parameter[2] if parameter[3] is None else parameter[3])
        position = parameter.end()
    if len(boundaries) != 1 or not _BOUNDARY.fullmatch(boundaries[0]):
        raise Malformed("The boundary is missing, given twice, longer than 70 characters or has unlawful ones.")
    return boundaries[0]


class FormReader:
    """Feed a form as it arrives; its file goes to the target that *open_file* returns.

    Nothing may stand before the first boundary, and nothing but one line end behind the last. Raises Malformed and
    BodyTooLarge, and whatever the target raises.
    """

    def __init__(self, boundary: str, open_file: OpenFile) -> None:
        self.fields: dict[str, str] = {}
        self.file: FilePart | None = None
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=MOST_HEADER_BYTES,
            max_header_count=MOST_HEADERS,
            max_segment_count=MOST_PARTS,
            strict=True,
        )
        self._open_file = open_file
        self._target: BaseTarget | None = None
        self._field: str | None = None
        self._value = bytearray()
        self._field_bytes = 0
        self._ender = b"\r\n--" + boundary.encode() + b"--"
        self._beginning = b"--" + boundary.encode()
        self._carried = b""
        self._after: bytes | None = None

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._after is not None:
            self._behind(self._after + chunk)
            return
        if self._beginning:
            self._check_beginning(chunk)
        in_a_file, part_ended = self._target is not None, False
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, bytes):
                    await self._data(event)
                elif event is None:
                    part_ended = True
                    await self._end()
                else:
                    await self._begin(event)
        except MultipartError as exc:
            raise Malformed(f"The form cannot be read: {exc.args[0]}.") from exc
        # Only where a part ends can the form end, and inside a file that would be a search of every byte.
        if part_ended or not in_a_file:
            self._look_for_end(chunk)
        size = len(self._ender)
        self._carried = chunk[-size:] if len(chunk) >= size else (self._carried + chunk)[-size:]

    def close(self) -> None:
        """Say that the body is over; raise Malformed unless the form is, with a file in it."""
        if self._after is None:
            raise Malformed("The form ends without its last boundary.")
        if self.file is None:
            raise Malformed("The form has no file in it.")

    def _check_beginning(self, chunk: bytes) -> None:
        """Refuse a preamble: RFC 2046 lets mail have one, and no client of HTTP sends any."""
        expected, self._beginning = self._beginning[: len(chunk)], self._beginning[len(chunk) :]
        if not chunk.startswith(expected):
            raise Malformed("The body does not begin with its boundary.")

    def _look_for_end(self, chunk: bytes) -> None:
        seen = self._carried + chunk
        index = seen.find(self._ender)
        if index >= 0:
            self._behind(seen[index + len(self._ender) :])

    def _behind(self, rest: bytes) -> None:
        if not b"\r\n".startswith(rest):
            raise Malformed("The form goes on behind its last boundary.")
        self._after = rest

    async def _begin(self, segment: MultipartSegment) -> None:
        _refuse_tricks(segment)
        name, filename = segment.name or "", segment.filename
        if filename is None:
            if name in self.fields:
                raise Malformed(f"The form has the field {name[:64]!r} twice.")
            self._field = name
            self._value.clear()
            return
        if self.file is not None:
            raise Malformed("The form has more than one file.")
        if not filename:
            raise Malformed("No file was chosen.")
        self.file = FilePart(filename, segment.header("Content-Type"))
        self._target = await self._open_file(self.file)
        self._target.set_multipart_filename(filename)
        if self.file.content_type:
            self._target.set_multipart_content_type(self.file.content_type)
        await self._target.astart()

    async def _data(self, piece: bytes) -> None:
        if self._target is not None:
            await self._target.adata_received(piece)
            return
        self._field_bytes += len(piece)
        if self._field_bytes > MOST_FIELD_BYTES:
            raise BodyTooLarge(f"The fields of the form have more than {MOST_FIELD_BYTES} bytes.")
        self._value += piece

    async def _end(self) -> None:
        if self._target is not None:
            target, self._target = self._target, None
            await target.afinish()
        elif self._field is not None:
            try:
                self.fields[self._field] = self._value.decode()
            except UnicodeDecodeError as exc:
                raise Malformed(f"The field {self._field[:64]!r} is not UTF-8.") from exc
            self._field = None


def _refuse_tricks(segment: MultipartSegment) -> None:
    """Refuse what two readers could read in two ways: a parameter or a header given twice, an encoded body."""
    headers = Counter(name for name, _ in segment.headerlist)
    disposition = segment.header("Content-Disposition") or ""
    parameters = Counter(name.lower() for name in _DISPOSITION.findall(disposition))
    if max(headers.values()) > 1 or max(parameters.values(), default=0) > 1:
        raise Malformed("A part of the form has a header or a parameter twice.")
    if "filename*" in parameters:
        raise Malformed("filename* has no place in a form (RFC 7578): send filename in UTF-8.")
    if (segment.header("Content-Transfer-Encoding") or "binary").strip().lower() not in _PLAIN_ENCODINGS:
        raise Malformed("A part of the form is encoded: send it as it is.")
