"""Limit the use of one upload token, API key and tenant: at once, per day and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from gateway.domain.errors import CreatesExhausted, TokenExhausted, TooManyUploads

Scope = Literal["token", "key", "tenant"]

CREATES_PER_FILE = 10
"""Creates that a token with `max_files` has for each file: uploads may be aborted and begun again, but not for ever."""

MIN_CREATES = 20
"""Creates that a token has however few files it is for."""

OPEN_RETRY_SECONDS = 60
"""Uploads end at any time; clients that ask sooner only add load."""

_NAMES: Mapping[Scope, str] = {"token": "This upload token", "key": "This API key", "tenant": "This tenant"}


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The limits of one scope; 0 is no limit."""

    open_uploads: int = 0
    open_bytes: int = 0
    creates: int = 0
    creates_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The limits of all scopes."""

    token: Ceiling = field(default_factory=Ceiling)
    key: Ceiling = field(default_factory=Ceiling)
    tenant: Ceiling = field(default_factory=Ceiling)

    def of(self, scope: Scope) -> Ceiling:
        """Return the limits of one scope."""
        return {"token": self.token, "key": self.key, "tenant": self.tenant}[scope]


@dataclass(frozen=True, slots=True)
class Usage:
    """Current use of one token, key or tenant; sizes in bytes."""

    open_uploads: int = 0
    open_bytes: int = 0
    creates: int = 0
    files: int = 0
    """Creates without those that were aborted or have expired."""
    creates_today: int = 0


def check_room(
    scope: Scope, usage: Usage, ceiling: Ceiling, *, size_bytes: int, now: datetime, max_files: int | None = None
) -> None:
    """Raise TooManyUploads, TokenExhausted or CreatesExhausted when one more upload would pass a limit."""
    who = _NAMES[scope]
    creates = ceiling.creates
    if max_files is not None:
        by_files = max(MIN_CREATES, CREATES_PER_FILE * max_files)
        creates = min(creates, by_files) if creates else by_files
    if creates and usage.creates >= creates:
        exhausted = TokenExhausted if scope == "token" else CreatesExhausted
        raise exhausted(f"{who} has created {creates} uploads, which is all it may.")
    if ceiling.creates_per_day and usage.creates_today >= ceiling.creates_per_day:
        raise TooManyUploads(
            f"{who} has created {ceiling.creates_per_day} uploads today, which is all it may in a day.",
            retry_after=seconds_to_midnight(now),
        )
    if ceiling.open_uploads and usage.open_uploads >= ceiling.open_uploads:
        raise TooManyUploads(
            f"{who} has {ceiling.open_uploads} uploads open. Complete or abort some.", retry_after=OPEN_RETRY_SECONDS
        )
    if ceiling.open_bytes and usage.open_uploads and usage.open_bytes + size_bytes > ceiling.open_bytes:
        raise TooManyUploads(
            f"{who} may have {ceiling.open_bytes} bytes in open uploads. Complete or abort some.",
            retry_after=OPEN_RETRY_SECONDS,
        )


def seconds_to_midnight(now: datetime) -> int:
    """Return the seconds until the next day begins in UTC, at least one."""
    utc = now.astimezone(UTC)
    midnight = (utc + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, int((midnight - utc).total_seconds()))
