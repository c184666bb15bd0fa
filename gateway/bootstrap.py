"""Build the parts from the settings; nothing else in the package makes a client, a pool or a signer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial

from pydantic import SecretStr

from gateway.auth.upload_tokens import TokenSigner
from gateway.context import Gateway, Webhooks, Work
from gateway.database import events
from gateway.database.connecting import DatabaseAddress
from gateway.database.engine import Database
from gateway.database.notify import NOTIFY_CHANNEL
from gateway.database.queue import JobQueue
from gateway.database.upload_repository import PostgresUploads
from gateway.detection import ClamdScanner, Scanner
from gateway.domain.ceilings import Ceiling, Ceilings
from gateway.domain.origins import origin_of
from gateway.domain.parts import S3_MAX_PARTS, PartBounds
from gateway.domain.policy import FileRules, Policy
from gateway.events.feeds import Feeds
from gateway.events.wakeups import Wakeups
from gateway.outbound.public_http import WebhookSender
from gateway.outbound.webhook_signing import WebhookSecrets
from gateway.settings import Settings
from gateway.settings.policy import PolicySettings
from gateway.startup.probes import ProbeTargets
from gateway.storage.admin import multipart_uploads_of
from gateway.storage.clock import StoreClock
from gateway.storage.models import StoreConfig
from gateway.storage.policies import StoreKeys
from gateway.storage.presign import Presigner
from gateway.storage.s3 import S3Store, open_store
from gateway.storage.sigv4 import Credentials
from gateway.storage.store_checks import StoreChecks
from gateway.streaming.buffers import BufferPool
from gateway.streaming.limits import MAX_CONCURRENT_SENDS, BodyLimits, Receiving
from gateway.streaming.send_queue import SendQueue
from gateway.streaming.shutdown import ActiveBodies

WORK_SECONDS = 6.0
"""Time for completions that run when the process stops, seconds; then another process takes them over."""


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def file_rules_of(settings: PolicySettings) -> FileRules:
    """Take the rules for one file out of the settings."""
    return FileRules(
        max_file_size=settings.max_file_size,
        allowed_extensions=frozenset(settings.allowed_upload_extensions),
        extension_mismatch=settings.extension_mismatch,
        require_audio=settings.require_audio,
        min_duration_seconds=settings.min_duration_seconds,
        max_duration_seconds=settings.max_duration_seconds,
    )


def policy_of(settings: Settings) -> Policy:
    """Take the limits out of the settings."""
    return Policy(
        **asdict(file_rules_of(settings)),
        part_bounds=PartBounds(settings.min_part_size, settings.max_part_size, settings.target_part_count),
        part_url_seconds=settings.part_url_seconds,
        download_url_seconds=settings.download_url_seconds,
        upload_seconds=settings.upload_seconds,
        upload_max_seconds=settings.upload_max_seconds,
        complete_budget_seconds=settings.complete_budget_seconds,
        lease_seconds=settings.lease_seconds,
        idempotency_seconds=settings.idempotency_seconds,
        keep_ended_seconds=settings.keep_ended_seconds or None,
        part_checksums_required=settings.part_checksums == "required",
        ceilings=ceilings_of(settings),
    )


def ceilings_of(settings: Settings) -> Ceilings:
    """Return the ceilings of the settings."""
    return Ceilings(
        token=Ceiling(
            settings.token_open_uploads,
            settings.token_open_bytes,
            settings.token_creates,
            settings.token_creates_per_day,
        ),
        key=Ceiling(
            settings.key_open_uploads, settings.key_open_bytes, settings.key_creates, settings.key_creates_per_day
        ),
        tenant=Ceiling(
            settings.tenant_open_uploads,
            settings.tenant_open_bytes,
            settings.tenant_creates,
            settings.tenant_creates_per_day,
        ),
    )


def store_config_of(settings: Settings) -> StoreConfig:
    """Take the gateway's own way to the store out of the settings."""
    token = settings.s3_session_token
    return StoreConfig(
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        credentials=Credentials(
            settings.s3_access_key_id,
            settings.s3_secret_access_key.get_secret_value(),
            token.get_secret_value() if token else None,
        ),
        addressing_style=settings.s3_addressing_style,
        timeout_seconds=settings.s3_timeout_seconds,
        max_attempts=settings.s3_max_attempts,
        pool_size=settings.s3_pool_size,
    )


