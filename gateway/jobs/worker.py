"""Run the jobs: process uploads of dead processes, and sweep abandoned ones."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from uuid import UUID

from procrastinate import App, RetryStrategy
from procrastinate.exceptions import ConnectorException

from gateway.bootstrap import open_gateway
from gateway.context import Gateway
from gateway.database.notify import POST_UPLOADS_TOPIC
from gateway.database.schema import require_current
from gateway.database.workers import HEARTBEAT_SECONDS
from gateway.domain.errors import GatewayError, PartsMismatch
from gateway.events.wakeups import wait_for
from gateway.jobs.webhooks import send_webhooks_forever
from gateway.maintenance.measure import measure_open_uploads
from gateway.maintenance.post_uploads import complete_arrived_posts
from gateway.maintenance.recover import queue_dropped_uploads
from gateway.maintenance.sweep import sweep
from gateway.settings import Settings
from gateway.uploads.process import FORMER_PROCESS_TASK, PROCESS_TASK, resume

logger = logging.getLogger(__name__)

CONCURRENCY = 8
"""Jobs at once; each holds at most one database connection and a few store calls."""

PROCESS_ATTEMPTS = 8
"""Attempts of one job. Waits double from 2 s, so they cover an outage of eight minutes; later the sweep repeats it."""

TIDY_TASK = "tidy_queue"

TIDY_CRON = "*/10 * * * *"
"""A starting worker runs a missed period, so a dead worker's job waits at most ten minutes."""

KEEP_JOBS_HOURS = 7 * 24
"""Time that failed jobs are kept for inspection, hours."""

WORK_AGAIN_SECONDS = 2.0
"""Pause before the queue is used again after a lost database connection, seconds."""

RECOVER_SECONDS = 2.0
"""Time between two checks for uploads whose lease ran out: one query of an index that is empty while nothing fails."""

POST_CHECK_SECONDS = 1.0
"""Time between two checks for due POST uploads: one query of an index that is empty where nobody sends forms."""

POST_CHECK_PAUSE_SECONDS = 0.1
"""Least time between two checks, so that clients that ask often cost the store ten calls a second for each upload."""

MEASURE_SECONDS = 2.0
"""Time between two rounds of asking the store how much open uploads hold."""


def register(app: App, gateway: Gateway) -> None:
    """Register the functions of the queue's job names."""

    @app.task(
        name=PROCESS_TASK,
        aliases=[FORMER_PROCESS_TASK],
        retry=RetryStrategy(max_attempts=PROCESS_ATTEMPTS, exponential_wait=2),
    )
    async def process_upload(upload_id: str) -> None:
        # A replaced part reopened the upload. The client has to complete it again; the job did not fail.
        with suppress(PartsMismatch):
            await resume(gateway, UUID(upload_id))

    # A queueing lock and no lock: a lock held by a dead worker would stop all clean-ups.
    @app.periodic(cron=TIDY_CRON)
    @app.task(name=TIDY_TASK, queueing_lock=TIDY_TASK)
    async def tidy_queue(timestamp: int) -> None:  # noqa: ARG001 - procrastinate names the time it was due
        await gateway.queue.tidy(after_hours=KEEP_JOBS_HOURS)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Work until *stop* is set; running jobs get time to end, and interrupted jobs are repeated.

    Raises Unavailable when the database is away, or older than this release, at the start. Later it may go and come.
    """
    async with open_gateway(settings) as gateway:
        await require_current(gateway.database)
        app = gateway.queue.app
        register(app, gateway)
        async with app.open_async():
            loops = [
                asyncio.create_task(_work_forever(app, stop)),
                asyncio.create_task(_sweep_forever(gateway, settings.sweep_seconds)),
                asyncio.create_task(_recover_forever(gateway)),
                asyncio.create_task(_complete_posts_forever(gateway)),
                asyncio.create_task(_measure_forever(gateway)),
                asyncio.create_task(send_webhooks_forever(gateway)),
            ]
            stopped = asyncio.create_task(stop.wait())
            # A loop that ends by itself is a failure and must end the worker.
            await asyncio.wait({*loops, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            for task in (stopped, *loops):
                task.cancel()
            for result in await asyncio.gather(*loops, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result


async def _work_forever(app: App, stop: asyncio.Event) -> None:
    """Run the queue's worker and restart it when it ends: one lost connection ends it, even without an error."""
    while not stop.is_set():
        try:
            await app.run_worker_async(
                concurrency=CONCURRENCY,
                install_signal_handlers=False,
                delete_jobs="successful",
                fetch_job_polling_interval=2.0,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                shutdown_graceful_timeout=20.0,
            )
        except ConnectorException as exc:
            logger.warning("the queue is away; trying again", extra={"error": type(exc.__cause__).__name__})
        except Exception:
            # As below.
            logger.exception("the queue's worker failed; starting it again")
        else:
            logger.warning("the queue's worker ended; starting it again")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WORK_AGAIN_SECONDS)


async def _recover_forever(gateway: Gateway) -> None:
    """Queue uploads of dead processes soon after their lease ended."""
    while True:
        try:
            queued = await queue_dropped_uploads(gateway)
        except GatewayError as exc:
            logger.warning("could not look for uploads of dead processes; trying again", extra={"code": exc.code})
        except Exception:
            # As below.
            logger.exception("could not look for uploads of dead processes; trying again")
        else:
            if queued:
                logger.info("queued uploads of dead processes", extra={"uploads": queued})
        await asyncio.sleep(RECOVER_SECONDS)


async def _complete_posts_forever(gateway: Gateway) -> None:
    """Check due POST uploads every POST_CHECK_SECONDS, and requested ones as soon as a client asks about them."""
    with gateway.wakeups.collect(POST_UPLOADS_TOPIC) as requests:
        while True:
            requested = {UUID(text) for text in requests.pop_all()}
            try:
                await complete_arrived_posts(gateway, requested)
            except GatewayError as exc:
                logger.warning("could not check POST uploads; trying again", extra={"code": exc.code})
            except Exception:
                # When this loop ends, the worker ends with all its jobs.
                logger.exception("could not check POST uploads; trying again")
            await asyncio.sleep(POST_CHECK_PAUSE_SECONDS)
            await wait_for(requests.waker, POST_CHECK_SECONDS)


async def _measure_forever(gateway: Gateway) -> None:
    while True:
        try:
            await measure_open_uploads(gateway)
        except GatewayError as exc:
            logger.warning("could not measure open uploads; trying again", extra={"code": exc.code})
        except Exception:
            # This loop ends the worker when it ends, and every job with it.
            logger.exception("could not measure open uploads; trying again")
        await asyncio.sleep(MEASURE_SECONDS)


async def _sweep_forever(gateway: Gateway, every_seconds: float) -> None:
    while True:
        try:
            counts = await sweep(gateway)
        except GatewayError as exc:
            logger.warning("sweep failed; trying again", extra={"code": exc.code})
        except Exception:
            # As above.
            logger.exception("sweep failed; trying again")
        else:
            if any(counts.values()):
                logger.info("swept", extra={what: count for what, count in counts.items() if count})
        await asyncio.sleep(every_seconds)
