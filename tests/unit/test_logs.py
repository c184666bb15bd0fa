"""G3 and G4: what may not be in a log is not in a log, and one record is one line."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from gateway.logs import JsonFormatter, redact

SIGNATURE = "0123456789abcdef" * 4
KEY = "gw_0123456789_" + "A" * 43
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"PUT http://s/b/k?X-Amz-Credential=AK%2F20260101&X-Amz-Signature={SIGNATURE}",
        f"x-amz-signature: {SIGNATURE}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=AK/x, SignedHeaders=host, Signature={SIGNATURE}",
        f"Bearer {KEY}",
        f"key {KEY} failed",
        f"/uppy/{TOKEN}/s3/multipart",
        f"?ticket={SIGNATURE}",
        "postgresql://gateway:SECRET@127.0.0.1/x",
        "_postgresql://gateway:SECRET@127.0.0.1/x",
        "http://127.0.0.1:80/x,postgresql://gateway:SECRET@127.0.0.1/x",
        TOKEN.partition(".")[0],
    ],
)
def test_g3_secrets_are_blanked(text: str) -> None:
    """Signatures, keys, tokens, tickets and passwords do not come through."""
    for secret in (SIGNATURE, KEY, TOKEN, TOKEN.partition(".")[0], "SECRET"):
        assert secret not in redact(text)
    assert "[redacted]" in redact(text)


def test_g3_exceptions_are_blanked_too() -> None:
    """A traceback that quotes a URL loses its signature."""
    try:
        raise RuntimeError(f"GET /x?X-Amz-Signature={SIGNATURE}")
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    assert SIGNATURE not in JsonFormatter().format(record)


def test_g4_a_name_makes_no_second_line() -> None:
    """CR, LF, escape codes and U+2028 of a file name stay inside one JSON line."""
    name = 'a\r\n{"level":"error"}\x1b[31m\u2028\u2029\x7f.mp3'
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (name,), None)
    record.__dict__["filename_given"] = name
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert json.loads(line)["filename_given"] == name
    assert json.loads(line)["message"] == f"got {name}"


def test_numbers_stay_numbers() -> None:
    """Fields that are numbers or flags are not turned into text."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None)
    record.__dict__.update(status=200, ms=1.5, ok=True, nothing=None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["status"], line["ms"], line["ok"], line["nothing"]) == (200, 1.5, True, None)