def admin_config_of(settings: Settings) -> StoreConfig:
    """Build the connection that `gateway store prepare` uses: with the administration key if there is one."""
    config = store_config_of(settings)
    key_id, secret = settings.s3_admin_access_key_id, settings.s3_admin_secret_access_key
    if key_id is None or secret is None:
        return config
    return replace(config, credentials=Credentials(key_id, secret.get_secret_value()))


def store_keys_of(settings: Settings) -> StoreKeys | None:
    """Return the gateway's three store keys, or None where the settings name fewer."""
    own = store_config_of(settings).credentials
    signing = _credentials(settings.s3_signing_access_key_id, settings.s3_signing_secret_access_key)
    download = _credentials(settings.s3_download_access_key_id, settings.s3_download_secret_access_key)
    return StoreKeys(own, signing, download) if signing is not None and download is not None else None


def _credentials(key_id: str | None, secret: SecretStr | None) -> Credentials | None:
    return Credentials(key_id, secret.get_secret_value()) if key_id and secret else None


def presigner_of(settings: Settings, clock: StoreClock) -> Presigner:
    """Build the signer of uploads: for the public address and, if there is one, with the separate key."""
    return _presigner(settings, clock, settings.s3_signing_access_key_id, settings.s3_signing_secret_access_key)


def download_presigner_of(settings: Settings, clock: StoreClock) -> Presigner:
    """Build the signer of downloads. Not the uploads' key: one that reads lets an uploader copy what it may read."""
    return _presigner(settings, clock, settings.s3_download_access_key_id, settings.s3_download_secret_access_key)


def _presigner(settings: Settings, clock: StoreClock, key_id: str | None, secret: SecretStr | None) -> Presigner:
    config = store_config_of(settings)
    credentials = _credentials(key_id, secret) or config.credentials
    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    return Presigner(endpoint, config.bucket, config.region, credentials, config.addressing_style, clock)


def probe_targets_of(settings: Settings, store: S3Store) -> ProbeTargets:
    """Collect what the probes need: the gateway's own store, and the address and key that clients use."""
    config = store_config_of(settings)
    signing = _credentials(settings.s3_signing_access_key_id, settings.s3_signing_secret_access_key)
    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    return ProbeTargets(
        store=store,
        config=config,
        public=replace(config, endpoint=endpoint, credentials=signing or config.credentials),
        uploads=presigner_of(settings, store.clock),
        downloads=download_presigner_of(settings, store.clock),
        prefix=settings.s3_object_key_prefix,
        origins=page_origins_of(settings),
    )


def page_origins_of(settings: Settings) -> tuple[str, ...]:
    """Return the origins of pages that may use the store, the gateway's own upload page among them."""
    origins = settings.allowed_origins
    if settings.upload_page == "off" or settings.public_url is None:
        return origins
    own = origin_of(settings.public_url)
    return origins if own is None or own in origins else (*origins, own)


def token_signer_of(settings: Settings) -> TokenSigner | None:
    """Build what signs upload tokens, or None where no secret is set: the rest of the gateway works without."""
    if settings.token_secret is None:
        return None
    return TokenSigner(_revealed(settings.token_secret, settings.token_secret_previous))


def webhooks_of(settings: Settings) -> Webhooks | None:
    """Build what signs and sends webhooks, the sender closed, or None where no secret is set."""
    if settings.webhook_secret is None:
        return None
    secrets = WebhookSecrets(_revealed(settings.webhook_secret, settings.webhook_secret_previous))
    private = settings.webhook_private_hosts
    return Webhooks(secrets, WebhookSender(private=private), private=private)


def _revealed(*secrets: SecretStr | None) -> list[str]:
    return [secret.get_secret_value() for secret in secrets if secret is not None]


def database_address_of(settings: Settings) -> DatabaseAddress:
    """Take the connection URLs out of the settings."""
    direct = settings.database_direct_url
    return DatabaseAddress(settings.database_url.get_secret_value(), direct.get_secret_value() if direct else None)


def database_of(settings: Settings) -> Database:
    """Build the pool of connections, closed."""
    return Database(
        database_address_of(settings),
        pool_size=settings.database_pool_size,
        timeout_seconds=settings.database_timeout_seconds,
    )


