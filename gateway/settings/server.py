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

    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8080, ge=0, le=65535, description="Port on which the API listens. 0 chooses a free one.")
    public_url: str | None = Field(
        None,
        description="Address under which clients reach the gateway. Default: the address in the request.",
    )
    allowed_origins: CommaSeparated = Field(
        (),
        description="Origins of web pages that may use the API and the store, comma separated. Write them as browsers"
        " do, without a slash at the end. The scheme of an application (`capacitor://localhost`) is an "
        "origin too, and one label may be `*` (`https://*.example.com`), as may the port of a loopback host "
        "(`http://localhost:*`). `*` alone is refused, because requests carry credentials.",
    )
    token_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that signs upload tokens: at least 32 random characters, the same for every process. "
        "Default: upload tokens are off (`gateway dev` makes a secret).",
    )
    token_secret_previous: SecretStr | None = Field(
        None,
        min_length=32,
        description="Previous secret of upload tokens. Tokens that it signed are still accepted. Keep it for a week "
        "after a change, the longest life of a token.",
    )
    store_events_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Bearer secret that the store sends with its events to `/store-events`. Default: this route is "
        "off, and the worker asks the store for files of POST uploads.",
    )
    upload_page: Literal["off", "token", "open"] = Field(
        "off",
        description="Upload page at `/`. `token` asks each visitor for an upload token; a link may carry it as "
        "`#token=…`. `open` gives every visitor a token and is for `gateway dev`.",
    )
    max_body_bytes: int = Field(
        2 * MIB,
        gt=0,
        description="Largest JSON request body, bytes. 10,000 parts with ETag and checksum need 1.6 MB.",
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
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    trusted_proxies: CommaSeparated = Field(
        (),
        description="Addresses and networks of the proxies in front of the API, comma separated. Only their "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are used. Default: none; the client is the other end "
        "of the connection.",
    )

    _split_server_lists = field_validator("allowed_origins", "trusted_proxies", mode="before")(split_commas)

    @field_validator("allowed_origins")
    @classmethod
    def _only_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("name each origin; `*` would let any page use a visitor's credentials")
        for text in value:
            # Origins are compared as texts: a misspelt one would refuse every page without an error.
            if not is_origin(text) and not is_origin_pattern(text):
                raise ValueError(how_to_write(text))
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _only_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network_of(text)) for text in value)
