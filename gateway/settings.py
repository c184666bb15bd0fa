"""Name every knob of the gateway with its default, its unit and the reason for the default."""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.domain.addresses import network_of
from gateway.domain.media_types import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS
from gateway.domain.origins import how_to_write, is_origin

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


def _seed(name: str) -> AliasChoices:
    """Accept a setting under its bare seed name as well as with the GATEWAY_ prefix."""
    return AliasChoices(name, f"GATEWAY_{name}")


class Settings(BaseSettings):
    """Read the environment once; `bootstrap.py` is the only caller in the program."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    # The API
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the API listens on; 0 picks a free one.")
    public_url: str | None = Field(
        None,
        description="Address clients use for the gateway, e.g. https://uploads.example.com. "
        "Default: what the request says.",
    )
    allowed_origins: CommaSeparated = Field(
        (),
        description="Origins of web pages that may use the API and the store, comma separated, as browsers write "
        "them: `https://app.example.com`, without a slash. Never `*`: credentials are involved.",
    )
    token_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that signs upload tokens, at least 32 random characters, the same for every replica. "
        "Default: upload tokens are off (`gateway dev` makes one).",
    )
    token_secret_previous: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that upload tokens were signed with before: still accepted, for the longest life of a "
        "token (a week) after the change.",
    )
    store_events_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Bearer secret the store sends with its events to /store-events. Default: the address is off, and "
        "forms are found by asking the store.",
    )
    upload_page: Literal["off", "token", "open"] = Field(
        "off",
        description="Upload page at `/`: `token` asks each visitor for an upload token (a link may carry it as "
        "`#token=…`), `open` gives one to whoever reaches the gateway and is for `gateway dev`.",
    )
    max_body_bytes: int = Field(
        2 * MIB,
        gt=0,
        description="Largest JSON body, bytes. 10,000 parts with an ETag and a checksum are 1.6 MB.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    trusted_proxies: CommaSeparated = Field(
        (),
        description="Addresses and networks of the proxies before the API, comma separated: `10.0.0.7,fd00::/8`. They "
        "alone are believed in X-Forwarded-For and X-Forwarded-Proto. Default: none, the client is whoever connects.",
    )

    # Rate limits
    rate_per_key: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Requests a second that one API key may make of one process on average; a minute's worth may come "
        "at once. A batch is one request. A process does about 400 creates or 1,200 signs a second; 0 is no limit.",
    )
    rate_per_token: int = Field(
        50,
        ge=0,
        le=100_000,
        description="Likewise for one upload token. Less than a key's, because pages hold it: parts of 5 MiB signed "
        "one by one go on at 250 MB/s, and the first 3,000 as fast as they come.",
    )
    rate_per_address: int = Field(
        10,
        ge=0,
        le=100_000,
        description="Likewise for failed authentications from one address (IPv6: one /64), wrong keys counted apart "
        "from other failures. Where too many keys were wrong, one that this process has not seen good waits too.",
    )

    # The database
    database_url: SecretStr = Field(
        SecretStr("postgresql://gateway@127.0.0.1:5432/gateway"), description="PostgreSQL connection URL."
    )
    database_pool_size: int = Field(
        10, ge=2, le=100, description="Connections per process. PostgreSQL allows 100 in all by default."
    )
    database_timeout_seconds: float = Field(
        5.0, gt=0, description="Longest wait for a connection or a statement before the answer is 503, seconds."
    )

    # The store
    s3_endpoint: str = Field("http://127.0.0.1:9000", description="Address the gateway calls the store at.")
    s3_public_endpoint: str | None = Field(
        None, description="Address signed into URLs for clients. Default: the one the gateway calls."
    )
    s3_region: str = Field("us-east-1", description="Region in the signature's scope.")
    s3_bucket: str = Field("uploads", description="Bucket that holds uploads.")
    s3_access_key_id: str = Field("", description="Access key id of the gateway's own calls.")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of the access key.")
    s3_session_token: SecretStr | None = Field(None, description="Session token of temporary credentials.")
    s3_signing_access_key_id: str | None = Field(
        None,
        description="Separate access key that signs uploads, best allowed s3:PutObject on the prefix only: its id is "
        "public, because every URL shows it, and with a right to read uploaders may copy other objects into theirs on "
        "stores that take an unsigned x-amz-copy-source (MinIO). Default: the gateway's own key.",
    )
    s3_signing_secret_access_key: SecretStr | None = Field(None, description="Secret of the signing key.")
    s3_download_access_key_id: str | None = Field(
        None,
        description="Separate access key that signs downloads, best allowed s3:GetObject on the prefix only. "
        "Default: the gateway's own key.",
    )
    s3_download_secret_access_key: SecretStr | None = Field(None, description="Secret of the download key.")
    s3_addressing_style: Literal["path", "virtual"] = Field(
        "path", description="`path` (MinIO, SeaweedFS) or `virtual` (bucket in the host name, AWS)."
    )
    s3_object_key_prefix: str = Field("uploads", description="First segment of every object key.")
    s3_timeout_seconds: float = Field(
        10.0, gt=0, description="Longest wait for one answer of the store before it counts as failed, seconds."
    )
    s3_max_attempts: int = Field(
        3, ge=1, le=10, description="Tries of one store call: 5xx, SlowDown, resets and timeouts are tried again."
    )
    s3_pool_size: int = Field(64, ge=1, le=1000, description="Connections to the store per process.")

    # Limits and policy
    max_file_size: int = Field(
        5 * GIB,
        gt=0,
        le=48_828 * GIB,
        validation_alias=_seed("MAX_FILE_SIZE"),
        description="Largest upload, bytes. 5 GiB is what the transcription pipeline takes; "
        "S3's own end is 10,000 parts of 5 GiB.",
    )
    chunk_size: int = Field(
        MIB,
        ge=64 * KIB,
        le=16 * MIB,
        validation_alias=_seed("CHUNK_SIZE"),
        description="Bytes moved at once when the gateway itself streams, bytes.",
    )
    allowed_upload_extensions: CommaSeparated = Field(
        tuple(sorted(AUDIO_EXTENSIONS + VIDEO_EXTENSIONS)),
        validation_alias=_seed("ALLOWED_UPLOAD_EXTENSIONS"),
        description="File extensions that may be uploaded, comma separated. Default: audio and video.",
    )
    type_mismatch: Literal["reject", "accept"] = Field(
        "reject",
        description="When the bytes are media of another family than the name says: reject, or accept as seen.",
    )
    clamd_address: str | None = Field(
        None,
        pattern=r"^(tcp://\S+|unix:///\S+)$",
        description="Where clamd listens: tcp://host:3310 or unix:///run/clamav/clamd.ctl. Default: no scan.",
    )
    scanner_policy: Literal["fail_closed", "fail_open"] = Field(
        "fail_closed", description="A file that was not scanned (no answer, too large): never ready, or with a note."
    )
    scanner_max_bytes: int = Field(
        100 * MIB, gt=0, description="Largest file sent to the scanner, bytes; clamd's StreamMaxLength must hold it."
    )
    scanner_timeout_seconds: float = Field(
        120.0, gt=0, description="Longest wait for the scanner without progress, seconds. clamd's ReadTimeout is 120."
    )
    min_part_size: int = Field(
        16 * MIB,
        ge=5 * MIB,
        description="Smallest planned part, bytes. S3 refuses parts under 5 MiB except the last; a browser sends a "
        "preflight for each part, so 16 MiB keeps them rare.",
    )
    max_part_size: int = Field(
        512 * MIB,
        le=5 * GIB,
        description="Size parts may grow to, bytes, before there are more of them. S3's end is 5 GiB; a failed part "
        "is sent again whole.",
    )
    target_part_count: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Parts grow so that a file has at most this many: one answer carries every URL.",
    )

    # Times
    part_url_seconds: int = Field(
        3600, ge=60, le=604_800, description="Life of a part URL, seconds. S3's end is 7 days; URLs are cheap to renew."
    )
    form_seconds: int = Field(
        900,
        ge=60,
        le=43_200,
        description="Time from signing a browser form until the store takes it no more, seconds. It may be sent more "
        "than once in that time; what was checked stays what it is. Its upload expires an hour later.",
    )
    download_url_seconds: int = Field(300, ge=1, le=604_800, description="Life of a download URL, seconds.")
    upload_seconds: int = Field(
        86_400,
        ge=60,
        description="Time from create until an unfinished upload expires and its parts are removed, seconds.",
    )
    complete_budget_seconds: float = Field(
        20.0, gt=0, description="Time `complete` works inside the request before it answers 202, seconds."
    )
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="Time a process may hold an upload without a sign of life before another takes it, seconds.",
    )
    sweep_seconds: float = Field(
        60.0, gt=0, description="Time between two looks for expired or dropped uploads, seconds."
    )
    idempotency_seconds: int = Field(
        86_400,
        gt=0,
        description="Time an Idempotency-Key is remembered, seconds (the IETF draft leaves it open; Stripe: 24 h).",
    )
    keep_ended_seconds: int | None = Field(
        None,
        ge=604_800,
        description="Time after which an upload that was rejected, aborted or expired is forgotten with its events, "
        "seconds; at least a week, the longest life of a token whose files it counts among. Ready uploads are always "
        "kept. Default: kept for good.",
    )

    # Files that the gateway itself receives
    upload_stream_destination: Literal["store", "disk"] = Field(
        "store",
        validation_alias=_seed("UPLOAD_STREAM_DESTINATION"),
        description="Where a file sent to /upload/stream is kept: `store` pipes it into the bucket and needs no disk, "
        "`disk` writes it into UPLOAD_DIR.",
    )
    upload_dir: Path = Field(
        Path(gettempdir()),
        validation_alias=_seed("UPLOAD_DIR"),
        description="Folder of streamed uploads kept on disk; API and worker need the same one.",
    )
    upload_stream_part_size: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=64 * MIB,
        description="Part and buffer size when the gateway sends to the store, bytes. S3 refuses less than 5 MiB; more "
        "costs memory and makes nothing faster.",
    )
    upload_stream_buffers: int = Field(
        32,
        ge=1,
        le=1000,
        description="Part buffers per process. An upload uses one to three, so this is also the number of files "
        "received at once; 32 of 8 MiB are 256 MiB.",
    )
    upload_stream_tenant_files: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Files one tenant may send at once per process. Default: three quarters of the buffers, so that "
        "slow senders of one tenant leave room for the others.",
    )
    upload_stream_seconds: float = Field(
        21_600.0, gt=0, description="Longest time one file may take, seconds. 5 GiB at 2 Mbit/s are 6 hours."
    )
    upload_stream_stall_seconds: float = Field(
        30.0, gt=0, description="Longest silence of a sender, seconds; a phone that changes networks takes 10 to 20."
    )
    upload_stream_least_rate: int = Field(
        16 * KIB,
        ge=0,
        description="Least rate of a sender after half a minute, bytes per second. Slower ones would hold a buffer for "
        "hours; 128 kbit/s is a bad mobile connection.",
    )

    upload_stream_store_seconds: float = Field(
        90.0,
        gt=0,
        description="Longest silence of the store about one part, over all tries, before the answer is 503, seconds; "
        "one try waits two thirds of it, because a store may sync parts to a disk that others are using too.",
    )

    # Watching
    max_streams: int = Field(
        5000, gt=0, description="Event streams and WebSockets open at once per process; each costs about 50 KB."
    )
    max_streams_per_tenant: int = Field(
        1000, gt=0, description="Event streams and WebSockets one tenant may have open at once per process."
    )
    stream_heartbeat_seconds: float = Field(
        15.0,
        gt=0,
        description="Time without an event after which a stream carries a sign of life and its key is checked again, "
        "seconds. Proxies cut silent connections after 30 to 60.",
    )
    ticket_seconds: float = Field(
        60.0, gt=0, le=600, description="Life of a one-use ticket for opening a stream, seconds."
    )
    progress_polls_per_second: float = Field(
        20.0,
        gt=0,
        description="Questions a process asks the store in a second for the progress of watched uploads, all together; "
        "one upload is asked for once a second at most.",
    )

    # Webhooks
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that the signing secrets of webhooks are made from, at least 32 random characters, the "
        "same for every process. Default: webhooks are off (`gateway dev` makes one).",
    )
    webhook_secret_previous: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret before that one: messages carry a signature of both until receivers have the new ones.",
    )
    webhook_private_hosts: bool = Field(
        False,
        description="Whether webhooks may go to any address, port and http: for development. Tenants could then reach "
        "what only the gateway can.",
    )

    # Development
    dev_key: SecretStr | None = Field(
        None, description="API key that `gateway dev` makes. Default: a stable one in the data folder."
    )
    data_dir: Path = Field(Path(".gateway"), description="Folder of `gateway dev`: database, store, keys.")

    @field_validator("allowed_origins", "allowed_upload_extensions", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("allowed_upload_extensions")
    @classmethod
    def _bare_extensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({item.lower().lstrip(".") for item in value}))

    @field_validator("allowed_origins")
    @classmethod
    def _only_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("name each origin; `*` would let any page use a visitor's credentials")
        for text in value:
            # Compared as texts: what is almost an origin would refuse every page, and say so nowhere.
            if not is_origin(text):
                raise ValueError(how_to_write(text))
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _only_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network_of(text)) for text in value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_part_size > self.max_part_size:
            raise ValueError("GATEWAY_MIN_PART_SIZE is larger than GATEWAY_MAX_PART_SIZE")
        if (self.s3_signing_access_key_id is None) != (self.s3_signing_secret_access_key is None):
            raise ValueError("the signing key needs both its id and its secret")
        if (self.s3_download_access_key_id is None) != (self.s3_download_secret_access_key is None):
            raise ValueError("the download key needs both its id and its secret")
        if self.keep_ended_seconds is not None and self.keep_ended_seconds < self.idempotency_seconds:
            raise ValueError("GATEWAY_KEEP_ENDED_SECONDS is less than GATEWAY_IDEMPOTENCY_SECONDS")
        return self
