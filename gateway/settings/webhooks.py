"""Name the settings of webhooks."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from gateway.settings.common import SettingGroup


class WebhookSettings(SettingGroup):
    """Hold the settings of webhooks."""

    title: ClassVar[str] = "Webhooks"

    webhook_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that the signing secrets of webhooks are made from, at least 32 random characters, the "
        "same for every process. Default: webhooks are off (`gateway dev` makes one).",
    )
    webhook_secret_previous: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret before that one: messages carry a signature of both until receivers have the new ones.",
    )
    webhook_private_hosts: bool = Field(
        False,
        description="Whether webhooks may go to any address, port and http: for development. Tenants could then reach "
        "what only the gateway can.",
    )
