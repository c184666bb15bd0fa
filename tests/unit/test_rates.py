"""Token allowances, with a clock that stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.domain.rates import BURST_SECONDS, Allowances, Recent

SECOND = 1_000_000_000


@dataclass
class Clock:
    """Tell nanoseconds, of which only the test makes more."""

    now: int = 7 * SECOND

    def __call__(self) -> int:
        """Tell the time."""
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


def _taken(allowances: Allowances, name: str = "a", tries: int = 100_000) -> int:
    for count in range(tries):
        if allowances.take(name) > 0:
            return count
    raise AssertionError("it never ended")


@pytest.mark.parametrize("per_second", [1, 3, 7, 200, 999])
def test_g6_an_allowance_holds_exactly_a_minute(clock: Clock, per_second: int) -> None:
    """From a full allowance a minute's worth is taken at once, no more or less, also at rates that divide no second."""
    allowances = Allowances(per_second, clock)
    assert _taken(allowances) == per_second * BURST_SECONDS
    assert allowances.take("a") > 0


@pytest.mark.parametrize("per_second", [1, 3, 7, 200, 999])
def test_g6_what_is_told_to_wait_is_true(clock: Clock, per_second: int) -> None:
    """A nanosecond before the time that was told nothing passes; then one does, and the next waits as long again."""
    allowances = Allowances(per_second, clock)
    _taken(allowances)
    for _ in range(3):
        told = allowances.take("a")
        assert told == allowances.wait("a") == pytest.approx(1 / per_second, abs=1e-9)
        clock.move(told - 1e-9)
        assert allowances.take("a") > 0
        clock.move(1e-9)
        assert allowances.take("a") == 0


def test_g6_an_allowance_fills_at_its_rate_and_no_higher_than_full(clock: Clock) -> None:
    """A second brings a second's worth, an hour no more than a minute's; refusals cost nothing."""
    allowances = Allowances(5, clock)
    _taken(allowances)
    for _ in range(1000):
        assert allowances.take("a") > 0
    clock.move(1)
    assert _taken(allowances) == 5
    clock.move(3600)
    assert _taken(allowances) == 5 * BURST_SECONDS


def test_g6_names_do_not_touch_each_other(clock: Clock) -> None:
    """What one name takes is not missing to another, and looking takes nothing."""
    allowances = Allowances(2, clock)
    _taken(allowances, "a")
    assert [allowances.wait("b"), len(allowances)] == [0, 1]
    assert _taken(allowances, "b") == 2 * BURST_SECONDS


def test_g6_nothing_a_second_is_no_limit(clock: Clock) -> None:
    """With 0 everything passes and nothing is remembered."""
    allowances = Allowances(0, clock)
    assert {allowances.take(str(number % 3)) for number in range(1000)} == {0}
    assert [allowances.wait("1"), len(allowances)] == [0, 0]


def test_g6_a_flood_of_names_stays_small_and_frees_nobody_in_use(clock: Clock) -> None:
    """Never more than the most is remembered, and a refused name that goes on trying is not what is forgotten."""
    allowances = Allowances(1, clock, most=100)
    _taken(allowances, "guilty")
    for number in range(10_000):
        allowances.take(f"flood {number}")
        assert len(allowances) <= 100
        if number % 50 == 0:
            assert allowances.take("guilty") > 0
    assert allowances.wait("flood 0") == 0


def test_what_was_used_last_is_remembered() -> None:
    """The oldest goes first, using makes new, and what was dropped is unknown."""
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.put("a", 3)
    recent.put("c", 4)
    assert [recent.get("a"), recent.get("b"), recent.get("c")] == [3, None, 4]
    recent.drop("a")
    recent.drop("a")
    assert "a" not in recent
    assert len(recent) == 1