def receiving_of(settings: Settings) -> Receiving:
    """Build the limits and pools for files that the gateway itself receives."""
    return Receiving(
        destination=settings.upload_stream_destination,
        directory=settings.upload_dir,
        chunk_size=settings.chunk_size,
        part_size=max(settings.upload_stream_part_size, -(-settings.max_file_size // S3_MAX_PARTS)),
        buffer_pool=BufferPool(settings.upload_stream_buffers, per_tenant=settings.upload_stream_tenant_files),
        active_bodies=ActiveBodies(),
        send_queue=SendQueue(MAX_CONCURRENT_SENDS, timeout_seconds=settings.upload_stream_store_seconds),
        body_limits=BodyLimits(
            deadline_seconds=settings.upload_stream_seconds,
            stall_seconds=settings.upload_stream_stall_seconds,
            min_bytes_per_second=settings.upload_stream_least_rate,
        ),
        store_seconds=settings.upload_stream_store_seconds,
    )


def feeds_of(settings: Settings, wakeups: Wakeups, database: Database) -> Feeds:
    """Build the readers of the event log."""
    return Feeds(
        wakeups,
        partial(events.log_ends, database),
        max_per_tenant=settings.max_streams_per_tenant,
        max_total=settings.max_streams,
        polls_per_second=settings.progress_polls_per_second,
    )


def scanner_of(settings: Settings) -> Scanner | None:
    """Build the scanner that the settings name; raises ValueError for an invalid address."""
    if settings.clamd_address is None:
        return None
    return ClamdScanner(
        settings.clamd_address,
        max_bytes=settings.scanner_max_bytes,
        timeout_seconds=settings.scanner_timeout_seconds,
    )


@asynccontextmanager
async def open_gateway(settings: Settings, *, wait_for_database: bool = True) -> AsyncIterator[Gateway]:
    """Open everything that the use cases need, and close it again after the running work.

    Raises DatabaseUnavailable when the database does not answer, unless *wait_for_database* is False: then the pool
    connects in the background and each request without a connection is 503.
    """
    database = database_of(settings)
    url = database_address_of(settings).session_url
    wakeups = Wakeups(url, NOTIFY_CHANNEL, own_sender=database.announcements.sender)
    database.announcements.wake = wakeups.wake
    webhooks = webhooks_of(settings)
    await database.open(wait_seconds=30.0 if wait_for_database else None)
    try:
        async with AsyncExitStack() as parts:
            store = await parts.enter_async_context(open_store(store_config_of(settings), StoreClock(utc_now)))
            if webhooks is not None:
                await parts.enter_async_context(webhooks.sender.opened())
            await wakeups.open()
            gateway = _gateway_of(settings, database, store, wakeups, webhooks)
            yield gateway
            await gateway.work.close(WORK_SECONDS)
    finally:
        await wakeups.close()
        await database.close()


def _gateway_of(
    settings: Settings, database: Database, store: S3Store, wakeups: Wakeups, webhooks: Webhooks | None
) -> Gateway:
    """Put the opened parts together with those that need no opening."""
    config = store_config_of(settings)
    queue = JobQueue(database_address_of(settings).session_url, timeout_seconds=settings.database_timeout_seconds)
    return Gateway(
        policy=policy_of(settings),
        bucket=settings.s3_bucket,
        key_prefix=settings.s3_object_key_prefix,
        database=database,
        uploads=PostgresUploads(database, ceilings_of(settings), settings.max_file_size),
        store=store,
        store_config=config,
        store_checks=StoreChecks(settings.unsafe_store),
        find_multipart_uploads=partial(multipart_uploads_of, config),
        presigner=presigner_of(settings, store.clock),
        download_presigner=download_presigner_of(settings, store.clock),
        queue=queue,
        wakeups=wakeups,
        feeds=feeds_of(settings, wakeups, database),
        work=Work(),
        now=utc_now,
        receiving=receiving_of(settings),
        tokens=token_signer_of(settings),
        post_policy_seconds=settings.form_seconds,
        scanner=scanner_of(settings),
        scanner_policy=settings.scanner_policy,
        webhooks=webhooks,
    )
