"""Requests generated from the API's own description, well-formed and not, against a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.openapi_document import document
from tests.processes import Process

ENDLESS = ("/events", "/ws")
"""Routes that answer for as long as someone listens have tests of their own."""


@pytest.fixture
def server(database_url: str, store_server: StoreServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run the API and give its address and a key."""
    environment = {
        "GATEWAY_PORT": str(free_ports(1)[0]),
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_S3_ENDPOINT": store_server.endpoint,
        "GATEWAY_S3_BUCKET": store_server.bucket,
        "GATEWAY_S3_ACCESS_KEY_ID": store_server.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store_server.secret_access_key,
        "GATEWAY_UNSAFE_STORE": "warn",
        "GATEWAY_TOKEN_SECRET": "t" * 32,
        "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    }
    with Process("keys", "create", "acme", cwd=tmp_path, environment=environment) as made:
        assert made.ended() == 0, made.output
    address = f"http://127.0.0.1:{environment['GATEWAY_PORT']}"
    with Process("serve", cwd=tmp_path, environment=environment) as process:
        for _ in range(600):
            try:
                if httpx.get(f"{address}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise AssertionError(process.output)
        yield address, made.output[-1]


def test_g1_no_generated_request_is_a_server_error(server: tuple[str, str]) -> None:
    """Whatever the description allows or forbids, no answer is a 500 and every error is a problem."""
    address, key = server
    schema = schemathesis.openapi.from_dict(document())
    seen: set[int] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(ENDLESS):
            continue
        modes = [
            operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        ]

        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(case=st.one_of(modes))
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=30)
            seen.add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code in (502, 503), (case, answer.text)
            if answer.status_code >= 400 and "/v1/" in case.path:
                assert answer.headers["content-type"] == ["application/problem+json"], (case, answer.text)

        ask()
    assert {200, 404, 422} <= seen
