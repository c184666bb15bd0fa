"""Make a mistake in a format's code fail the test that found it: the engine turns it into a refusal and a log line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class _Loud(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(f"{record.__dict__.get('format')}: {record.__dict__.get('error')}") from (
            record.exc_info[1] if record.exc_info else None
        )


@contextmanager
def loud() -> Iterator[None]:
    """Raise for every error that detection logs."""
    handler = _Loud(logging.ERROR)
    logger = logging.getLogger("gateway.detection")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.fixture(scope="module")
def no_mistakes() -> Iterator[None]:
    with loud():
        yield
