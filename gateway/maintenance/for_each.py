"""Run one step for many uploads at the same time; a failure stops no other upload."""

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
    """Run *step* for every upload, at most *semaphore* at once, and return the number of True results.

    An upload that fails is logged as *failing* with its id.
    """

    async def take(upload_id: UUID) -> bool:
        async with semaphore:
            try:
                return await step(upload_id)
            except GatewayError as exc:
                logger.warning(failing, extra={"upload_id": str(upload_id), "code": exc.code})
            except Exception:
                # An unexpected row must not keep the worker from the other rows.
                logger.exception(failing, extra={"upload_id": str(upload_id)})
        return False

    return sum(await asyncio.gather(*[take(upload_id) for upload_id in upload_ids]))
