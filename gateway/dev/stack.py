"""Run the whole gateway with an embedded PostgreSQL and store, API and worker, as child processes."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.beside import announced
from gateway.dev.choices import Choices
from gateway.dev.default_key import keys_of_own_store
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
                if child.exit_code() is not None:
                    raise child.ended()
            time.sleep(POLL_SECONDS)


@contextmanager
def running(choices: Choices, report: Report) -> Iterator[RunningStack]:
    """Start every component in order, yield the running stack, and stop the components in reverse order.

    Raises:
        StackError: A component does not start. The components before it are stopped.
    """
    overrides = _api_settings(choices)
    children: list[Child] = []
    with ExitStack() as parts:
        # Database and store start side by side: each takes one to two seconds.
        store = _launch_store(choices)
        if store is not None:
            parts.callback(store.stop)
        if not choices.own_database:
            server = postgres.start(choices.data_dir / "postgres", report=report)
            parts.callback(server.stop)
            children.append(server.child)
            overrides["database_url"] = server.url()
            _or_the_reason(children, lambda: ensure_database(server))
        admin_settings: dict[str, str] = {}
        if store is not None:
            store.wait()
            children.append(store.child)
            overrides |= store.settings()
            admin_settings = store.admin_settings()
        _or_the_reason(children, lambda: _prepare(choices, overrides, admin_settings, report))
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


def _or_the_reason(children: Sequence[Child], step: Callable[[], None]) -> None:
    """Run *step*. Where it fails because a child process ended, the reason of that process is the one to show."""
    try:
        step()
    except StackError as error:
        for child in children:
            if child.exit_code() is not None:
                raise child.ended() from error
        raise


def _prepare(choices: Choices, overrides: dict[str, str], admin_settings: Mapping[str, str], report: Report) -> None:
    """Make database and store ready, and report them with their versions. Adds the keys that it finds to *overrides*.

    The children read *overrides*, without the root key of the store in *admin_settings*: no gateway process needs it.
    """
    settings = Settings(**overrides)  # type: ignore[arg-type] # pydantic parses these texts
    if choices.store is None and (found := keys_of_own_store(settings, choices.data_dir)):
        admin_settings = {name: value for name, value in found.items() if name.startswith("s3_admin_")}
        overrides |= {name: value for name, value in found.items() if name not in admin_settings}
        report(f"This MinIO has its default key, so three keys of the gateway are made in it: {settings.s3_endpoint}")
    settings = Settings(**overrides, **admin_settings)  # type: ignore[arg-type] # as above
    version = prepare_database(settings, choices.key)
    where = "GATEWAY_DATABASE_URL" if choices.own_database else urlsplit(overrides["database_url"]).netloc.split("@")[1]
    report(f"PostgreSQL {version}  {where}")
    prepared = asyncio.run(prepare_store(settings, embedded=choices.store is not None))
    report(f"{_store_name(choices)}  {settings.s3_endpoint}")
    for warning in (*prepared.warnings, *(prepared.done if choices.store is None else ())):
        report(warning)


def _store_name(choices: Choices) -> str:
    if choices.store == "minio":
        return f"MinIO{minio.version()}"
    if choices.store == "seaweedfs":
        return f"SeaweedFS{seaweedfs.version()}"
    return "Your store"


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


def _launch_store(choices: Choices) -> StoreServer | None:
    if choices.store == "minio":
        return minio.launch(choices.data_dir / "minio", allowed_origins=choices.allowed_origins)
    if choices.store == "seaweedfs":
        return seaweedfs.launch(choices.data_dir / "seaweedfs")
    return None


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
