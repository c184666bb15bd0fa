"""Say on whose behalf a request is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Name the tenant a request acts for and the key it came with; both come from our rows, never from the client."""

    tenant_id: str
    key_id: str
