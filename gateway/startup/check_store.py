"""Probe the store when the API starts, and log the findings."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from gateway.domain.errors import GatewayError
from gateway.startup.probes import ProbeTargets, probe_store
from gateway.storage.store_checks import ProbeResult, StoreChecks

logger = logging.getLogger(__name__)

RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0)
"""Waits between tries while the store does not answer the gateway; the last one is repeated."""

EXPOSED = "THE STORE EXPOSES FILES"


async def check_store(targets: ProbeTargets, checks: StoreChecks) -> None:
    """Probe until the store answers; publish the results in *checks* and log them. Never raises."""
    tries = 0
    while True:
        try:
            async with aiohttp.ClientSession() as session:
                results = await probe_store(targets, session)
        except (GatewayError, TimeoutError) as exc:
            checks.release()
            if tries == 0:
                logger.warning("the store could not be probed; trying again", extra={"error": str(exc)})
        except Exception:
            # A background task of a process that serves: an odd store must not end it.
            logger.exception("the store could not be probed")
            checks.release()
            return
        else:
            checks.finish(results)
            report(results, refuses=checks.refuses_uploads)
            return
        await asyncio.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
        tries += 1


def report(results: tuple[ProbeResult, ...], *, refuses: bool) -> None:
    """Log one line for each result that is not `ok`: an error where files are exposed, else a warning."""
    for result in results:
        fields = {"probe": result.name, "status": result.status, "tried": result.tried}
        if result.exposes_files:
            consequence = "Uploads are refused." if refuses else "GATEWAY_UNSAFE_STORE=warn keeps uploads running."
            logger.error("%s: %s %s", EXPOSED, result.line(), consequence, extra=fields)
        elif result.status == "bad":
            logger.warning(result.line(), extra=fields)
        elif result.status == "unknown":
            logger.info(result.line(), extra=fields)
