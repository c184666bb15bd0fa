"""Name the settings of `gateway dev`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from gateway.settings.common import SettingGroup


class DevelopmentSettings(SettingGroup):
    """Hold the settings of `gateway dev`."""

    title: ClassVar[str] = "Development"

    dev_key: SecretStr | None = Field(
        None, description="API key of `gateway dev`. Default: a generated one, kept in the data folder."
    )
    data_dir: Path = Field(Path(".gateway"), description="Folder of `gateway dev`, with database, store and keys.")
