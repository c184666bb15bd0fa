"""A gateway whose store and database are in memory, and a clock that only tests move."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from gateway.context import Gateway, Work
from gateway.domain.parts import PartBounds
from gateway.domain.policy import Policy
from gateway.domain.principal import Principal, TokenGrant
from gateway.domain.upload import Upload
from gateway.events.wakeups import Wakeups
from gateway.storage.presign import Presigner
from gateway.storage.sigv4 import Credentials
from gateway.uploads.create import NewUpload, create
from gateway.uploads.post_uploads import create_post_upload
from tests.unit.uploads.memory_store import MemoryStore
from tests.unit.uploads.memory_uploads import MemoryToken, MemoryUploads

ACME = Principal("acme", "key")
OTHER = Principal("other", "key")
PART_BYTES = 1000

POLICY = Policy(
    max_file_size=10_000,
    allowed_extensions=frozenset({"wav", "mp3"}),
    extension_mismatch="accept",
    part_bounds=PartBounds(PART_BYTES, PART_BYTES, 100),
    part_url_seconds=3600,
    download_url_seconds=300,
    upload_seconds=86_400,
    upload_max_seconds=7 * 86_400,
    complete_budget_seconds=5.0,
    lease_seconds=30.0,
    idempotency_seconds=86_400,
)


def wav(size_bytes: int = 2500) -> bytes:
    """Give a WAVE file of silence of exactly so many bytes (44 or more, even)."""
    data = size_bytes - 44
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", size_bytes - 8, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16,
                       b"data", data)  # fmt: skip
    return head + bytes(data)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@dataclass
class World:
    """Everything that a use case touches, in reach of a test."""

    gateway: Gateway
    store: MemoryStore
    uploads: MemoryUploads
    clock: Clock

    def row(self, upload_id: UUID) -> Upload:
        """Give the row of an upload."""
        return self.uploads.rows[upload_id]

    def with_policy(self, **changed: Any) -> Gateway:
        """Give the gateway with another policy."""
        return replace(self.gateway, policy=replace(self.gateway.policy, **changed))

    def bearer(self, **limits: Any) -> Principal:
        """Give the bearer of a new upload token of acme's."""
        identity = UUID(int=len(self.uploads.tokens) + 1)
        self.uploads.tokens[identity] = MemoryToken(**limits)
        return Principal("acme", "key", TokenGrant(identity, "media"))

    async def created(self, body: bytes, principal: Principal = ACME, **more: Any) -> Upload:
        """Create an upload for *body*."""
        return (await create(self.gateway, principal, NewUpload("a.wav", len(body), **more))).upload

    def put(self, upload: Upload, body: bytes, *, only: set[int] | None = None) -> list[str]:
        """Send the parts of *body* as a client does, and give their ETags."""
        assert upload.multipart_upload_id is not None
        parts = self.store.multiparts[upload.multipart_upload_id].parts
        for number, start in enumerate(range(0, len(body), PART_BYTES), 1):
            if only is None or number in only:
                parts[number] = body[start : start + PART_BYTES]
        from tests.unit.uploads.memory_store import etag_of

        return [etag_of(parts[number]) for number in sorted(parts)]

    async def sent(self, body: bytes, **more: Any) -> Upload:
        """Create an upload and send all of its parts."""
        upload = await self.created(body, **more)
        self.put(upload, body)
        return upload

    async def posted(self, body: bytes | None) -> Upload:
        """Create a POST upload, and send its form unless *body* is None."""
        upload, _ = await create_post_upload(self.gateway, ACME, NewUpload("a.wav", None, as_post_upload=True))
        if body is not None:
            assert upload.post_key is not None
            self.store.put(upload.post_key, body)
        return upload


@pytest.fixture
def world() -> World:
    """Give a gateway in memory."""
    clock, wakeups, store = Clock(), Wakeups("", ""), MemoryStore(min_part_size=0)
    uploads = MemoryUploads(clock, wakeups)
    signer = Presigner("http://store.test", "b", "us-east-1", Credentials("id", "secret"), "path", clock)
    unused: Any = None
    gateway = Gateway(
        policy=POLICY,
        bucket="b",
        key_prefix="uploads",
        database=unused,
        uploads=uploads,
        store=store,
        store_config=unused,
        find_multipart_uploads=store.find_multipart_uploads,
        presigner=signer,
        download_presigner=signer,
        queue=unused,
        wakeups=wakeups,
        feeds=unused,
        work=Work(),
        now=clock,
        receiving=unused,
    )
    return World(gateway, store, uploads, clock)
