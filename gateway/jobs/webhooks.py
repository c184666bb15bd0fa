"""Send webhooks for as long as the worker runs: woken when something is owed, and looking by itself now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.context import Gateway
from gateway.database.deliveries import Claimed
from gateway.database.notify import WEBHOOKS_TOPIC
from gateway.domain.errors import GatewayError
from gateway.events.wakeups import wait_for
from gateway.webhooks.deliver import AT_ONCE, claim_due, send_claimed

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Time between two looks where nothing wakes: for what is tried again, and for notices that were lost."""

CALM_SECONDS = 0.01
"""Least time between two looks, so that a thousand messages that end one by one do not ask a thousand times."""


GRACE_SECONDS = 5.0
"""Time for what is on its way when the worker stops: what is cut off is sent again, a minute later."""


async def send_webhooks_forever(gateway: Gateway, look_seconds: float = LOOK_SECONDS) -> None:
    """Keep up to AT_ONCE messages on their way; when cancelled, those get a moment, and what is late is let go."""
    if gateway.webhooks is None:
        await asyncio.Event().wait()  # this loop's end would be the worker's
    running: set[asyncio.Task[None]] = set()
    try:
        with gateway.wakeups.subscribe(WEBHOOKS_TOPIC) as woken:

            def ended(task: asyncio.Task[None]) -> None:
                running.discard(task)
                woken.set()

            while True:
                woken.clear()
                for delivery in await _claim(gateway, AT_ONCE - len(running)):
                    task = asyncio.create_task(_send(gateway, delivery))
                    running.add(task)
                    task.add_done_callback(ended)
                await asyncio.sleep(CALM_SECONDS)
                await wait_for(woken, look_seconds)
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
        logger.warning("could not look for webhooks to send; trying again", extra={"code": exc.code})
    except Exception:
        # This loop ends the worker when it ends, and every job with it.
        logger.exception("could not look for webhooks to send; trying again")
    return ()


async def _send(gateway: Gateway, delivery: Claimed) -> None:
    about = {"webhook_id": str(delivery.webhook_id), "delivery_id": str(delivery.id)}
    try:
        outcome = await send_claimed(gateway, delivery)
    except GatewayError as exc:
        # Its claim ends by itself, and it is sent again under the same id.
        logger.warning("could not record a webhook", extra={**about, "code": exc.code})
    except Exception:
        logger.exception("could not send a webhook", extra=about)
    else:
        if outcome is not None and not outcome.ok:
            # Never the address: it may carry a secret of the receiver's.
            logger.info("webhook failed", extra={**about, "status": outcome.status, "error": outcome.error})
