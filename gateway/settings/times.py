"""Name the lifetimes and intervals."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from gateway.settings.common import SettingGroup

WEEK_SECONDS = 604_800


class TimeSettings(SettingGroup):
    """Hold the lifetimes and intervals."""

    title: ClassVar[str] = "Times"

    part_url_seconds: int = Field(
        3600, ge=60, le=604_800, description="Life of a part URL, seconds. S3's limit is 7 days. A new URL is cheap."
    )
    form_seconds: int = Field(
        900,
        ge=60,
        le=43_200,
        description="Time in which the store accepts the form of a POST upload, seconds. The form can be sent several"
        " times in this time; a checked file does not change. The upload expires one hour later.",
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
        description="Longest life of an unfinished upload after its creation, seconds. Activity does not extend it. "
        "S3 lifecycle rules often remove parts after 7 days.",
    )
    complete_budget_seconds: float = Field(
        20.0, gt=0, description="Longest time of a complete request before it answers 202, seconds. The work continues."
    )
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="Time without a heartbeat after which another process may take an upload, seconds.",
    )
    sweep_seconds: float = Field(
        60.0, gt=0, description="Time between two sweeps for expired and abandoned uploads, seconds."
    )
    idempotency_seconds: int = Field(
        86_400,
        gt=0,
        description="Time for which an `Idempotency-Key` is remembered, seconds. The IETF draft names none; Stripe "
        "uses 24 h.",
    )
    keep_ended_seconds: int = Field(
        2_592_000,
        ge=0,
        description="Time after which a rejected, aborted or expired upload is forgotten with its events, seconds. At "
        "least a week, the longest life of an upload token. Ready uploads are always kept. 0: all are kept forever.",
    )

    @field_validator("keep_ended_seconds")
    @classmethod
    def _at_least_a_week(cls, value: int) -> int:
        if 0 < value < WEEK_SECONDS:
            raise ValueError(f"is less than a week ({WEEK_SECONDS}); 0 keeps ended uploads forever")
        return value
