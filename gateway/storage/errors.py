"""Define the errors of the store.

StoreError                      the store refused the request
├── NoSuchUpload, NoSuchKey, NoSuchBucket
├── InvalidPart, InvalidPartOrder, EntityTooSmall, EntityTooLarge
├── PreconditionFailed, InvalidRange
└── AccessDenied, BadDigest
StoreUnavailable, StoreFull     no usable answer after bounded tries; the outcome is unknown
StoreUnsafe                     the probes found exposed files

No error carries a URL, a header or a body, because presigned URLs and strings to sign must never reach a log.
"""

from __future__ import annotations

import re
from typing import ClassVar

from gateway.domain.errors import GatewayError, Unavailable

# A store writes the message. It is bounded and cleaned, because it is logged.
_MESSAGE_LIMIT = 300
_UNSAFE = re.compile(r"[^\x20-\x7e]+|https?://\S+")


def clean(text: str) -> str:
    """Shorten a message of the store and remove control characters and addresses."""
    return _UNSAFE.sub(" ", text[:_MESSAGE_LIMIT]).strip()


class _StoreAnswer(GatewayError):
    """Base of the errors that the store causes."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        operation: str = "",
        s3_code: str = "",
        message: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.operation = operation
        self.s3_code = clean(s3_code)
        self.message = clean(message)
        self.status = status

    def __str__(self) -> str:
        """Return the text for the operator; clients see `detail` only."""
        words = [self.operation, str(self.status or ""), self.s3_code, self.message or self.detail]
        return ": ".join(word for word in words if word)


class StoreError(_StoreAnswer):
    """The store refused the request."""

    code = "store_error"
    title = "Store error"


class NoSuchUpload(StoreError):
    """The store has no such multipart upload: it was completed, aborted or never created."""


class NoSuchKey(StoreError):
    """There is no such object in the store."""


class NoSuchBucket(StoreError):
    """There is no such bucket in the store."""


class InvalidPart(StoreError):
    """The store does not have a named part, or has it with another etag."""


class InvalidPartOrder(StoreError):
    """The parts were not named in ascending order."""


class EntityTooSmall(StoreError):
    """A part other than the last is smaller than 5 MiB."""


class EntityTooLarge(StoreError):
    """A part or an object is larger than the store accepts."""


class PreconditionFailed(StoreError):
    """The object has another etag than expected, or exists although it should not."""


class InvalidRange(StoreError):
    """The object has no bytes in the requested range."""


class AccessDenied(StoreError):
    """The store does not accept the gateway's signature or its key's rights."""


class BadDigest(StoreError):
    """The bytes do not match their announced checksum."""


class StoreUnavailable(_StoreAnswer, Unavailable):
    """The store does not answer; try again."""

    code: ClassVar[str] = "store_unavailable"
    title: ClassVar[str] = "Store unavailable"


class StoreUnsafe(Unavailable):
    """The store could expose files, so uploads are refused until its operator has mended it."""

    code: ClassVar[str] = "store_unsafe"
    title: ClassVar[str] = "Store not safe"


class StoreFull(_StoreAnswer, Unavailable):
    """The store has no space left."""

    code: ClassVar[str] = "store_full"
    title: ClassVar[str] = "Store full"
