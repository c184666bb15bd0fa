"""Turn the signals that end a program into an ordinary way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """A signal asked for the end. Not an Exception: nothing on the way up may take it for a failure."""


@contextmanager
def signals_stop() -> Iterator[None]:
    """Turn the first INT, TERM or HUP into Stopped and ignore the rest, so that stopping is not itself interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
