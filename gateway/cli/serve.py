"""Run the API: `gateway serve`."""

from __future__ import annotations

import socket

import typer
import uvicorn

from gateway import logs
from gateway.api.app import create_app
from gateway.cli.environment import fail, read_settings

app = typer.Typer(add_completion=False)

GRACE_SECONDS = 30
"""Time for requests in hand after SIGTERM; Kubernetes gives 30 s before it kills."""


@app.command()
def serve() -> None:
    """Run the API until SIGTERM or Ctrl-C; requests in hand are answered first."""
    settings = read_settings()
    logs.configure(settings.log_level)
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=2048)
    except OSError as exc:
        fail(f"Cannot listen on {settings.host} port {settings.port}: {exc.strerror}.")
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    with listener:
        server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(1)
