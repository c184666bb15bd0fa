"""Watch one upload with a function, as the first release had it; `Client.watch` does the same."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from gateway.client.event_stream import Event
from gateway.client.flow import Retry
from gateway.client.sync.client import Client

__all__ = ["Event", "watch"]


def watch(
    url: str, key: str, upload_id: str, *, retry: Retry | None = None, ssl_context: ssl.SSLContext | None = None
) -> Iterator[Event]:
    """Yield every event of an upload from its creation to its final state, each once, with progress between them.

    Raises GatewayProblem (of it UploadNotFound and NotAuthorised), Unreachable after every retry, and NotConfigured for
    an unusable address.
    """
    with Client(url, key, retry=retry, ssl_context=ssl_context) as client:
        yield from client.watch(upload_id)
