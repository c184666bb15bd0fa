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
        description="Secret from which the signing secrets of webhooks are derived: at least 32 random characters, "
        "the same for every process. Default: webhooks are off (`gateway dev` makes a secret).",
    )
    webhook_secret_previous: SecretStr | None = Field(
        None,
        min_length=32,
        description="Previous secret of webhooks. Messages carry signatures of both secrets until you remove it.",
    )
    webhook_private_hosts: bool = Field(
        False,
        description="Allow webhooks to any address and port, and `http`. For development only: tenants could reach "
        "hosts that only the gateway can reach.",
    )
