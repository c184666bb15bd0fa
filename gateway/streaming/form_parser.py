"""Read a multipart form with one file in it.

The `multipart` package parses (docs/decisions tell why it and no other); targets are streaming-form-data's, so that
each of them also works with that package's own parser.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from gateway.domain.errors import BodyTooLarge, Invalid, Malformed
from gateway.streaming.form_headers import boundary_of, charset_of, decode, disposition_of
from gateway.streaming.target import BaseTarget

__all__ = ["FileComponent", "FormReader", "boundary_of"]

MOST_PARTS = 20
"""A file and the fields beside it."""

MOST_FIELD_BYTES = 16 * 1024
"""Bytes of all fields together."""

MAX_FIELD_NAME = 64
MAX_FIELD_VALUE = 1024
"""Characters of a field's name and value, as of the metadata of an upload."""

MOST_HEADERS = 8
"""Headers of one component; RFC 7578 defines three."""

MOST_HEADER_BYTES = 4096
"""Bytes of one header: a file name of 1,024 bytes needs 3 KiB when every byte is escaped."""

MOST_PREAMBLE_BYTES = 1024
"""Bytes before the first boundary: cpp-httplib sends a line end, mail libraries "This is a multi-part message …"."""

MOST_EPILOGUE_BYTES = 1024
"""Bytes after the last boundary: clients send line ends and blanks, mail programs a sentence."""

OVERHEAD_BYTES = (
    MOST_PARTS * MOST_HEADERS * MOST_HEADER_BYTES + MOST_FIELD_BYTES + MOST_PREAMBLE_BYTES + MOST_EPILOGUE_BYTES
)
"""No form is larger than its file by more than this."""

HEAD_BYTES = 4096
"""First bytes of a file without a name that are collected to find out its format."""

NAMELESS = frozenset({"", "blob"})
"""Placeholder names: browsers call a Blob without a name `blob`."""

_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})
_FIELD_TYPES = ("text/", "application/json", "application/xml", "application/x-www-form-urlencoded")


@dataclass(frozen=True, slots=True)
class FileComponent:
    """The file as the form describes it; *head*: its first bytes, for a file with a placeholder name."""

    filename: str
    content_type: str | None
    head: bytes = b""


OpenFile = Callable[[FileComponent], Awaitable[BaseTarget]]


