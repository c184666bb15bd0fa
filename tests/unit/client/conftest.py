"""Fixtures of the client's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.client import Client, Retry
from tests.unit.client.standin import KEY, StandIn

HASTY = Retry(attempts=4, base_seconds=0.01, cap_seconds=0.05, retry_after_cap_seconds=0.1)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """Run a gateway and store that fail on demand."""
    server = StandIn().start()
    yield server
    server.stop()


@pytest.fixture
def client(standin: StandIn, tmp_path: Path) -> Iterator[Client]:
    """Give a client with little patience."""
    with Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        yield client


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Make a file of five parts, the last one short."""
    file = tmp_path / "talk.mp4"
    file.write_bytes(os.urandom(4 * 64 * 1024 + 999))
    return file
