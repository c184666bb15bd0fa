"""Name the ceilings for upload tokens, API keys and tenants."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gateway.settings.common import GIB, SettingGroup

TIB = 1024 * GIB


class CeilingSettings(SettingGroup):
    """Hold the ceilings; 0 is no limit."""

    title: ClassVar[str] = "Ceilings"

    token_open_uploads: int = Field(
        1000, ge=0, description="Uploads that one upload token may have open at once. A page sends a few at a time."
    )
    token_open_bytes: int = Field(
        2 * TIB,
        ge=0,
        description="Bytes that the open uploads of one token may declare together. An upload without a declared size "
        "counts as the largest that is accepted.",
    )
    token_creates: int = Field(
        10_000,
        ge=0,
        description="Uploads that one token may create in its life, aborted ones included. A token with `max_files` "
        "has ten for each file, and at least 20.",
    )
    token_creates_per_day: int = Field(5000, ge=0, description="Uploads that one token may create in a day (UTC).")
    key_open_uploads: int = Field(
        20_000,
        ge=0,
        description="Uploads that one API key, with the tokens it made, may have open at once. Each is a row and a "
        "multipart upload in the store.",
    )
    key_open_bytes: int = Field(
        100 * TIB, ge=0, description="Bytes that the open uploads of one key may declare together."
    )
    key_creates: int = Field(0, ge=0, description="Uploads that one key may create in all. Default: no limit.")
    key_creates_per_day: int = Field(
        200_000,
        ge=0,
        description="Uploads that one key may create in a day (UTC). An upload and its events are about 3 kB in the "
        "database: 30 days of creating and aborting at this rate are 18 GB.",
    )
    tenant_open_uploads: int = Field(50_000, ge=0, description="Uploads that one tenant may have open at once.")
    tenant_open_bytes: int = Field(
        250 * TIB, ge=0, description="Bytes that the open uploads of one tenant may declare together."
    )
    tenant_creates: int = Field(0, ge=0, description="Uploads that one tenant may create in all. Default: no limit.")
    tenant_creates_per_day: int = Field(
        400_000, ge=0, description="Uploads that one tenant may create in a day (UTC), with all its keys."
    )
