"""Say what an upload of a file would be answered, from its name, its size and some of its bytes; nothing is stored.

The check of the assembled object decides; engine, rules and sentences are the same there and here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.detection import Verdict, examine
from gateway.domain.errors import GatewayError, Invalid
from gateway.domain.policy import FileRules, check_extension, check_filename, check_size
from gateway.domain.rejection import Rejection
from gateway.uploads.decide import Decision, decide

MAX_INSPECT_BYTES = 256 * 1024
"""Most bytes of one file in all ranges: the validation of an upload may read as many."""
MAX_RANGES = 24


@dataclass(frozen=True, slots=True)
class KnownRange:
    """Bytes of the file that the client sent, and the offset at which they begin."""

    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Inspection:
    """The answer: a rejection or a decision, or the ranges (start, length) that the check needs first."""

    decision: Decision | None = None
    rejection: Rejection | None = None
    wanted: tuple[tuple[int, int], ...] = ()


def inspect_ranges(rules: FileRules, filename: str, size_bytes: int, ranges: Sequence[KnownRange]) -> Inspection:
    """Check name and size, then the bytes as far as they are known.

    Raises Invalid for ranges outside of the file, too many of them or too many bytes.
    """
    _check_ranges(size_bytes, ranges)
    check_filename(filename)
    try:
        check_size(size_bytes, rules)
        check_extension(filename, rules)
    except GatewayError as exc:
        return Inspection(rejection=Rejection(exc.code, exc.detail))
    steps = examine(size_bytes)
    try:
        request = next(steps)
        while True:
            found = _find(ranges, *request)
            if found is None:
                return Inspection(wanted=_missing(ranges, request))
            request = steps.send(found)
    except StopIteration as stop:
        verdict: Verdict = stop.value
        decision = decide(rules, filename, verdict)
        return Inspection(decision, decision.rejection)
    finally:
        steps.close()


def _check_ranges(size_bytes: int, ranges: Sequence[KnownRange]) -> None:
    if len(ranges) > MAX_RANGES or sum(len(known.data) for known in ranges) > MAX_INSPECT_BYTES:
        raise Invalid(f"At most {MAX_RANGES} ranges with {MAX_INSPECT_BYTES} bytes in all may be sent.")
    if any(known.start < 0 or known.start + len(known.data) > size_bytes for known in ranges):
        raise Invalid("A range lies outside of the file.")


def _find(ranges: Sequence[KnownRange], start: int, length: int) -> bytes | None:
    """Return the bytes of a request, joined from ranges that touch or overlap; None where some are missing."""
    joined = b""
    while len(joined) < length:
        at = start + len(joined)
        known = next((one for one in ranges if one.start <= at < one.start + len(one.data)), None)
        if known is None:
            return None
        joined += known.data[at - known.start :]
    return joined[:length]


def _missing(ranges: Sequence[KnownRange], request: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the part of a request that is not known: its beginning may be."""
    start, length = request
    end = start + length
    while start < end:
        known = next((one for one in ranges if one.start <= start < one.start + len(one.data)), None)
        if known is None:
            break
        start = known.start + len(known.data)
    return ((start, end - start),)
