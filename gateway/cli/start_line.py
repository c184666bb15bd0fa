"""Begin the log of a process with one line: what runs, and with which parts."""

from __future__ import annotations

import logging
from importlib.metadata import version

from psycopg.conninfo import conninfo_to_dict

from gateway.settings import Settings

logger = logging.getLogger(__name__)


def log_start(command: str, settings: Settings, *, address: str | None = None) -> None:
    """Log version, address, database, store and bucket; neither passwords nor keys."""
    parts = {
        "version": version("upload-gateway"),
        **({"address": address} if address else {}),
        "database": database_place(settings.database_url.get_secret_value()),
        "store": settings.s3_endpoint,
        "bucket": settings.s3_bucket,
    }
    logger.info("gateway %s starts", command, extra=parts)


def database_place(url: str) -> str:
    """Return user, host, port and name of a database by its connection URL, without password and options."""
    parts = conninfo_to_dict(url)
    host = str(parts.get("host") or parts.get("hostaddr") or "localhost")
    shown = f"[{host}]" if ":" in host else host
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{shown}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"
