"""Plan the parts of an upload and compare the stored parts with the plan.

S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

from gateway.domain.errors import Invalid, TooLarge

MIB = 1024 * 1024
GIB = 1024 * MIB

S3_MIN_PART_SIZE = 5 * MIB
"""Every part but the last is at least this large; S3 answers EntityTooSmall below it."""

S3_MAX_PART_SIZE = 5 * GIB
"""One PUT of a part carries at most this much."""

S3_MAX_PARTS = 10_000
"""Part numbers run from 1 to 10,000."""


@dataclass(frozen=True, slots=True)
class PartBounds:
    """Bound the parts the gateway plans, in bytes and in number."""

    min_part_size: int
    max_part_size: int
    target_part_count: int


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Say how an object of a known size is cut: all parts alike, the last one takes the rest."""

    size_bytes: int
    part_size_bytes: int

    @property
    def part_count(self) -> int:
        """Count the parts; a file of one byte has one."""
        return -(-self.size_bytes // self.part_size_bytes)

    def size_of(self, part_number: int) -> int:
        """Return the size of one part in bytes; raise Invalid for a number outside the plan."""
        if not 1 <= part_number <= self.part_count:
            raise Invalid(f"Part numbers of this upload run from 1 to {self.part_count}.", part_number=part_number)
        if part_number < self.part_count:
            return self.part_size_bytes
        return self.size_bytes - self.part_size_bytes * (self.part_count - 1)


def plan_parts(size_bytes: int, bounds: PartBounds, requested_part_size: int | None = None) -> PartPlan:
    """Plan the parts of an object of *size_bytes* (1 byte or more).

    Raises Invalid when the requested part size breaks one of S3's limits, TooLarge when no plan fits them.
    """
    if requested_part_size is not None:
        return _requested_plan(size_bytes, requested_part_size)
    part_size = bounds.min_part_size
    if -(-size_bytes // part_size) > bounds.target_part_count:
        part_size = max(part_size, min(_whole_mib(size_bytes, bounds.target_part_count), bounds.max_part_size))
    if -(-size_bytes // part_size) > S3_MAX_PARTS:
        part_size = max(part_size, _whole_mib(size_bytes, S3_MAX_PARTS))
    if part_size > S3_MAX_PART_SIZE:
        raise TooLarge("The store takes at most 10,000 parts of 5 GiB.")
    return PartPlan(size_bytes, part_size)


def _requested_plan(size_bytes: int, part_size: int) -> PartPlan:
    if not S3_MIN_PART_SIZE <= part_size <= S3_MAX_PART_SIZE:
        raise Invalid(f"part_size_bytes must lie between {S3_MIN_PART_SIZE} (5 MiB) and {S3_MAX_PART_SIZE} (5 GiB).")
    plan = PartPlan(size_bytes, part_size)
    if plan.part_count > S3_MAX_PARTS:
        raise Invalid(f"part_size_bytes of {part_size} makes more than {S3_MAX_PARTS} parts.")
    return plan


def _whole_mib(size_bytes: int, count: int) -> int:
    """Round the size of one of *count* parts up to whole MiB, so that offsets stay readable."""
    return math.ceil(Fraction(size_bytes, count * MIB)) * MIB


UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part as the store holds it: etag without quotes, base64 SHA-256 where the store keeps it."""

    part_number: int
    size_bytes: int
    etag: str
    checksum_sha256: str | None = None
    last_modified: datetime = field(default=UNKNOWN_TIME, compare=False)


@dataclass(frozen=True, slots=True)
class ClientPart:
    """A part in the list that a client sends when it completes."""

    part_number: int
    etag: str


@dataclass(frozen=True, slots=True)
class PartsDifference:
    """Say in which parts the store, the client and the plan do not agree, by part number."""

    missing: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    duplicate: tuple[int, ...] = ()
    wrong_size: tuple[int, ...] = ()
    wrong_etag: tuple[int, ...] = ()
    out_of_order: tuple[int, ...] = ()
    reasons: dict[str, list[int]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        names = ("missing", "extra", "duplicate", "wrong_size", "wrong_etag", "out_of_order")
        found = {name: list(getattr(self, name)) for name in names if getattr(self, name)}
        object.__setattr__(self, "reasons", found)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def sentence(self) -> str:
        """Name at most ten parts of each kind in one sentence."""
        said = []
        for name, numbers in self.reasons.items():
            more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
            said.append(f"{name.replace('_', ' ')}: {', '.join(map(str, numbers[:10]))}{more}")
        return f"Parts do not match the plan ({'; '.join(said)})."


def compare_with_plan(plan: PartPlan, held: Iterable[StoredPart]) -> PartsDifference:
    """Compare the parts in the store, each number once, with the plan.

    A subset of the parts completes without an error on every store, so nothing but this stands against a hole.
    """
    sizes = {part.part_number: part.size_bytes for part in held}
    count = plan.part_count
    return PartsDifference(
        missing=tuple(number for number in range(1, count + 1) if number not in sizes),
        extra=tuple(sorted(number for number in sizes if not 1 <= number <= count)),
        wrong_size=tuple(
            number for number in sorted(sizes) if 1 <= number <= count and sizes[number] != plan.size_of(number)
        ),
    )


def compare_unplanned(held: Sequence[StoredPart]) -> PartsDifference:
    """Compare the parts of an upload of undeclared size with S3's rules: no hole, none too small but the last."""
    numbers = sorted(part.part_number for part in held)
    last = numbers[-1] if numbers else 1
    present = set(numbers)
    small = (p.part_number for p in held if p.part_number != last and p.size_bytes < S3_MIN_PART_SIZE)
    return PartsDifference(
        missing=tuple(number for number in range(1, last + 1) if number not in present),
        wrong_size=tuple(sorted(small)),
    )


def compare_with_client(named: Sequence[ClientPart], held: Iterable[StoredPart]) -> PartsDifference:
    """Compare the parts the client names with those in the store; the ETag of a part sent twice is the later one's."""
    etags = {part.part_number: part.etag for part in held}
    numbers = [part.part_number for part in named]
    counts = Counter(numbers)
    return PartsDifference(
        missing=tuple(sorted({number for number in numbers if number not in etags})),
        extra=tuple(sorted(number for number in etags if number not in counts)),
        duplicate=tuple(sorted(number for number, times in counts.items() if times > 1)),
        wrong_etag=tuple(
            sorted({part.part_number for part in named if etags.get(part.part_number, part.etag) != part.etag})
        ),
        out_of_order=tuple(later for earlier, later in pairwise(numbers) if later < earlier),
    )
