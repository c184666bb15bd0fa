"""Forget old rows, so that the database does not grow without limit."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.context import Gateway
from gateway.database import deliveries, forgetting, idempotency, upload_tokens
from gateway.domain.errors import GatewayError
from gateway.webhooks.deliveries import KEEP_SECONDS as DELIVERY_SECONDS

logger = logging.getLogger(__name__)

KEYS_BATCH = 1000
"""Keys, or deliveries, that one statement deletes."""

TOKENS_BATCH = 100
"""Tokens that one statement reads; for each it also searches the uploads."""

UPLOADS_BATCH = 25
"""Uploads of one statement: each has up to 10,000 part checksums, and the statement timeout is 5 seconds."""

ROUNDS = 100
"""Statements of each kind in one sweep; the next sweep does the rest."""

TOKEN_SECONDS = 86_400.0
"""Time that a token is listed after its end, and time between two checks of a token with uploads, seconds."""


async def forget(gateway: Gateway) -> dict[str, int]:
    """Forget keys, tokens and rows past their time; return the counts. The next call repeats a kind that failed."""
    steps = {
        "forgotten_keys": _forget_keys,
        "forgotten_rows": _forget_working_rows,
        "forgotten_uploads": _forget_uploads,
        "forgotten_tokens": _forget_tokens,
        "forgotten_deliveries": _forget_deliveries,
    }
    counts = dict.fromkeys(steps, 0)
    for what, step in steps.items():
        try:
            counts[what] = await step(gateway)
        except GatewayError as exc:
            logger.warning("could not forget old rows", extra={"what": what, "code": exc.code})
    return counts


async def _forget_keys(gateway: Gateway) -> int:
    before = gateway.now() - timedelta(seconds=gateway.policy.idempotency_seconds)
    return await _in_batches(KEYS_BATCH, lambda: idempotency.forget(gateway.database, before=before, limit=KEYS_BATCH))


async def _forget_working_rows(gateway: Gateway) -> int:
    seconds = gateway.policy.lease_seconds
    return await _in_batches(
        UPLOADS_BATCH,
        lambda: forgetting.forget_working_rows(gateway.database, after_seconds=seconds, limit=UPLOADS_BATCH),
    )


async def _forget_uploads(gateway: Gateway) -> int:
    seconds = gateway.policy.keep_ended_seconds
    if seconds is None:
        return 0
    return await _in_batches(
        UPLOADS_BATCH,
        lambda: forgetting.forget_uploads(gateway.database, after_seconds=seconds, limit=UPLOADS_BATCH),
    )


async def _forget_tokens(gateway: Gateway) -> int:
    gone = 0

    async def forget_batch() -> int:
        nonlocal gone
        dropped, seen = await upload_tokens.forget_ended(
            gateway.database, after_seconds=TOKEN_SECONDS, limit=TOKENS_BATCH
        )
        gone += dropped
        return seen

    await _in_batches(TOKENS_BATCH, forget_batch)
    return gone


async def _forget_deliveries(gateway: Gateway) -> int:
    return await _in_batches(
        KEYS_BATCH,
        lambda: deliveries.forget_ended(gateway.database, after_seconds=DELIVERY_SECONDS, limit=KEYS_BATCH),
    )


async def _in_batches(size: int, step: Callable[[], Awaitable[int]]) -> int:
    """Repeat *step* until it finds less than *size* rows."""
    total = 0
    for _ in range(ROUNDS):
        found = await step()
        total += found
        if found < size:
            break
    return total
