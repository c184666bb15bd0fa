"""Name what a store can answer when it does not do what was asked.

StoreError                      the store answered, and the answer is no
├── NoSuchUpload, NoSuchKey, NoSuchBucket
├── InvalidPart, InvalidPartOrder, EntityTooSmall, EntityTooLarge
├── PreconditionFailed, InvalidRange
└── AccessDenied, BadDigest
StoreUnavailable, StoreFull     no usable answer after bounded tries: nothing is known about the outcome

No error carries a URL, a header or a body: presigned URLs and string-to-sign echoes must never reach a log.
"""

from __future__ import annotations

import re
from typing import ClassVar

from gateway.domain.errors import GatewayError, Unavailable

# Stores write these themselves; they are bounded and cleaned because they end in logs.
_MESSAGE_LIMIT = 300
_UNSAFE = re.compile(r"[^\x20-\x7e]+|https?://\S+")


def clean(text: str) -> str:
    """Bound a store's words and drop control characters and addresses from them."""
    return _UNSAFE.sub(" ", text[:_MESSAGE_LIMIT]).strip()


class _StoreAnswer(GatewayError):
    """The store did not do what was asked."""

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
        """Say what an operator needs; `detail` is what a client may see."""
        words = [self.operation, str(self.status or ""), self.s3_code, self.message or self.detail]
        return ": ".join(word for word in words if word)


class StoreError(_StoreAnswer):
    """The store refused the request."""

    code = "store_error"
    title = "Store error"


class NoSuchUpload(StoreError):
    """The store knows no such multipart upload: completed, aborted or never created."""


class NoSuchKey(StoreError):
    """There is no such object in the store."""


class NoSuchBucket(StoreError):
    """There is no such bucket in the store."""


class InvalidPart(StoreError):
    """A named part is not in the store, or its etag is another."""


class InvalidPartOrder(StoreError):
    """The parts were not named in ascending order."""


class EntityTooSmall(StoreError):
    """A part other than the last is smaller than 5 MiB."""


class EntityTooLarge(StoreError):
    """A part or an object is larger than the store takes."""


class PreconditionFailed(StoreError):
    """The object is not the one that was expected."""


class InvalidRange(StoreError):
    """The object has no bytes in the range that was asked for."""


class AccessDenied(StoreError):
    """The store does not accept the gateway's signature or its key's rights."""


class BadDigest(StoreError):
    """The bytes do not have the checksum they were announced with."""


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
