"""Name the settings of the API server."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.domain.addresses import network_of
from gateway.domain.origins import how_to_write, is_origin, is_origin_pattern
from gateway.settings.common import MIB, CommaSeparated, SettingGroup, split_commas


class ServerSettings(SettingGroup):
    """Hold the settings of the API server."""

    title: ClassVar[str] = "The API"

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
        "them: `https://app.example.com`, without a slash. An application's own scheme (`capacitor://localhost`) is an "
        "origin too, and one label may be `*`: `https://*.example.com`. Never `*` alone: credentials are involved.",
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
    max_connections: int = Field(
        10_000,
        ge=1,
        le=60_000,
        description="Connections open at once per process, event streams included. Less when the limit of open files "
        "is lower. When all are in use, the oldest one that only waits for its client is closed for a new one.",
    )
    max_connections_per_address: int = Field(
        2000,
        ge=1,
        le=60_000,
        description="The same for one client address (IPv6: one /64). A backend that watches 1,000 uploads needs "
        "1,000. Trusted proxies are exempt.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    trusted_proxies: CommaSeparated = Field(
        (),
        description="Addresses and networks of the proxies before the API, comma separated: `10.0.0.7,fd00::/8`. They "
        "alone are believed in X-Forwarded-For and X-Forwarded-Proto. Default: none, the client is whoever connects.",
    )

    _split_server_lists = field_validator("allowed_origins", "trusted_proxies", mode="before")(split_commas)

    @field_validator("allowed_origins")
    @classmethod
    def _only_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("name each origin; `*` would let any page use a visitor's credentials")
        for text in value:
            # Compared as texts: what is almost an origin would refuse every page, and say so nowhere.
            if not is_origin(text) and not is_origin_pattern(text):
                raise ValueError(how_to_write(text))
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _only_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network_of(text)) for text in value)
