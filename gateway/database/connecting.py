"""Describe the connection to PostgreSQL, direct or through PgBouncer, and diagnose failures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

DIAGNOSIS_SECONDS = 2
"""Longest wait of a diagnosis; libpq waits at least two seconds."""

OK = "ok"

POOLER = (
    "GATEWAY_DATABASE_URL leads to a connection pooler in transaction mode. Set GATEWAY_DATABASE_DIRECT_URL to "
    "PostgreSQL itself: migrations, jobs and notices need their own session"
)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Name the connection URLs: *url* for requests, *direct_url* for a session when *url* is a pooler's."""

    url: str
    direct_url: str | None = None

    @property
    def session_url(self) -> str:
        """Return the URL for LISTEN, jobs and migrations, which a pooler in transaction mode breaks."""
        return self.direct_url or self.url

    @property
    def through_pooler(self) -> bool:
        """Return whether requests go through a pooler that lends a connection for one transaction."""
        return self.direct_url is not None

    def connect_options(self, timeout_seconds: float) -> dict[str, Any]:
        """Return the keyword arguments of one connection for requests.

        PgBouncer refuses the startup parameter `options`, and a prepared statement would exist on one of its server
        connections only.
        """
        options: dict[str, Any] = {"autocommit": True, "connect_timeout": max(2, int(timeout_seconds))}
        if self.through_pooler:
            return {**options, "prepare_threshold": None}
        settings = f"-c statement_timeout={int(timeout_seconds * 1000)} -c timezone=UTC"
        return {**options, "options": settings}


def is_postgresql_url(text: str) -> bool:
    """Return whether *text* is a connection string that libpq can read; nothing is connected to."""
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in ("postgresql", "postgres"):
        return False
    try:
        ports = str(conninfo_to_dict(text).get("port", "5432")).split(",")
    except (psycopg.ProgrammingError, UnicodeError):
        return False
    # libpq reads the port only when it connects.
    return all(port.isdecimal() and 0 < int(port) < 65_536 for port in ports if port)


async def diagnose(address: DatabaseAddress, timeout_seconds: float) -> str:
    """Return OK, POOLER for a pooler that is not declared, or the reason why no connection is possible.

    The sentence names no host, user or password: it is shown to strangers by /readyz.
    """
    options = {**address.connect_options(timeout_seconds), "connect_timeout": DIAGNOSIS_SECONDS}
    try:
        async with asyncio.timeout(DIAGNOSIS_SECONDS + 1):
            async with await psycopg.AsyncConnection.connect(address.url, **options) as connection:
                if address.through_pooler:
                    await connection.execute("SELECT 1")
                    return OK
                cursor = await connection.execute("SHOW statement_timeout")
                row = await cursor.fetchone()
                # A pooler that ignores the startup option gives a session without the timeout.
                return OK if row is not None and row[0] != "0" else POOLER
    except TimeoutError:
        return "the database does not answer in time"
    except (psycopg.Error, OSError) as exc:
        return _reason(exc)


def _reason(exc: Exception) -> str:
    if isinstance(exc, errors.InvalidPassword | errors.InvalidAuthorizationSpecification):
        return "the database refuses the user or the password"
    text = str(exc).lower()
    for part, reason in _REASONS.items():
        if part in text:
            return reason
    return "the database cannot be reached"


_REASONS = {
    "unsupported startup parameter": POOLER,
    "password authentication failed": "the database refuses the user or the password",
    "no password supplied": "the database wants a password",
    "authentication failed": "the database refuses the user or the password",
    "does not exist": "the database or its user does not exist",
    "no pg_hba.conf entry": "the database does not let this host in (pg_hba.conf)",
    "connection refused": "the database refuses the connection: nothing listens there",
    "no such file or directory": "the database's socket does not exist",
    "name or service not known": "the name of the database's host is unknown",
    "name resolution": "the name of the database's host cannot be resolved",
    "too many": "the database has no connection left",
    "remaining connection slots": "the database has no connection left",
    "starting up": "the database is starting up",
    "shutting down": "the database is shutting down",
    "timeout": "the database does not answer in time",
    "timed out": "the database does not answer in time",
    "certificate": "the TLS certificate of the database is not accepted",
    "ssl": "the database and this process do not agree on TLS",
    "no route to host": "there is no route to the database's host",
    "network is unreachable": "there is no route to the database's host",
}
"""What libpq and PostgreSQL write, which has no error code before a session exists, and the sentence for it."""
