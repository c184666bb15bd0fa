"""Share units, types and helpers between the groups of settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

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


def bare_name(name: str) -> AliasChoices:
    """Accept a setting both as *name* and with the GATEWAY_ prefix."""
    return AliasChoices(name, f"GATEWAY_{name}")


def split_commas(value: object) -> object:
    """Split comma-separated text into its items; leave any other value unchanged."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value
