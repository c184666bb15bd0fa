"""Read sizes such as `5GiB` and times such as `1h30m` from settings."""

from __future__ import annotations

import re
from decimal import Decimal

SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
"""Bytes of each unit. `5G` is `5GiB`, as nginx and Docker read it; `5GB` is 5,000,000,000."""

TIME_UNITS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "sec": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
"""Seconds of each unit."""

_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,9})?"
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]{{0,3}})")
_TIME = re.compile(rf"(?:{_NUMBER}\s*(?:{'|'.join(TIME_UNITS)})\s*){{1,6}}")
_TIME_ITEM = re.compile(rf"({_NUMBER})\s*([a-z]+)")


def parse_size(value: object) -> object:
    """Return the bytes of a text such as `5GiB`, `512 MB` or `16Mi`; return any other value unchanged."""
    if not isinstance(value, str) or (found := _SIZE.fullmatch(value.strip().lower())) is None:
        return value
    if found[2] not in SIZE_UNITS:
        return value
    size = Decimal(found[1]) * SIZE_UNITS[found[2]]
    return int(size) if size == int(size) else value


def parse_seconds(value: object) -> object:
    """Return the seconds of a text such as `1h`, `1h30m` or `500ms`; return any other value unchanged."""
    if not isinstance(value, str) or _TIME.fullmatch(text := value.strip().lower()) is None:
        return value
    seconds = sum((Decimal(number) * TIME_UNITS[unit] for number, unit in _TIME_ITEM.findall(text)), Decimal(0))
    return str(seconds.normalize()) if seconds != int(seconds) else str(int(seconds))
