"""Share units, types and helpers between the groups of settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AliasChoices, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.settings.units import parse_seconds, parse_size

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class SettingGroup(BaseSettings):
    """Base of a group of settings that belong to one topic."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    title: ClassVar[str] = ""
    """Heading of the group in the documentation."""

    @field_validator("*", mode="before")
    @classmethod
    def _parse_units(cls, value: object, info: ValidationInfo) -> object:
        """Read `5GiB` for a size and `1h` for a time; the name of a setting says which of the two it is."""
        name = info.field_name or ""
        if name.endswith("_seconds"):
            return parse_seconds(value)
        if name.endswith(("_size", "_bytes", "_rate")):
            return parse_size(value)
        return value


def environment_names(field: str, info: FieldInfo) -> list[str]:
    """Return the environment variables of a setting, the preferred one first."""
    if isinstance(info.validation_alias, AliasChoices):
        return [str(choice) for choice in info.validation_alias.choices]
    return [f"GATEWAY_{field.upper()}"]


def bare_name(name: str) -> AliasChoices:
    """Accept a setting both as *name* and with the GATEWAY_ prefix."""
    return AliasChoices(name, f"GATEWAY_{name}")


def split_commas(value: object) -> object:
    """Split comma-separated text into its items; leave any other value unchanged."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value
