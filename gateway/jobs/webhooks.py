"""Send webhooks while the worker runs: when a notification arrives, and at regular intervals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.context import Gateway
from gateway.database.deliveries import Claimed
from gateway.database.notify import WEBHOOKS_TOPIC
from gateway.domain.errors import GatewayError
from gateway.events.wakeups import wait_for
from gateway.webhooks.deliver import MAX_CONCURRENT, claim_due, send_claimed

logger = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""Seconds between two checks without a notification: for retries and for lost notifications."""

MIN_PAUSE_SECONDS = 0.01
"""Shortest pause between two checks, so that a thousand messages that end one by one do not cause a thousand."""


GRACE_SECONDS = 5.0
"""Seconds for running attempts when the worker stops. An attempt that is cut off is repeated a minute later."""


async def send_webhooks_forever(gateway: Gateway, check_seconds: float = CHECK_SECONDS) -> None:
    """Send up to MAX_CONCURRENT messages at once. When cancelled, running attempts get GRACE_SECONDS to end."""
    if gateway.webhooks is None:
        await asyncio.Event().wait()  # when this loop ends, the worker ends
    running: set[asyncio.Task[None]] = set()
    try:
        with gateway.wakeups.subscribe(WEBHOOKS_TOPIC) as woken:

            def ended(task: asyncio.Task[None]) -> None:
                running.discard(task)
                woken.set()

            while True:
                woken.clear()
                for delivery in await _claim(gateway, MAX_CONCURRENT - len(running)):
                    task = asyncio.create_task(_send(gateway, delivery))
                    running.add(task)
                    task.add_done_callback(ended)
                await asyncio.sleep(MIN_PAUSE_SECONDS)
                await wait_for(woken, check_seconds)
    finally:
        if running:
            _, late = await asyncio.wait(set(running), timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _claim(gateway: Gateway, places: int) -> Sequence[Claimed]:
    if places <= 0:
        return ()
    try:
        return await claim_due(gateway, limit=places)
    except GatewayError as exc:
        logger.warning("could not claim webhook messages; trying again", extra={"code": exc.code})
    except Exception:
        # When this loop ends, the worker ends with all its jobs.
        logger.exception("could not claim webhook messages; trying again")
    return ()


async def _send(gateway: Gateway, delivery: Claimed) -> None:
    about = {"webhook_id": str(delivery.webhook_id), "delivery_id": str(delivery.id)}
    try:
        outcome = await send_claimed(gateway, delivery)
    except GatewayError as exc:
        # The claim ends after its time, and the message is sent again with the same id.
        logger.warning("could not record a webhook delivery", extra={**about, "code": exc.code})
    except Exception:
        logger.exception("could not send a webhook", extra=about)
    else:
        if outcome is not None and not outcome.ok:
            # Never log the address: it may contain a secret of the receiver.
            logger.info("webhook failed", extra={**about, "status": outcome.status, "error": outcome.error})
