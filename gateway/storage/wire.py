"""Read and write S3's XML, and translate its error codes.

Any program may answer at the store's address, so the parser trusts nothing: no document types and therefore no
entities, and bounded size, depth and element count.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from xml.parsers import expat
from xml.sax.saxutils import escape

from gateway.domain.parts import StoredPart
from gateway.storage.errors import (
    AccessDenied,
    BadDigest,
    EntityTooLarge,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from gateway.storage.models import CompletedPart

_MAX_DEPTH = 16
_MAX_ELEMENTS = 100_000  # 1,000 parts, both copies of each, with every checksum are 20,000

_BY_CODE: dict[str, type[StoreError]] = {
    "NoSuchUpload": NoSuchUpload,
    "NoSuchKey": NoSuchKey,
    "NoSuchVersion": NoSuchKey,
    "NoSuchBucket": NoSuchBucket,
    "InvalidPart": InvalidPart,
    "InvalidPartOrder": InvalidPartOrder,
    "EntityTooSmall": EntityTooSmall,
    "EntityTooLarge": EntityTooLarge,
    "PreconditionFailed": PreconditionFailed,
    "InvalidRange": InvalidRange,
    "AccessDenied": AccessDenied,
    "InvalidAccessKeyId": AccessDenied,
    "SignatureDoesNotMatch": AccessDenied,
    "ExpiredToken": AccessDenied,
    "InvalidToken": AccessDenied,
    "RequestTimeTooSkewed": AccessDenied,
    "XAdminUserNotFound": AccessDenied,  # versitygw's code for an unknown key
    "BadDigest": BadDigest,
    "InvalidDigest": BadDigest,
    "XAmzContentChecksumMismatch": BadDigest,
    "XAmzContentSHA256Mismatch": BadDigest,
}
# An answer without a body (every HEAD) has only a status. Its 404 proves nothing, see confirm_absent.py.
_BY_STATUS: dict[int, type[StoreError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NoSuchKey,
    412: PreconditionFailed,
    413: EntityTooLarge,
    416: InvalidRange,
}
_TRANSIENT_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_FULL_CODES = frozenset({"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"})

StoreFailure = StoreError | StoreUnavailable | StoreFull


class Malformed(ValueError):
    """The answer is not S3's XML."""


class Element:
    """Hold one XML element; names are without namespace."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Element] = []

    def get(self, name: str, default: str = "") -> str:
        """Return the text of the first child of that name."""
        return next((child.text for child in self.children if child.name == name), default)

    def all(self, name: str) -> Iterator[Element]:
        """Return every child of that name."""
        return (child for child in self.children if child.name == name)


NOTHING = Element("")


class _TreeBuilder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, _attributes: object) -> None:
        self._count += 1
        if self._count > _MAX_ELEMENTS or len(self._open) >= _MAX_DEPTH:
            raise Malformed("too many or too deep elements")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data


def _refuse_doctype(*_: object) -> None:
    raise Malformed("a document type is not allowed")


def parse_xml(data: bytes) -> Element:
    """Parse a bounded answer. Raises Malformed."""
    builder = _TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        # A slow CompleteMultipartUpload sends blanks first to keep the connection open. XML allows none there.
        parser.Parse(data.lstrip(), True)
    except expat.ExpatError as exc:
        raise Malformed(expat.errors.messages.get(exc.code, "not well formed")) from exc
    except (LookupError, UnicodeError) as exc:
        # The declaration names an encoding that Python does not know.
        raise Malformed("an unknown encoding") from exc
    assert builder.root is not None, "expat refuses a document without an element"
    return builder.root


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpack an answer that a proxy compressed although it must not. Raises Malformed above *limit* bytes."""
    unpacker = zlib.decompressobj(wbits=47)
    try:
        plain = unpacker.decompress(data, limit)
    except zlib.error as exc:
        raise Malformed("not a gzip stream") from exc
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise Malformed("a cut or oversized gzip stream")
    return plain


def failure(operation: str, status: int, data: bytes) -> StoreFailure:
    """Translate an error answer, the most specific code first.

    Only code and message are read: answers to SignatureDoesNotMatch repeat the string to sign.
    """
    s3_code = message = ""
    try:
        root = parse_xml(data) if data else NOTHING
        s3_code, message = root.get("Code"), root.get("Message")
    except Malformed as exc:
        message = f"unreadable error answer: {exc}"
    return failure_of(operation, status, s3_code, message)


def failure_of(operation: str, status: int, s3_code: str, message: str) -> StoreFailure:
    """Choose the error for an S3 code, or for the status if there is no code."""
    kind: type[StoreError | StoreUnavailable | StoreFull]
    if s3_code in _FULL_CODES or status == 507:
        kind = StoreFull
    elif s3_code in _BY_CODE:
        kind = _BY_CODE[s3_code]
    elif s3_code in _TRANSIENT_CODES or status == 429 or (status >= 500 and status != 501):
        kind = StoreUnavailable
    elif not s3_code and status == 404 and not operation.startswith("Head"):
        # A store names the missing thing. This answer is from a proxy, or from a store that is still starting.
        kind = StoreUnavailable
    elif not s3_code:
        kind = _BY_STATUS.get(status, StoreError)
    else:
        kind = StoreError
    return kind(operation=operation, s3_code=s3_code, message=message, status=status)


def read_answer(operation: str, status: int, data: bytes) -> Element:
    """Parse a 2xx answer. Raises the error of an <Error> body, which CompleteMultipartUpload may send after a 200."""
    try:
        root = parse_xml(data)
    except Malformed as exc:
        raise StoreUnavailable(operation=operation, status=status, message=str(exc)) from exc
    if root.name == "Error":
        raise failure(operation, status, data)
    return root


def stored_part(item: Element) -> StoredPart:
    """Read one part of a ListParts answer. Raises ValueError for an unreadable part."""
    modified = datetime.fromisoformat(item.get("LastModified"))
    return StoredPart(
        part_number=int(item.get("PartNumber")),
        size_bytes=int(item.get("Size")),
        etag=item.get("ETag").strip('"'),
        last_modified=modified if modified.tzinfo else modified.replace(tzinfo=UTC),
        checksum_sha256=item.get("ChecksumSHA256") or None,
    )


def complete_body(parts: Sequence[CompletedPart]) -> bytes:
    """Write the body of CompleteMultipartUpload."""
    return "".join(_complete_lines(parts)).encode()


def _complete_lines(parts: Iterable[CompletedPart]) -> Iterator[str]:
    yield '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    for part in parts:
        checksum = part.checksum_sha256
        yield f'<Part><PartNumber>{part.part_number}</PartNumber><ETag>"{escape(part.etag)}"</ETag>'
        yield f"<ChecksumSHA256>{escape(checksum)}</ChecksumSHA256></Part>" if checksum else "</Part>"
    yield "</CompleteMultipartUpload>"
