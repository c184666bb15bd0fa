"""`gateway serve` starts, answers and ends whatever its database and its address are."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from gateway.dev.postgres import PostgresServer
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.link import Link
from tests.processes import Process


def environment(store: StoreServer, database_url: str, **more: str) -> dict[str, str]:
    """Return the environment of an API on this store."""
    return {
        "GATEWAY_PORT": str(free_ports(1)[0]),
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_S3_ENDPOINT": store.endpoint,
        "GATEWAY_S3_BUCKET": store.bucket,
        "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
        "GATEWAY_UNSAFE_STORE": "warn",
        **more,
    }


def answer_of(url: str, api: Process) -> httpx.Response:
    """Ask until the API listens; return its first answer."""
    with httpx.Client(timeout=20, trust_env=False) as client:
        for _ in range(600):
            try:
                return client.get(url)
            except httpx.TransportError:
                assert api.ended_early() is None, api.output
                time.sleep(0.1)
    raise AssertionError(f"no answer: {api.output}")


def ready(address: str, api: Process) -> None:
    """Return when the API is ready."""
    for _ in range(300):
        if answer_of(f"{address}/readyz", api).status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(answer_of(f"{address}/readyz", api).text)


def test_h23_the_api_starts_without_its_database(store_server: StoreServer, tmp_path: Path) -> None:
    """A database that is away does not keep the API from listening: it says why it is not ready, and stops."""
    url = f"postgresql://gateway:secret@127.0.0.1:{free_ports(1)[0]}/gateway"
    chosen = environment(store_server, url)
    address = f"http://127.0.0.1:{chosen['GATEWAY_PORT']}"
    with Process("serve", cwd=tmp_path, environment=chosen) as api:
        assert answer_of(f"{address}/healthz", api).status_code == 200
        readiness = answer_of(f"{address}/readyz", api)
        assert readiness.status_code == 503
        assert readiness.json()["checks"]["database"] == "the database refuses the connection: nothing listens there"
        assert "secret" not in readiness.text
        created = httpx.post(
            f"{address}/v1/uploads", headers={"Authorization": "Bearer a-key-of-somebody"}, json={}, timeout=20
        )
        assert created.status_code == 503
        api.send(signal.SIGTERM)
        began = time.monotonic()
        api.ended()
        # The bound is the case's own: an operator's restart must not wait for a database that is away.
        assert time.monotonic() - began < 5
        assert "secret" not in "\n".join(api.output)


def test_h23_the_api_becomes_ready_when_the_database_comes(
    store_server: StoreServer, postgres_server: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    """A database that starts after the API is found without a restart of the API."""
    port = free_ports(1)[0]
    url = database_url.replace(f":{postgres_server.port}/", f":{port}/")
    chosen = environment(store_server, url)
    address = f"http://127.0.0.1:{chosen['GATEWAY_PORT']}"
    with Process("serve", cwd=tmp_path, environment=chosen) as api:
        assert answer_of(f"{address}/readyz", api).status_code == 503
        link = Link(f"http://127.0.0.1:{postgres_server.port}", port=port)
        try:
            ready(address, api)
        finally:
            link.close()


@pytest.mark.parametrize(
    "url", ["mysql://gateway@127.0.0.1/gateway", "127.0.0.1:5432", "postgresql://gateway@127.0.0.1:port/gateway"]
)
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_h23_a_url_that_can_never_be_right_ends_at_once(command: str, url: str, tmp_path: Path) -> None:
    """A URL of no PostgreSQL is a mistake of the settings: one line, exit code 1."""
    with Process(command, cwd=tmp_path, environment={"GATEWAY_DATABASE_URL": url}) as process:
        assert process.ended() == 1
    assert len(process.output) == 1
    assert process.output[0].startswith("GATEWAY_DATABASE_URL: this is no PostgreSQL URL")


@pytest.mark.parametrize(
    ("host", "addresses"), [("::1", ["[::1]"]), ("[::1]", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"])]
)
def test_h15_the_api_listens_on_ipv6(
    host: str, addresses: list[str], store_server: StoreServer, database_url: str, tmp_path: Path
) -> None:
    """`::1` is the loopback of IPv6, and `::` takes connections of both kinds."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    chosen = environment(store_server, database_url, GATEWAY_HOST=host)
    with Process("serve", cwd=tmp_path, environment=chosen) as api:
        for address in addresses:
            found = answer_of(f"http://{address}:{chosen['GATEWAY_PORT']}/healthz", api)
            assert found.status_code == 200


def test_h25_a_taken_port_is_one_line(store_server: StoreServer, database_url: str, tmp_path: Path) -> None:
    """The line names the settings to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        chosen = environment(store_server, database_url, GATEWAY_PORT=port)
        with Process("serve", cwd=tmp_path, environment=chosen) as api:
            assert api.ended() == 1
    assert api.output == [f"Cannot listen on GATEWAY_HOST 127.0.0.1, GATEWAY_PORT {port}: Address already in use."]


def has_ipv6() -> bool:
    """Return whether an IPv6 socket can be bound on this machine."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
