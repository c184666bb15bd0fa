"""Run the whole gateway with an embedded PostgreSQL and store, API and worker, as child processes."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.beside import announced
from gateway.dev.choices import Choices
from gateway.dev.prepare import ensure_database, prepare_database, prepare_store
from gateway.dev.processes import Child, StackError
from gateway.dev.store import StoreServer
from gateway.dev.store_findings import store_findings
from gateway.settings import Settings

START_SECONDS = 60.0
POLL_SECONDS = 0.2

Report = Callable[[str], None]


@dataclass(frozen=True)
class RunningStack:
    """A started stack."""

    choices: Choices
    children: tuple[Child, ...]

    def watch(self) -> None:
        """Wait until a child process ends.

        Raises:
            StackError: A child process ended by itself.
        """
        while True:
            for child in self.children:
                code = child.exit_code()
                if code is not None:
                    raise StackError(f"{child.name} ended with code {code}: {child.last_line()} (log: {child.log})")
            time.sleep(POLL_SECONDS)


@contextmanager
def running(choices: Choices, report: Report) -> Iterator[RunningStack]:
    """Start every component in order, yield the running stack, and stop the components in reverse order.

    Raises:
        StackError: A component does not start. The components before it are stopped.
    """
    overrides = _api_settings(choices)
    admin_settings: dict[str, str] = {}
    children: list[Child] = []
    with ExitStack() as parts:
        if not choices.own_database:
            server = postgres.start(choices.data_dir / "postgres", report=report)
            parts.callback(server.stop)
            children.append(server.child)
            ensure_database(server)
            overrides["database_url"] = server.url()
            report(f"PostgreSQL  127.0.0.1:{server.port}")
        if choices.store is not None:
            store = _start_store(choices)
            parts.callback(store.stop)
            children.append(store.child)
            overrides |= store.settings()
            admin_settings = store.admin_settings()
            report(f"{store.child.name:<10}  {store.endpoint}")
        # The children read the same settings, except the root key of the store, which no gateway process needs.
        settings = Settings(**overrides, **admin_settings)  # type: ignore[arg-type] # pydantic parses these texts
        prepare_database(settings, choices.key)
        for warning in asyncio.run(prepare_store(settings, embedded=choices.store is not None)).warnings:
            report(warning)
        worker, api = (_child(choices, name, overrides) for name in ("worker", "serve"))
        for child in (worker, api):
            parts.callback(child.stop)
            children.append(child)
        worker.start()
        api.start_until(lambda: _ready(choices), START_SECONDS)
        for line in store_findings(choices.address, choices.key):
            report(line)
        parts.enter_context(announced(choices.data_dir, overrides))
        yield RunningStack(choices, tuple(children))


def _api_settings(choices: Choices) -> dict[str, str]:
    """Return the settings that the choices decide, as texts for the environment of the children."""
    return {
        "host": choices.host,
        "port": str(choices.port),
        "allowed_origins": ",".join(choices.allowed_origins),
        "token_secret": choices.token_secret,
        "webhook_secret": choices.webhook_secret,
        # Webhook receivers of a developer run on this machine.
        "webhook_private_hosts": "true",
        "upload_page": "open",
        "dev_key": choices.key,
    }


def _start_store(choices: Choices) -> StoreServer:
    if choices.store == "minio":
        return minio.start(choices.data_dir / "minio", allowed_origins=choices.allowed_origins)
    return seaweedfs.start(choices.data_dir / "seaweedfs")


def _child(choices: Choices, command: str, overrides: Mapping[str, str]) -> Child:
    """Describe one process of the gateway. Its environment is the user's, with our overrides."""
    environment = {f"GATEWAY_{name.upper()}": value for name, value in overrides.items()}
    return Child(
        name=f"gateway {command}",
        command=[sys.executable, "-m", "gateway", command],
        log=choices.data_dir / "logs" / f"{command}.log",
        environment={**_inherited(), **environment, "PYTHONUNBUFFERED": "1"},
        stop_signals=((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)),
    )


def _inherited() -> dict[str, str]:
    """Return the user's environment without the store's administration key, which only this process needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_S3_ADMIN_")}


def _ready(choices: Choices) -> bool:
    connection = http.client.HTTPConnection(urlsplit(choices.address).netloc, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
