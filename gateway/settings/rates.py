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
        description="Average requests a second of one API key, counted by each process. One minute's worth may come "
        "at once. A batch is one request. One process handles about 400 creates or 1,200 signs a second. "
        "0 is no limit.",
    )
    rate_per_token: int = Field(
        50,
        ge=0,
        le=100_000,
        description="Average requests a second of one upload token, counted like those of a key. The limit is lower "
        "because web pages hold tokens. It is enough to sign parts of 5 MiB one by one at 250 MB/s.",
    )
    rate_per_address: int = Field(
        10,
        ge=0,
        le=100_000,
        description="Average failed authentications a second from one address (IPv6: one /64 network). Wrong keys are"
        " counted apart from other failures. After too many wrong keys, a key that this process has not "
        "accepted before is refused too.",
    )
