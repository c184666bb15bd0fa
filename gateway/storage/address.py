"""Compute the addresses of a bucket and its objects, in path style or virtual-host style."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from gateway.storage.sigv4 import encode_path

_DEFAULT_PORTS = {"http": 80, "https": 443}


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Locate one bucket. `origin` is scheme and authority; `host` is the `Host` header that a signature covers."""

    origin: str
    host: str
    base_path: str

    @classmethod
    def of(cls, endpoint: str, bucket: str, addressing_style: Literal["path", "virtual"]) -> Self:
        """Combine endpoint and bucket. Raises ValueError for an endpoint that is not an http(s) address."""
        parts = urlsplit(endpoint)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("the store's endpoint must look like https://host[:port]")
        if "@" in parts.netloc:
            raise ValueError("the store's endpoint must not carry a user name: keys have their own settings")
        # Clients omit a default port in Host, so the signature must omit it too.
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if parts.port is not None and parts.port != _DEFAULT_PORTS[parts.scheme]:
            host = f"{host}:{parts.port}"
        path = parts.path.rstrip("/")
        if addressing_style == "virtual" and _is_ip_address(parts.hostname):
            raise ValueError("virtual-host style needs a host name: a bucket cannot be put before an IP address")
        if addressing_style == "virtual":
            return cls(f"{parts.scheme}://{bucket}.{parts.netloc}", f"{bucket}.{host}", path)
        return cls(f"{parts.scheme}://{parts.netloc}", host, f"{path}/{bucket}")

    def path(self, key: str | None) -> str:
        """Return the encoded path of an object, or of the bucket itself."""
        return (self.base_path or "/") if key is None else f"{self.base_path}/{encode_path(key)}"
