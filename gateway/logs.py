"""Write logs as one JSON object a line, with nothing in them that opens a door."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_SECRETS = re.compile(
    r"(X-Amz-(?:Signature|Credential|Security-Token)=|x-amz-signature[\"':= ]+|Signature=|Bearer |ticket=|/uppy/)"
    r"[^\s\"'&,;/]+",
    re.IGNORECASE,
)
# What comes after a beginning may be missing: demanded, it would be looked for from each beginning to the text's end.
_KEYS = re.compile(
    r"\bgw_[0-9a-f]{10}_[0-9A-Za-z_-]{8,}|\bgwt_[0-9A-Za-z_-]{8,}|\beyJ[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_.-]+)?"
)
_PASSWORD = re.compile(r"(?<![a-z0-9+])([a-z0-9+]++://[^\s:/@]++:)[^\s@]++(@?)", re.IGNORECASE)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

LIMIT = 8192
"""Characters of one text in a line; a longer one is a dump, not a message."""


def redact(text: str) -> str:
    """Blank signatures, credentials, tokens, keys and passwords, wherever they came from."""
    text = _SECRETS.sub(r"\1[redacted]", text[:LIMIT])
    return _PASSWORD.sub(_without_password, _KEYS.sub("[redacted]", text))


def _without_password(found: re.Match[str]) -> str:
    return f"{found[1]}[redacted]@" if found[2] else found[0]


class JsonFormatter(logging.Formatter):
    """Write a record as one line: JSON escapes CR, LF and escape codes, so that no file name forges a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and not name.startswith("_"):
                line[name] = value if isinstance(value, int | float | bool | None) else redact(str(value))
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        # U+2028 and U+2029 end a line for some readers, and JSON lets them through.
        text = orjson.dumps(line, default=str).decode()
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x7f", "\\u007f")


def _no_socket_address(record: logging.LogRecord) -> bool:
    return '"WebSocket ' not in str(record.msg)


def configure(level: str) -> None:
    """Send every logger's lines to standard error; libraries that would print requests speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    # uvicorn writes the whole address of each WebSocket, ticket included; our own access log writes the route.
    logging.getLogger("uvicorn.error").addFilter(_no_socket_address)
    # Debug lines of these carry signed URLs and headers.
    for name in ("botocore", "aiobotocore", "boto3", "aiohttp", "asyncio", "httpx", "procrastinate", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.WARNING)
