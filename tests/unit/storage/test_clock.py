"""Follow the store's clock, but only as far as it can be trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gateway.storage.clock import StoreClock, utc_now

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seen(difference: timedelta) -> StoreClock:
    """Give a clock that has seen a store whose time is off by *difference*."""
    clock = StoreClock(lambda: NOW)
    clock.observe(format_datetime(NOW + difference, usegmt=True))
    return clock


@pytest.mark.parametrize("seconds", [-7200, -60, -6, 6, 1200, 86_400])
def test_a_difference_is_followed(seconds: int) -> None:
    """A store that is seconds to hours off is followed."""
    assert seen(timedelta(seconds=seconds))() == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [-5, -1, 0, 1, 5, 86_401, -86_401, 10**9])
def test_noise_and_nonsense_are_not_followed(seconds: int) -> None:
    """What a slow answer or a broken header explains changes nothing."""
    assert seen(timedelta(seconds=seconds))() == NOW


@pytest.mark.parametrize("header", [None, "", "yesterday", "Thu, 01 Jan 2026 13:00:00 -0000", "9" * 100])
def test_unreadable_dates_are_ignored(header: str | None) -> None:
    """A date that is missing, unreadable or without zone changes nothing."""
    clock = StoreClock(lambda: NOW)
    clock.observe(header)
    assert clock.offset == timedelta()


def test_dates_are_read_now_and_then_only() -> None:
    """The second answer within half a minute is not read, unless it is urgent."""
    clock = seen(timedelta(hours=1))
    later = format_datetime(NOW + timedelta(hours=2), usegmt=True)
    clock.observe(later)
    assert clock.offset == timedelta(hours=1)
    clock.observe(later, urgent=True)
    assert clock.offset == timedelta(hours=2)
    clock.observe(format_datetime(NOW, usegmt=True), urgent=True)
    assert clock.offset == timedelta()


def test_without_a_store_it_is_this_machines_time() -> None:
    """A clock that has seen nothing is aware UTC of this machine."""
    before = utc_now()
    assert before <= StoreClock()() <= utc_now()
    assert before.tzinfo is UTC
