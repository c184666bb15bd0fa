"""Name the settings of the database."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from gateway.settings.common import SettingGroup


class DatabaseSettings(SettingGroup):
    """Hold the settings of the database."""

    title: ClassVar[str] = "The database"

    database_url: SecretStr = Field(
        SecretStr("postgresql://gateway@127.0.0.1:5432/gateway"), description="PostgreSQL connection URL."
    )
    database_pool_size: int = Field(
        10, ge=2, le=100, description="Connections per process. PostgreSQL allows 100 in all by default."
    )
    database_timeout_seconds: float = Field(
        5.0, gt=0, description="Longest wait for a connection or a statement before the answer is 503, seconds."
    )
