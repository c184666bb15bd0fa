"""Count requests against a rate: an allowance (elsewhere: token bucket) a name, in bounded memory, without a lock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")

BURST_SECONDS = 60
"""Burst size: one minute's worth of requests. A client that was silent may send that many at once."""

MOST_NAMES = 20_000
"""Names remembered at once: 5 MB. The one that was silent longest is forgotten; nearly always its allowance is full."""

_SECOND = 1_000_000_000


class Recent(Generic[Name, Value]):
    """Remember a value for each of the names that were used last, at most *most* of them."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._values: OrderedDict[Name, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: Name) -> bool:
        return name in self._values

    def get(self, name: Name) -> Value | None:
        """Return the value of *name*, or None."""
        return self._values.get(name)

    def put(self, name: Name, value: Value) -> None:
        """Remember *value* as the newest."""
        self._values[name] = value
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def drop(self, name: Name) -> None:
        """Forget *name*, if it is known at all."""
        self._values.pop(name, None)


class Allowances:
    """Let each name take *per_second* on average, and a minute's worth at once; 0 a second lets everything pass.

    An allowance is one number, the time at which it will be full again: taking one moves that time on by what one
    needs to come back. *clock* gives nanoseconds, whole numbers that no addition rounds, and never goes back.
    """

    def __init__(self, per_second: int, clock: Callable[[], int], most: int = MOST_NAMES) -> None:
        self._interval = round(_SECOND / per_second) if per_second else 0
        self._depth = self._interval * per_second * BURST_SECONDS
        self._clock = clock
        self._full_at: Recent[Hashable, int] = Recent(most)

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: Hashable, units: int = 1) -> float:
        """Take *units* of *name*'s and return 0; or take none and return the seconds until there are enough.

        Units are at most one minute's worth.
        """
        if not self._interval:
            return 0.0
        now = self._clock()
        full_at = self._full_at.get(name)
        cost = self._interval * units
        after = (now if full_at is None or full_at < now else full_at) + cost
        missing = after - now - self._depth
        if missing > 0:
            # Used, so that it is not what is forgotten first: a flood of other names must not fill it again.
            self._full_at.put(name, after - cost)
            return missing / _SECOND
        self._full_at.put(name, after)
        return 0.0

    def wait(self, name: Hashable) -> float:
        """Return the seconds until one could be taken, without taking it."""
        full_at = self._full_at.get(name)
        if full_at is None:
            return 0.0
        return max(0, full_at + self._interval - self._clock() - self._depth) / _SECOND
