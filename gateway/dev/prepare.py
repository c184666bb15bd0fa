"""Make the parts of the embedded stack ready for the gateway: schema, development key, bucket and its CORS."""

from __future__ import annotations

import asyncio

import aiohttp
import psycopg
from psycopg import sql

from gateway.auth.api_keys import parse_key
from gateway.bootstrap import database_address_of, store_config_of
from gateway.database import api_keys
from gateway.database.engine import Database
from gateway.dev.postgres import PostgresServer
from gateway.dev.processes import StackError
from gateway.domain.errors import DatabaseUnavailable
from gateway.domain.origins import example_of
from gateway.settings import Settings
from gateway.storage import admin
from gateway.storage.errors import StoreError, StoreUnavailable

DEV_TENANT = "dev"
DATABASE = "gateway"


def ensure_database(server: PostgresServer) -> None:
    """Create the gateway's database on an embedded server if it is not there."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def prepare_database(settings: Settings, key: str) -> None:
    """Migrate the database and make *key* valid for the development tenant.

    Raises:
        StackError: The database does not answer, or the key's id belongs to a key with another secret.
    """
    # `gateway store prepare` shares this module and needs no SQLAlchemy, which takes a second to import.
    from gateway.database import migrate  # noqa: PLC0415 - see above

    url = database_address_of(settings).session_url
    try:
        migrate.upgrade(url)
        asyncio.run(_add_key(url, key))
    except DatabaseUnavailable as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise StackError(f"The database does not answer: {reason}") from error


async def _add_key(url: str, text: str) -> None:
    key = parse_key(text)
    database = Database(url, pool_size=2, timeout_seconds=10)
    await database.open()
    try:
        await api_keys.add(
            database, key_id=key.key_id, tenant_id=DEV_TENANT, name="gateway dev", secret_hash=key.secret_hash
        )
        if await api_keys.find_live(database, key.key_id) != (DEV_TENANT, key.secret_hash):
            raise StackError(f"The key {key.key_id} is revoked or has another secret here: set a new GATEWAY_DEV_KEY.")
    finally:
        await database.close()


async def prepare_store(settings: Settings, *, embedded: bool) -> list[str]:
    """Make the bucket, let the allowed origins use it, and return what a browser would still be refused.

    The CORS rules of a bucket that was there already on a store of the user's are left alone.

    Raises:
        StackError: The store does not answer or refuses.
    """
    config = store_config_of(settings)
    try:
        made = await admin.ensure_bucket(config)
        if settings.allowed_origins and (made or embedded):
            await admin.put_bucket_cors(config, settings.allowed_origins)
        async with aiohttp.ClientSession() as session:
            probes = [
                await admin.probe_cors(config, example_of(origin), session) for origin in settings.allowed_origins
            ]
    except (StoreError, StoreUnavailable) as error:
        raise StackError(f"The store at {settings.s3_endpoint} refuses or does not answer: {error}") from error
    return [f"A page of {probe.origin} cannot upload: {probe.detail}." for probe in probes if not probe.allowed]
