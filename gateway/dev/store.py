"""Describe an embedded S3-compatible store, whichever program it is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.dev.processes import Child
from gateway.storage.policies import KEY_NAMES, StoreKeys
from gateway.storage.sigv4 import Credentials

BUCKET = "uploads"
KEY_PREFIX = "uploads"

START_SECONDS = 60.0
"""Longest time from the start of a store to its first answer, seconds."""


def _is_ready() -> bool:
    return True


@dataclass(frozen=True)
class StoreServer:
    """A started store: its address, its root key and the gateway's three keys.

    SeaweedFS knows the three keys from its start. MinIO gets them from `prepare_store`.
    """

    name: str
    child: Child
    endpoint: str
    credentials: Credentials
    keys: StoreKeys
    region: str = "us-east-1"
    bucket: str = BUCKET
    is_ready: Callable[[], bool] = _is_ready
    """Say whether the store takes requests."""

    @property
    def access_key_id(self) -> str:
        """Return the id of the root key."""
        return self.credentials.access_key_id

    @property
    def secret_access_key(self) -> str:
        """Return the secret of the root key."""
        return self.credentials.secret_access_key

    def wait(self) -> None:
        """Wait until the store takes requests. Whatever is raised, a signal too, it is stopped then.

        Raises:
            StackError: The store ended, or took more than START_SECONDS.
        """
        try:
            self.child.wait_until(self.is_ready, START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the store. Its data stays on the disk."""
        self.child.stop()

    def settings(self) -> dict[str, str]:
        """Return the gateway's settings for this store, by name. None of them holds the root key."""
        return {
            "s3_endpoint": self.endpoint,
            "s3_public_endpoint": self.endpoint,
            "s3_region": self.region,
            "s3_bucket": self.bucket,
            "s3_object_key_prefix": KEY_PREFIX,
            **key_settings(self.keys),
            "s3_addressing_style": "path",
        }

    def admin_settings(self) -> dict[str, str]:
        """Return the settings that `prepare_store` needs in addition. No gateway process gets them."""
        return {
            "s3_admin_access_key_id": self.access_key_id,
            "s3_admin_secret_access_key": self.secret_access_key,
        }


def key_settings(keys: StoreKeys) -> dict[str, str]:
    """Return the gateway's settings for its three keys, by name."""
    return {
        "s3_access_key_id": keys.gateway.access_key_id,
        "s3_secret_access_key": keys.gateway.secret_access_key,
        "s3_signing_access_key_id": keys.signing.access_key_id,
        "s3_signing_secret_access_key": keys.signing.secret_access_key,
        "s3_download_access_key_id": keys.download.access_key_id,
        "s3_download_secret_access_key": keys.download.secret_access_key,
    }


def kept_credentials(folder: Path) -> Credentials:
    """Return the root key of the last start in *folder*, or make one that only the owner may read.

    Each folder has its own random key: any web page that reaches the port would know a fixed one.
    """
    return _kept(folder / "credentials", "dev")


def kept_keys(folder: Path) -> StoreKeys:
    """Return the gateway's three keys of the last start in *folder*, or make them."""
    return StoreKeys(**{name: _kept(folder / f"credentials-{name}", name[:4]) for name in KEY_NAMES})


def _kept(file: Path, word: str) -> Credentials:
    if not file.exists():
        file.touch(mode=0o600)
        # MinIO takes ids of up to 20 characters and secrets of up to 40.
        file.write_text(f"{word}{secrets.token_hex(8)} {secrets.token_urlsafe(30)}\n")
    access_key_id, secret_access_key = file.read_text().split()
    return Credentials(access_key_id, secret_access_key)
