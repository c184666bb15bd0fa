"""Name the lifetimes and intervals."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gateway.settings.common import SettingGroup


class TimeSettings(SettingGroup):
    """Hold the lifetimes and intervals."""

    title: ClassVar[str] = "Times"

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
        description="Time without activity until an unfinished upload expires and its parts are removed, seconds. "
        "Signing a part or sending a raw body is activity.",
    )
    upload_max_seconds: int = Field(
        604_800,
        ge=60,
        description="Longest life of an unfinished upload since its creation, whatever its activity, seconds. "
        "S3 lifecycle rules commonly remove parts after 7 days.",
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
