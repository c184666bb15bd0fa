"""Do one thing to many uploads, side by side; one that fails stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from gateway.domain.errors import GatewayError

logger = logging.getLogger(__name__)


async def for_each_upload(
    upload_ids: Sequence[UUID], step: Callable[[UUID], Awaitable[bool]], *, semaphore: asyncio.Semaphore, failing: str
) -> int:
    """Take *step* for every upload, as many as *semaphore* lets, and return for how many it said True.

    An upload that fails is logged as *failing* with its id.
    """

    async def take(upload_id: UUID) -> bool:
        async with semaphore:
            try:
                return await step(upload_id)
            except GatewayError as exc:
                logger.warning(failing, extra={"upload_id": str(upload_id), "code": exc.code})
            except Exception:
                # One row that nobody foresaw must not keep the worker from all others.
                logger.exception(failing, extra={"upload_id": str(upload_id)})
        return False

    return sum(await asyncio.gather(*[take(upload_id) for upload_id in upload_ids]))
