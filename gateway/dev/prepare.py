"""Prepare database and store for the gateway: schema, development key, bucket, store keys and CORS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import psycopg
from psycopg import sql

from gateway.auth.api_keys import parse_key
from gateway.bootstrap import admin_config_of, database_address_of, store_config_of, store_keys_of
from gateway.database import api_keys
from gateway.database.engine import Database
from gateway.dev import seaweedfs
from gateway.dev.postgres import PostgresServer
from gateway.dev.processes import StackError
from gateway.domain.errors import DatabaseUnavailable
from gateway.domain.origins import example_of
from gateway.settings import Settings
from gateway.storage import admin
from gateway.storage.admin import CorsProbe
from gateway.storage.errors import StoreError, StoreUnavailable
from gateway.storage.minio_keys import is_minio, make_minio_keys
from gateway.storage.models import StoreConfig
from gateway.storage.policies import KEY_NAMES

DEV_TENANT = "dev"
DATABASE = "gateway"


def ensure_database(server: PostgresServer) -> None:
    """Create the gateway's database on an embedded server if it is not there.

    Raises:
        StackError: The server does not answer, or cannot create it.
    """
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        raise StackError(f"PostgreSQL cannot make the database: {_first_line(error)}") from error


def prepare_database(settings: Settings, key: str) -> str:
    """Migrate the database, make *key* valid for the development tenant, and return the version of the server.

    Raises:
        StackError: The database does not answer, or the key's id belongs to a key with another secret.
    """
    # `gateway store prepare` shares this module and needs no SQLAlchemy, which takes a second to import.
    from gateway.database import migrate  # noqa: PLC0415 - see above

    url = database_address_of(settings).session_url
    try:
        migrate.upgrade(url)
        asyncio.run(_add_key(url, key))
        with psycopg.connect(url, connect_timeout=10) as connection:
            return (connection.info.parameter_status("server_version") or "").partition(" ")[0]
    except (DatabaseUnavailable, psycopg.Error) as error:
        raise StackError(f"The database does not answer or refuses: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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


@dataclass(frozen=True)
class PreparedStore:
    """Report the work of `prepare_store`; `warnings` list open tasks of the operator."""

    done: tuple[str, ...]
    warnings: tuple[str, ...]


async def prepare_store(settings: Settings, *, embedded: bool) -> PreparedStore:
    """Make the bucket, on MinIO also the three keys and versions, and let the allowed origins use the bucket.

    The keys are made only with an administration key. The CORS rules of a bucket that already existed on the user's
    own store are left alone. Safe to run again.

    Raises:
        StackError: The store does not answer or refuses.
    """
    admin_config = admin_config_of(settings)
    done, warnings = [], []
    try:
        made = await admin.ensure_bucket(admin_config)
        if settings.s3_admin_access_key_id is not None and await is_minio(admin_config):
            done += await _prepare_minio(settings, admin_config)
        elif settings.s3_admin_access_key_id is not None and not embedded:
            warnings.append("Keys are made on MinIO only. Give yours the policies of `gateway store policies`.")
        if settings.allowed_origins and (made or embedded):
            # MinIO has its origins from its start, and answers this call with 501.
            origins = seaweedfs.cors_origins(settings.allowed_origins) if embedded else settings.allowed_origins
            await admin.put_bucket_cors(admin_config, origins)
        async with aiohttp.ClientSession() as session:
            probes = {
                origin: await admin.probe_cors(store_config_of(settings), example_of(origin), session)
                for origin in settings.allowed_origins
            }
    except (StoreError, StoreUnavailable) as error:
        raise StackError(f"The store at {settings.s3_endpoint} refuses or does not answer: {error}") from error
    warnings += _cors_warnings(probes)
    return PreparedStore(tuple(done), tuple(warnings))


def _cors_warnings(probes: Mapping[str, CorsProbe]) -> list[str]:
    """Return one line for each reason why pages cannot upload, with all their origins."""
    refused: dict[str, list[str]] = {}
    for origin, probe in probes.items():
        if not probe.allowed:
            refused.setdefault(probe.detail, []).append(origin)
    return [f"A page of {' or '.join(origins)} cannot upload: {detail}." for detail, origins in refused.items()]


async def _prepare_minio(settings: Settings, admin_config: StoreConfig) -> list[str]:
    """Make the keys and enable versions. This MinIO accepts forged writes, and they cannot replace a version."""
    done = []
    keys = store_keys_of(settings)
    if keys is None:
        raise StackError("MinIO needs three keys: set GATEWAY_S3_SIGNING_… and GATEWAY_S3_DOWNLOAD_… as well.")
    ids = [keys.of(name).access_key_id for name in KEY_NAMES]
    if len({*ids, admin_config.credentials.access_key_id}) < 4:
        raise StackError("The administration key and the three keys of the gateway must have four different ids.")
    await make_minio_keys(admin_config, keys, settings.s3_object_key_prefix)
    done.append("Three keys are ready: one for the gateway, one that signs uploads, one that signs downloads.")
    if await admin.keep_versions(admin_config):
        done.append(f"Bucket {admin_config.bucket} keeps versions from now on.")
    return done
