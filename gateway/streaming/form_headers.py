"""Read the headers of a multipart form as real clients write them.

RFC 7578 allows one spelling of a file name. Clients in use send five: UTF-8 bytes, WHATWG's `%22`, RFC 8187's
`filename*` (.NET), RFC 2047's encoded words (Spring, old .NET) and percent-encoding (aiohttp).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from urllib.parse import unquote_to_bytes

from gateway.domain.errors import Malformed

MAX_HEADER_CHARACTERS = 4096

_MEDIA_TYPE = re.compile(r"multipart/form-data[ \t]*(;.*)?", re.IGNORECASE)
# A quote inside of a quoted value ends it only before a `;` or the end: form-data (npm) escapes none.
_PARAMETER = re.compile(
    r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.|"(?![ \t]*(?:;|$)))*)"[ \t]*(?=;|$)|([^;"]*))'
)
_SEPARATOR = re.compile(r"[ \t]*(?:;[ \t]*)*")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_-]{1,40})(?:\*[A-Za-z-]{1,40})?\?([QqBb])\?([^?]{0,4096})\?=")
_PERCENT_ENCODED = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_EXTENDED = re.compile(r"([A-Za-z0-9_-]{1,40})'[^']{0,40}'(.*)")
_ESCAPED = re.compile(r'\\(["\\])')
_CHARSETS = frozenset(
    [
        "utf-8",
        "utf8",
        "us-ascii",
        "latin1",
        "latin-1",
        "cp1252",
        "sjis",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
        "euc-jp",
        "euc-kr",
        "iso-2022-jp",
        "shift_jis",
    ]
    + ["koi8-r", "koi8-u", "tis-620"]
    + [f"iso-8859-{number}" for number in range(1, 17) if number != 12]
    + [f"windows-125{number}" for number in range(9)]
)
"""Character sets of mail and browsers. Python has codecs that are no character sets, and slow ones.

ISO 8859-12 does not exist.
"""


@dataclass(frozen=True, slots=True)
class Disposition:
    """The name of a part and of its file; a filename of None says that the part is a field."""

    name: str
    filename: str | None


def boundary_of(content_type: str) -> str:
    """Return the boundary that a Content-Type header names.

    RFC 2046 allows 1 to 70 characters of a small set. The value may be unquoted with `=` or `:` in it, the parameter in
    any case, and a `;` at the end. Raises Malformed for none, two or one with other characters.
    """
    found = _MEDIA_TYPE.fullmatch(content_type[:1024].strip())
    if found is None:
        raise Malformed("The body must be multipart/form-data with a boundary.")
    parameters = _parameters(found[1] or "")
    boundaries = [value for name, value in parameters if name == "boundary"]
    if len(boundaries) != 1 or not _BOUNDARY.fullmatch(boundaries[0]):
        raise Malformed("The boundary is missing, given twice, longer than 70 characters or has other characters.")
    return boundaries[0]


def disposition_of(header: str) -> Disposition:
    """Read a Content-Disposition header whose bytes were decoded as Latin-1.

    `filename*` wins over `filename`. Raises Malformed for a parameter that is given twice: two readers could read it in
    two ways.
    """
    _, separator, rest = header[:MAX_HEADER_CHARACTERS].partition(";")
    parameters = _parameters(separator + rest)
    if max(Counter(name for name, _ in parameters).values(), default=0) > 1:
        raise Malformed("A component of the form has a parameter twice.")
    values = dict(parameters)
    filename = _extended(values["filename*"]) if "filename*" in values else None
    if filename is None and ("filename" in values or "filename*" in values):
        filename = _without_path(_plain(values.get("filename", "")))
    return Disposition(_plain(values.get("name", "")), filename)


def charset_of(content_type: str | None) -> str:
    """Return the character set that a field's Content-Type names, UTF-8 for none (RFC 7578, section 5.1.2).

    Apache HttpClient writes `text/plain; charset=ISO-8859-1` for every field.
    """
    _, separator, rest = (content_type or "")[:MAX_HEADER_CHARACTERS].partition(";")
    try:
        return dict(_parameters(separator + rest)).get("charset", "utf-8")
    except Malformed:
        return "utf-8"


def _parameters(text: str) -> list[tuple[str, str]]:
    """Return the parameters in `; name=value; …`, names in lower case; raise Malformed for any other text."""
    found, position = [], 0
    while (parameter := _PARAMETER.match(text, position)) is not None:
        quoted, token = parameter[2], parameter[3]
        value = token.strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        found.append((parameter[1].lower(), value))
        position = parameter.end()
    if not _SEPARATOR.fullmatch(text, position):
        raise Malformed("The parameters of a header cannot be read.")
    return found


def _text(latin: str) -> str:
    """Decode the bytes of a header as UTF-8, else as Windows-1252, which old Windows programs send."""
    raw = latin.encode("latin-1", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _plain(latin: str) -> str:
    """Decode a `name` or `filename` in any of the spellings that clients use."""
    text = _text(latin)
    if (words := _encoded_words(text)) is not None:
        return words
    if "%" in text and _PERCENT_ENCODED.fullmatch(text):
        try:
            return unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            return text
    # WHATWG: browsers escape these three and nothing else.
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _encoded_words(text: str) -> str | None:
    """Decode RFC 2047's `=?utf-8?B?…?=`, also several in one name; None for a text that has none or a broken one.

    Blanks between two encoded words do not count. A character may be split over two words of one character set.
    """
    runs: list[tuple[str, bytes]] = []
    position = 0
    for word in _ENCODED_WORD.finditer(text):
        between, content = text[position : word.start()], _content_of(word[2], word[3])
        if content is None:
            return None
        if between.strip() or not runs:
            runs.append(("utf-8", between.encode()))
        runs.append((word[1].lower(), content))
        position = word.end()
    if not runs:
        return None
    runs.append(("utf-8", text[position:].encode()))
    decoded = [decode(b"".join(raw for _, raw in run), charset) for charset, run in groupby(runs, itemgetter(0))]
    return None if None in decoded else "".join(piece or "" for piece in decoded)


def _content_of(encoding: str, text: str) -> bytes | None:
    """Return the bytes of an encoded word; None for a text that is not in its encoding."""
    if encoding in "qQ":
        raw = text.encode("ascii", "replace").replace(b" ", b"_")
        return binascii.a2b_qp(raw, header=True)
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except ValueError:
        return None


def decode(raw: bytes, charset: str) -> str | None:
    """Decode *raw* from a character set of mail or browsers; None where that fails."""
    try:
        return raw.decode(charset) if charset.lower() in _CHARSETS else None
    except UnicodeDecodeError:
        return None


def _extended(value: str) -> str | None:
    """Decode RFC 8187's `utf-8''na%C3%AFve.mp3`; return None for a value in another form.

    Some clients escape nothing: the bytes of the header count, not their Latin-1 reading.
    """
    found = _EXTENDED.fullmatch(value)
    decoded = decode(unquote_to_bytes(found[2].encode("latin-1", "replace")), found[1]) if found else None
    # The plain `filename` is better than an empty name.
    return _without_path(decoded) if decoded else None


def _without_path(filename: str) -> str:
    r"""Remove the folders of a Windows path, which old clients send: `C:\talks\talk.mp3`."""
    if filename[1:3] == ":\\" or filename[:2] == "\\\\":
        return filename.rpartition("\\")[2]
    return filename
