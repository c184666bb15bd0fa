"""Watch one upload with a function, as the first release had it; `Client.watch` does the same."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator

from gateway.client.event_stream import Event
from gateway.client.flow import Retry
from gateway.client.sync.driver import Driver
from gateway.client.sync.events import follow, upload_path

__all__ = ["Event", "watch"]


def watch(
    url: str,
    key: str,
    upload_id: str,
    *,
    retry: Retry | None = None,
    ssl_context: ssl.SSLContext | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yield every event of an upload from its creation to its final state, each once, with progress between them.

    *pause* is called to wait, with seconds. Raises GatewayProblem (of it UploadNotFound and NotAuthorised), Unreachable
    after every retry, and NotConfigured for an unusable address.
    """
    driver = Driver(url, key, retry=retry, ssl_context=ssl_context)
    driver.sleep = pause
    with contextlib.closing(driver):
        yield from follow(driver, upload_path(upload_id), last_event_id=None, until_final=True)
