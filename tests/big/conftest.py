"""A store of its own for big files, in a folder that is gone afterwards: pytest would keep three of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.dev import minio, seaweedfs
from gateway.dev.processes import StackError
from gateway.dev.store import StoreServer
from tests.big.movie import make_movie
from tests.conftest import boto3_client, missing
from tests.e2e.stack import Stack, running_gateway

BIG_SIZE = int(os.environ.get("BIG_SIZE") or 5 * 1024**3)


@pytest.fixture(scope="module")
def big_folder() -> Iterator[Path]:
    """Make a folder on a disk with room for the file and what the store makes of it."""
    with TemporaryDirectory(prefix="big-") as folder:
        free = shutil.disk_usage(folder).free
        if free < 2 * BIG_SIZE:
            missing(f"{2 * BIG_SIZE} bytes of disk are needed in the temporary folder, {free} are free")
        yield Path(folder)


@pytest.fixture(scope="module")
def store_server(big_folder: Path) -> Iterator[StoreServer]:
    """Run the store that TEST_STORE names."""
    name = os.environ.get("TEST_STORE", "seaweedfs")
    start = {"seaweedfs": seaweedfs.start, "minio": minio.start}[name]
    try:
        server = start(big_folder / name)
    except StackError as error:
        missing(str(error))
    boto3_client(server).create_bucket(Bucket=server.bucket)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stack(make_database: Callable[[], str], store_server: StoreServer, big_folder: Path) -> Iterator[Stack]:
    """Run a gateway that takes files up to BIG_SIZE and not a byte more."""
    with running_gateway(make_database(), store_server, big_folder, {"MAX_FILE_SIZE": str(BIG_SIZE)}) as running:
        yield running


@pytest.fixture(scope="module")
def small_stack(make_database: Callable[[], str], store_server: StoreServer, big_folder: Path) -> Iterator[Stack]:
    """Run a gateway that takes files up to 32 MiB: how it answers lies does not depend on the size."""
    settings = {"MAX_FILE_SIZE": str(32 * 1024**2)}
    with running_gateway(make_database(), store_server, big_folder, settings) as running:
        yield running


@pytest.fixture(scope="module")
def movie(big_folder: Path) -> Path:
    """Make a valid movie of BIG_SIZE bytes."""
    return make_movie(big_folder / "movie.mov", BIG_SIZE)
