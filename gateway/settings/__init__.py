"""Define every setting of the gateway: name, default, unit and the reason for the default."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from gateway.settings.ceilings import CeilingSettings
from gateway.settings.common import SettingGroup
from gateway.settings.database import DatabaseSettings
from gateway.settings.development import DevelopmentSettings
from gateway.settings.policy import PolicySettings
from gateway.settings.rates import RateSettings
from gateway.settings.receiving import ReceivingSettings
from gateway.settings.server import ServerSettings
from gateway.settings.store import StoreSettings
from gateway.settings.times import TimeSettings
from gateway.settings.watching import WatchingSettings
from gateway.settings.webhooks import WebhookSettings

GROUPS: tuple[type[SettingGroup], ...] = (
    ServerSettings,
    RateSettings,
    CeilingSettings,
    DatabaseSettings,
    StoreSettings,
    PolicySettings,
    TimeSettings,
    ReceivingSettings,
    WatchingSettings,
    WebhookSettings,
    DevelopmentSettings,
)
"""Every group, in the order of the documentation."""


class Settings(
    ServerSettings,
    RateSettings,
    CeilingSettings,
    DatabaseSettings,
    StoreSettings,
    PolicySettings,
    TimeSettings,
    ReceivingSettings,
    WatchingSettings,
    WebhookSettings,
    DevelopmentSettings,
):
    """Hold all settings; `bootstrap.py` is the only reader of the environment in the program."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_part_size > self.max_part_size:
            raise ValueError("GATEWAY_MIN_PART_SIZE is larger than GATEWAY_MAX_PART_SIZE")
        if self.upload_max_seconds < self.upload_seconds:
            raise ValueError("GATEWAY_UPLOAD_MAX_SECONDS is less than GATEWAY_UPLOAD_SECONDS")
        if (self.s3_signing_access_key_id is None) != (self.s3_signing_secret_access_key is None):
            raise ValueError("the signing key needs both its id and its secret")
        if (self.s3_download_access_key_id is None) != (self.s3_download_secret_access_key is None):
            raise ValueError("the download key needs both its id and its secret")
        if (self.s3_admin_access_key_id is None) != (self.s3_admin_secret_access_key is None):
            raise ValueError("the administration key needs both its id and its secret")
        if self.keep_ended_seconds and self.keep_ended_seconds < self.idempotency_seconds:
            raise ValueError("GATEWAY_KEEP_ENDED_SECONDS is less than GATEWAY_IDEMPOTENCY_SECONDS")
        return self
