"""Real parts for every test: PostgreSQL and an S3-compatible store on 127.0.0.1, started once per test process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import boto3
import psycopg
import pytest
from botocore.config import Config
from psycopg import sql

from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.postgres import PostgresServer
from gateway.dev.processes import StackError
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage.sigv4 import Credentials

IN_CI = os.environ.get("CI") == "true"
LOOPBACK = ("127.", "::1", "localhost")
SEED_SETTINGS = ("MAX_FILE_SIZE", "CHUNK_SIZE", "ALLOWED_UPLOAD_EXTENSIONS", "UPLOAD_DIR")
TEMPLATE = "template_migrated"
TEST_ORIGIN = "http://127.0.0.1"


def _stay_at_home(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    connecting, address = arguments
    if connecting.family not in (socket.AF_INET, socket.AF_INET6) or connecting.type != socket.SOCK_STREAM:
        return
    if not str(address[0]).startswith(LOOPBACK):
        raise RuntimeError(f"A test tried to connect to {address[0]}; tests talk to this machine only.")


def pytest_configure(config: pytest.Config) -> None:
    """Shut out the network, the settings and the shell of whoever runs the tests."""
    sys.addaudithook(_stay_at_home)
    # A shell has its background jobs ignore Ctrl-C, and every process they start inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [*os.environ]:
        if name.startswith(("GATEWAY_", "AWS_")) or name in SEED_SETTINGS:
            del os.environ[name]


def missing(reason: str) -> NoReturn:
    """Skip where a part cannot run here; fail in CI, where a skipped test would look like a passed one."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Run PostgreSQL for this test process."""
    try:
        server = postgres.start(tmp_path_factory.mktemp("postgres"), durable=False, max_connections=300)
    except StackError as error:
        missing(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Migrate one database that each test's own is a copy of: a copy takes 30 ms, a migration more."""
    from gateway.database import migrate

    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate.upgrade(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def make_database(postgres_server: PostgresServer, migrated_template: str) -> Callable[[], str]:
    """Give a function that makes a fresh migrated database and returns its URL."""

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(migrated_template)))
        return postgres_server.url(name)

    return make


@pytest.fixture
def database_url(postgres_server: PostgresServer, make_database: Callable[[], str]) -> Iterator[str]:
    """Give the URL of a fresh migrated database of this test."""
    url = make_database()
    yield url
    drop_database(postgres_server, url)


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a fresh database without any table."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_server.url(name)
    drop_database(postgres_server, postgres_server.url(name))


def drop_database(server: PostgresServer, url: str) -> None:
    """Drop the database of *url*, cutting off whoever is still connected."""
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """Run the store that TEST_STORE names (seaweedfs or minio) with its bucket made."""
    name = os.environ.get("TEST_STORE", "seaweedfs")
    folder: Path = tmp_path_factory.mktemp(name)
    try:
        if name == "minio":
            server = minio.start(folder, allowed_origins=[TEST_ORIGIN])
        elif name == "seaweedfs":
            server = seaweedfs.start(folder)
        else:
            pytest.fail(f"TEST_STORE is seaweedfs or minio, not {name}")
    except StackError as error:
        missing(str(error))
    boto3_client(server).create_bucket(Bucket=server.bucket)
    yield server
    server.stop()


def boto3_client(server: StoreServer, key: Credentials | None = None) -> Any:
    """Give a boto3 client of *server*, a second opinion on our own calls, with the root key unless *key* is given."""
    key = key or server.credentials
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=server.region,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
    )


@pytest.fixture(scope="session")
def boto3_s3(store_server: StoreServer) -> Iterator[Any]:
    """Give a boto3 client of the test store."""
    client = boto3_client(store_server)
    yield client
    client.close()


def store_settings(server: StoreServer) -> dict[str, Any]:
    """Give the settings that point the gateway at *server*."""
    return {
        "s3_endpoint": server.endpoint,
        "s3_region": server.region,
        "s3_bucket": server.bucket,
        "s3_access_key_id": server.access_key_id,
        "s3_secret_access_key": server.secret_access_key,
    }


@pytest.fixture
def settings(database_url: str, store_server: StoreServer, tmp_path: Path) -> Settings:
    """Give settings for this test's database and the test store; `model_copy(update=…)` changes one."""
    return Settings(
        _env_file=None,
        database_url=database_url,
        data_dir=tmp_path / "data",
        upload_dir=tmp_path,
        **store_settings(store_server),
    )
