"""Describe an embedded S3-compatible store, whichever program it is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from gateway.dev.processes import Child


@dataclass(frozen=True)
class Credentials:
    """An access key of the embedded store."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class StoreServer:
    """A running store: where it answers and with which key."""

    name: str
    child: Child
    endpoint: str
    credentials: Credentials
    region: str = "us-east-1"
    bucket: str = "uploads"

    @property
    def access_key_id(self) -> str:
        """Give the access key id."""
        return self.credentials.access_key_id

    @property
    def secret_access_key(self) -> str:
        """Give the secret of the access key."""
        return self.credentials.secret_access_key

    def stop(self) -> None:
        """Stop the store; what it holds stays on the disk."""
        self.child.stop()


def kept_credentials(folder: Path) -> Credentials:
    """Give the key of the last start in *folder*, else make one that only the owner may read.

    Each folder has its own random key: a fixed one would be known to every page that can reach the port.
    """
    file = folder / "credentials"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"dev{secrets.token_hex(8)} {secrets.token_urlsafe(30)}\n")
    access_key_id, secret_access_key = file.read_text().split()
    return Credentials(access_key_id, secret_access_key)