class FormReader:
    """Feed a form as it arrives; its file goes to the target that *open_file* returns.

    A field of *single_fields* may come once. A short text may stand before the first boundary, and after the last one.
    Raises Malformed, Invalid and BodyTooLarge, and whatever the target raises.
    """

    def __init__(self, boundary: str, open_file: OpenFile, *, single_fields: Collection[str] = ()) -> None:
        self.fields: dict[str, str] = {}
        self.file: FileComponent | None = None
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=MOST_HEADER_BYTES,
            max_header_count=MOST_HEADERS,
            max_segment_count=MOST_PARTS,
            # Keeps every byte of a file name, whatever its encoding.
            header_charset="latin-1",
            strict=True,
        )
        self._open_file = open_file
        self._single_fields = single_fields
        self._target: BaseTarget | None = None
        self._field: str | None = None
        self._charset = "utf-8"
        self._value = bytearray()
        self._field_bytes = 0
        self._nameless: FileComponent | None = None
        self._head = bytearray()
        self._boundary = b"--" + boundary.encode()
        self._ender = b"\r\n--" + boundary.encode() + b"--"
        self._beginning = b""
        self._begun = False
        self._carried = b""
        self._after: bytes | None = None

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._after is not None:
            self._check_epilogue(self._after + chunk)
            return
        if not self._begun:
            chunk = self._skip_preamble(chunk)
            if not chunk:
                return
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
        # The form can end only where a component ends. A search in every chunk of a file would read each byte again.
        if part_ended or not in_a_file:
            self._look_for_end(chunk)
        size = len(self._ender)
        self._carried = chunk[-size:] if len(chunk) >= size else (self._carried + chunk)[-size:]

    def close(self) -> None:
        """End the body; raise Malformed for an incomplete form or one without a file."""
        if self._after is None:
            raise Malformed("The form ends without its last boundary.")
        if self.file is None:
            raise Malformed("The form has no file in it.")

    def _skip_preamble(self, chunk: bytes) -> bytes:
        """Return the bytes from the first boundary on, or nothing while the boundary is incomplete.

        The boundary begins a line: within a line it is part of a text, as for every other reader.
        """
        head = self._beginning + chunk
        index = head.find(self._boundary, 0, MOST_PREAMBLE_BYTES + len(self._boundary))
        if index >= 0 and (index == 0 or head[index - 1 : index] == b"\n"):
            self._begun, self._beginning = True, b""
            return head[index:]
        if index >= 0 or len(head) >= MOST_PREAMBLE_BYTES + len(self._boundary):
            raise Malformed("The body does not begin with its boundary.")
        self._beginning = head
        return b""

    def _look_for_end(self, chunk: bytes) -> None:
        seen = self._carried + chunk
        index = seen.find(self._ender)
        if index >= 0:
            self._check_epilogue(seen[index + len(self._ender) :])

    def _check_epilogue(self, rest: bytes) -> None:
        """Accept a short text after the last boundary; refuse another boundary: a second reader might go on there."""
        if len(rest) > MOST_EPILOGUE_BYTES:
            raise Malformed(f"The form continues for more than {MOST_EPILOGUE_BYTES} bytes after its last boundary.")
        if self._boundary in rest:
            raise Malformed("The form continues after its last boundary.")
        self._after = rest

    async def _begin(self, segment: MultipartSegment) -> None:
        content_type = segment.header("Content-Type")
        _refuse_tricks(segment)
        disposition = disposition_of(segment.header("Content-Disposition") or "")
        if disposition.filename is None and _is_field(content_type):
            self._begin_field(disposition.name, charset_of(content_type))
            return
        component = FileComponent(disposition.filename or "", content_type)
        if component.filename in NAMELESS:
            # An unused file input of a page has no name and no bytes.
            self._nameless = component
            self._head.clear()
            return
        await self._begin_file(component)

    def _begin_field(self, name: str, charset: str) -> None:
        if len(name) > MAX_FIELD_NAME or "\x00" in name:
            raise Invalid(f"A field of the form has a name of more than {MAX_FIELD_NAME} characters, or with a NUL.")
        self._field, self._charset = name, charset
        self._value.clear()

    async def _begin_file(self, component: FileComponent) -> None:
        if self.file is not None:
            raise Malformed("The form has more than one file.")
        self.file = component
        self._target = await self._open_file(component)
        self._target.set_multipart_filename(component.filename)
        if component.content_type:
            self._target.set_multipart_content_type(component.content_type)
        await self._target.astart()

    async def _begin_nameless(self, component: FileComponent) -> None:
        head = bytes(self._head)
        self._nameless = None
        self._head.clear()
        await self._begin_file(FileComponent(component.filename, component.content_type, head))
        assert self._target is not None, "a file that was begun has a target"
        await self._target.adata_received(head)

    async def _data(self, piece: bytes) -> None:
        if self._target is not None:
            await self._target.adata_received(piece)
            return
        if self._nameless is not None:
            self._head += piece
            if len(self._head) >= HEAD_BYTES:
                await self._begin_nameless(self._nameless)
            return
        self._field_bytes += len(piece)
        if self._field_bytes > MOST_FIELD_BYTES:
            raise BodyTooLarge(f"The fields of the form have more than {MOST_FIELD_BYTES} bytes.")
        self._value += piece

    async def _end(self) -> None:
        if self._nameless is not None:
            if not self._head:
                self._nameless = None
                return
            await self._begin_nameless(self._nameless)
        if self._target is not None:
            target, self._target = self._target, None
            await target.afinish()
        elif self._field is not None:
            self._end_field(self._field)
            self._field = None

    def _end_field(self, name: str) -> None:
        value = decode(bytes(self._value), self._charset)
        if value is None:
            raise Malformed(f"The field {name!r} is not UTF-8, or not in the character set that it names.")
        if name in self.fields:
            if name in self._single_fields:
                raise Malformed(f"The form has the field {name!r} twice.")
            # Check boxes of one name: a list, as HTTP writes a header that is given twice.
            value = f"{self.fields[name]}, {value}"
        if len(value) > MAX_FIELD_VALUE or "\x00" in value:
            raise Invalid(f"The field {name!r} has more than {MAX_FIELD_VALUE} characters, or a NUL.")
        if name:
            self.fields[name] = value


def _is_field(content_type: str | None) -> bool:
    """Return whether a component without a file name is a field: .NET gives fields a text type, a Blob has its own."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return not media_type or media_type.startswith(_FIELD_TYPES) or media_type.endswith(("+json", "+xml"))


def _refuse_tricks(segment: MultipartSegment) -> None:
    """Refuse a component that two readers could read in two ways: a header given twice, an encoded body."""
    headers = Counter(name for name, _ in segment.headerlist)
    if max(headers.values()) > 1:
        raise Malformed("A component of the form has a header twice.")
    if (segment.header("Content-Transfer-Encoding") or "binary").strip().lower() not in _PLAIN_ENCODINGS:
        raise Malformed("A component of the form is encoded: send it unencoded.")
