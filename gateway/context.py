"""Carry what the use cases work with; built by `gateway.bootstrap`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.auth.upload_tokens import TokenSigner
from gateway.database.engine import Database
from gateway.database.queue import JobQueue
from gateway.detection import Scanner, ScannerPolicy
from gateway.domain.policy import Policy
from gateway.domain.turns import Turns
from gateway.domain.upload import Upload
from gateway.domain.webhooks import RETRY_SECONDS
from gateway.events.feeds import Feeds
from gateway.events.wakeups import Wakeups
from gateway.outbound.public_http import WebhookSender
from gateway.outbound.webhook_signing import WebhookSecrets
from gateway.ports import UploadRepository
from gateway.storage.models import StoreConfig
from gateway.storage.presign import Presigner
from gateway.storage.s3 import S3Store
from gateway.storage.store_checks import StoreChecks
from gateway.streaming.limits import Receiving

logger = logging.getLogger(__name__)


class Work:
    """Hold the uploads that this process completes, so that a request that stops waiting cancels none of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Upload]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Upload]) -> asyncio.Task[Upload]:
        """Run *coroutine* to its end, also when no request waits for it any more."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace_seconds: float) -> None:
        """Wait for running uploads, then cancel them: their leases are released and another process completes them."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=grace_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Upload]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("finishing an upload stopped early", extra={"error": type(error).__name__})


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What webhooks are signed and sent with."""

    secrets: WebhookSecrets
    sender: WebhookSender
    private: bool = False
    """Receivers may be anywhere, also without TLS: for development."""
    retry_seconds: Sequence[float] = RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything a use case may touch; nothing in it is global."""

    policy: Policy
    bucket: str
    key_prefix: str
    database: Database
    uploads: UploadRepository
    store: S3Store
    store_config: StoreConfig
    find_multipart_uploads: Callable[[str], Awaitable[list[str]]]
    """Return the store's ids of the multipart uploads of one key: those whose answer to create was lost."""
    presigner: Presigner
    download_presigner: Presigner
    queue: JobQueue
    wakeups: Wakeups
    feeds: Feeds
    work: Work
    now: Callable[[], datetime]
    receiving: Receiving
    tokens: TokenSigner | None = None
    post_policy_seconds: int = 900
    scanner: Scanner | None = None
    scanner_policy: ScannerPolicy = "fail_closed"
    webhooks: Webhooks | None = None
    store_checks: StoreChecks = field(default_factory=StoreChecks)
    heavy: Turns = field(default_factory=lambda: Turns(1))
    """Turns at work that takes more than a few milliseconds of CPU: large bodies and hundreds of signatures."""
