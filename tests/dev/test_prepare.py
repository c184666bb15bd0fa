"""Database, key and bucket are made ready, again and again, and failures are one line."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import psycopg
import pytest
from typer.testing import CliRunner

from gateway.bootstrap import store_config_of
from gateway.cli.store import app as store_app
from gateway.database import migrate
from gateway.dev.postgres import PostgresServer
from gateway.dev.prepare import DEV_TENANT, PreparedStore, ensure_database, prepare_database, prepare_store
from gateway.dev.processes import StackError, free_ports
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage import admin
from tests.conftest import TEST_ORIGIN

KEY = "gw_0123456789_" + "s" * 43
OTHER_SECRET = "gw_0123456789_" + "t" * 43


def _changed(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


def test_database_is_made_once(postgres_server: PostgresServer) -> None:
    """An embedded server gets its database on the first start and keeps it on the next."""
    ensure_database(postgres_server)
    ensure_database(postgres_server)
    with psycopg.connect(postgres_server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_schema_and_key_are_there_after_every_start(settings: Settings, empty_database_url: str) -> None:
    """An empty database is migrated and knows the development key's hash, not its secret; twice is as once."""
    empty = Settings(_env_file=None, database_url=empty_database_url)
    for _ in range(2):
        prepare_database(empty, KEY)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT version_num FROM gateway_schema_version").fetchall() == [(migrate.head(),)]
        rows = connection.execute("SELECT tenant_id, api_keys::text FROM api_keys").fetchall()
    assert [row[0] for row in rows] == [DEV_TENANT]
    assert "ssssssss" not in rows[0][1]


def test_key_with_another_secret_is_refused(settings: Settings) -> None:
    """A key id that is taken by another secret cannot be had by starting the stack."""
    prepare_database(settings, KEY)
    with pytest.raises(StackError, match="GATEWAY_DEV_KEY"):
        prepare_database(settings, OTHER_SECRET)


def test_database_that_is_down_is_named_without_its_password() -> None:
    """A database that does not answer gives one line that holds no password."""
    url = f"postgresql://gateway:hunter2@127.0.0.1:{free_ports(1)[0]}/gateway"
    with pytest.raises(StackError, match="The database does not answer") as caught:
        prepare_database(Settings(_env_file=None, database_url=url), KEY)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_bucket_is_made_and_open_to_the_origin_only(settings: Settings, store_server: StoreServer) -> None:
    """A new bucket lets pages of the allowed origin upload and no others; doing it again is harmless."""
    ours = _changed(settings, s3_bucket="prepared", allowed_origins=(TEST_ORIGIN,))
    for _ in range(2):
        assert await prepare_store(ours, embedded=True) == PreparedStore((), ())
    async with aiohttp.ClientSession() as session:
        stranger = await admin.probe_cors(store_config_of(ours), "http://stranger.example", session)
    assert not stranger.allowed


async def test_cors_of_a_bucket_of_the_user_is_left_alone(settings: Settings, store_server: StoreServer) -> None:
    """On the user's own store an existing bucket keeps its rules, and what they refuse is reported."""
    theirs = _changed(settings, s3_bucket="theirs", allowed_origins=(TEST_ORIGIN,))
    await prepare_store(theirs, embedded=False)
    other = _changed(theirs, allowed_origins=("http://other.example",))
    warnings = (await prepare_store(other, embedded=False)).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("A page of http://other.example cannot upload: ")


@pytest.mark.parametrize("down", [True, False], ids=["down", "wrong key"])
async def test_store_that_refuses_is_named_without_its_key(settings: Settings, *, down: bool) -> None:
    """A store that is down or refuses gives one line that holds no secret."""
    change = (
        {"s3_endpoint": f"http://127.0.0.1:{free_ports(1)[0]}", "s3_max_attempts": 1}
        if down
        else {"s3_access_key_id": "nobody"}
    )
    with pytest.raises(StackError, match=r"The store at http://127\.0\.0\.1:") as caught:
        await prepare_store(_changed(settings, **change), embedded=True)
    assert settings.s3_secret_access_key.get_secret_value() not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_store_prepare_says_what_it_did(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway store prepare` makes the bucket of the settings, and ends with 1 when the store does not answer."""
    for name in ("s3_endpoint", "s3_access_key_id"):
        monkeypatch.setenv(f"GATEWAY_{name.upper()}", getattr(settings, name))
    monkeypatch.setenv("GATEWAY_S3_SECRET_ACCESS_KEY", settings.s3_secret_access_key.get_secret_value())
    monkeypatch.setenv("GATEWAY_S3_BUCKET", "by-command")
    result = CliRunner().invoke(store_app, ["prepare"])
    assert (result.exit_code, result.output) == (0, "Bucket by-command is ready.\n")
    assert asyncio.run(admin.ensure_bucket(store_config_of(Settings(_env_file=None)))) is False
    monkeypatch.setenv("GATEWAY_S3_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}")
    assert CliRunner().invoke(store_app, ["prepare"]).exit_code == 1
