"""Name the settings of the database."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from gateway.database.connecting import is_postgresql_url
from gateway.settings.common import SettingGroup


class DatabaseSettings(SettingGroup):
    """Hold the settings of the database."""

    title: ClassVar[str] = "The database"

    database_url: SecretStr = Field(
        SecretStr("postgresql://gateway@127.0.0.1:5432/gateway"), description="Connection URL of PostgreSQL."
    )
    database_direct_url: SecretStr | None = Field(
        None,
        description="Connection URL of PostgreSQL without a pooler, for migrations, jobs and notices. Set it when "
        "`GATEWAY_DATABASE_URL` leads to PgBouncer in transaction mode. Default: `GATEWAY_DATABASE_URL`.",
    )
    database_pool_size: int = Field(
        10, ge=2, le=100, description="Database connections of one process. PostgreSQL allows 100 in total by default."
    )
    database_timeout_seconds: float = Field(
        5.0, gt=0, description="Longest wait for a connection or a statement before the answer is 503, seconds."
    )

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _require_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_postgresql_url(value.get_secret_value()):
            raise ValueError("this is no PostgreSQL URL; write postgresql://user:password@host:5432/database")
        return value
