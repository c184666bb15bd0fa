"""Name the rate limits."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gateway.settings.common import SettingGroup


class RateSettings(SettingGroup):
    """Hold the rate limits."""

    title: ClassVar[str] = "Rate limits"

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
