"""Run the API: `gateway serve`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
from functools import partial

import typer
import uvicorn

from gateway import logs
from gateway.api.app import create_app
from gateway.bootstrap import database_of
from gateway.cli.connections import Connections, limits_within, raise_descriptor_limit
from gateway.cli.environment import fail, read_settings
from gateway.cli.http_protocol import GatewayProtocol
from gateway.cli.log_options import JsonLog, QuietLog
from gateway.cli.start_line import log_start
from gateway.database.connecting import OK, POOLER
from gateway.domain.addresses import is_own_host, network_of
from gateway.settings import Settings

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

GRACE_SECONDS = 25.0
"""Longest time from SIGTERM to the end of the process. Kubernetes and our compose file kill it after 30 s."""

STREAMS_SECONDS = 2.0
"""Time for open event streams to tell their watchers to connect to another process."""

BODIES_SECONDS = 8.0
"""Time for files that are being received. The rest of the grace is for cleaning up after those that are cut off."""

REQUESTS_SECONDS = 14
"""Time for requests that are being answered, after the event streams; then they are cancelled."""

UNREAD_MILLISECONDS = 60_000
"""Time the kernel keeps a connection whose other side takes nothing: no answer here is worth more than its memory."""

MAX_SOCKET_MESSAGE = 4096
"""Largest message a WebSocket may send us, bytes: none is expected."""


class StreamingServer(uvicorn.Server):
    """Keep garbage collections short, and close event streams first: they would delay the shutdown to its last second.

    With *end_after_seconds* the whole process ends that long after the shutdown began, whatever still runs in it. Only
    a server that is alone in its process may ask for it.
    """

    def __init__(self, config: uvicorn.Config, *, end_after_seconds: float | None = None) -> None:
        super().__init__(config)
        self._end_after_seconds = end_after_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        await super().startup(sockets)
        # Imported modules stay: without this each full collection walks them, and every request waits 0.1 s.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving, also while clients or threads hold connections."""
        if self._end_after_seconds is not None:
            last_resort = threading.Timer(self._end_after_seconds, end_process)
            last_resort.daemon = True
            last_resort.start()
        gateway = getattr(self.config.app.state, "gateway", None)  # type: ignore[union-attr]  # our own application
        if gateway is not None:
            gateway.receiving.active_bodies.begin_shutdown(BODIES_SECONDS)
            await gateway.feeds.close(STREAMS_SECONDS)
        await super().shutdown(sockets)


def end_process() -> None:
    """End the process at once; another process takes over running uploads when their leases run out."""
    logger.error("the process did not stop in time and is ended now", extra={"grace_seconds": GRACE_SECONDS})
    os._exit(1)


def connections_of(settings: Settings) -> Connections:
    """Build the limits of open connections from the settings and from the limit of open files."""
    pools = settings.database_pool_size + settings.s3_pool_size
    return Connections(
        limits_within(
            raise_descriptor_limit(),
            wanted=settings.max_connections,
            per_address=settings.max_connections_per_address,
            pools=pools,
            exempt=[network_of(text) for text in settings.trusted_proxies],
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to listen on; raise OSError.

    *host* is a name, an IPv4 or an IPv6 address, with or without brackets. `::` takes IPv4 connections too.
    """
    host = host.removeprefix("[").removesuffix("]")
    family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the address of the API: the host of the settings and the port that the system gave."""
    name = host.removeprefix("[").removesuffix("]")
    return f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"


def _require_usable_database(settings: Settings) -> None:
    """Exit when a pooler is not declared, which breaks later and silently; a database that is away may come back."""
    reason = asyncio.run(database_of(settings).diagnose())
    if reason == POOLER:
        fail(f"{reason}.")
    if reason != OK:
        typer.echo(f"Warning: {reason}. The API starts and answers 503 until the database is there.", err=True)


@app.command()
def serve(quiet: QuietLog = False, as_json: JsonLog = False) -> None:  # noqa: ARG001 - the log is JSON in any case
    """Run the API until SIGTERM or Ctrl-C; running requests are answered first."""
    settings = read_settings()
    logs.configure("warning" if quiet else settings.log_level)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as exc:
        # create_server adds the address to the text, which the sentence already has.
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror
        fail(f"Cannot listen on GATEWAY_HOST {settings.host}, GATEWAY_PORT {settings.port}: {reason}.")
    log_start("serve", settings, address=address_of(settings.host, listener))
    _require_usable_database(settings)
    if settings.public_url is None and not is_own_host(settings.host, ()):
        typer.echo("Warning: set GATEWAY_PUBLIC_URL, or upload tokens get no endpoint on other names.", err=True)
    config = uvicorn.Config(
        create_app(settings),
        http=partial(GatewayProtocol, connections=connections_of(settings)),  # type: ignore[arg-type]  # called as a class
        log_config=None,
        access_log=False,
        server_header=False,
        # GATEWAY_TRUSTED_PROXIES says whom to believe.
        proxy_headers=False,
        timeout_graceful_shutdown=REQUESTS_SECONDS,
        timeout_keep_alive=75,
        ws_ping_interval=settings.stream_heartbeat_seconds,
        ws_max_size=MAX_SOCKET_MESSAGE,
        # Messages are small; compression would cost each watcher 64 KB of memory.
        ws_per_message_deflate=False,
    )
    server = StreamingServer(config, end_after_seconds=GRACE_SECONDS)
    with listener:
        server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(1)
