"""The rate of an upload is smooth, starts at once and is never negative."""

from __future__ import annotations

import pytest

from gateway.domain.progress import smooth_rate
from gateway.watching.event_logs import IDLE_POLL_SECONDS, MAX_POLL_SECONDS, POLL_SECONDS, next_pause


def test_one_look_is_no_rate() -> None:
    """Before there are two looks nothing is claimed."""
    assert smooth_rate(None, None, None, 100) is None
    assert smooth_rate(0, None, 0.0, 100) is None


@pytest.mark.parametrize("before", [None, 0.0])
def test_the_first_bytes_set_the_rate(before: float | None) -> None:
    """An upload that begins after a pause is as fast as its first bytes, not slowed by the pause."""
    assert smooth_rate(0, before, 2.0, 1000) == 500


def test_a_burst_moves_the_rate_little() -> None:
    """A part that lands whole is spread over the seconds before and after."""
    rate: float | None = 1000.0
    received = 0
    for second in range(1, 40):
        new = 10_000 if second % 10 == 0 else 0
        rate = smooth_rate(received, rate, 1.0, received + new)
        received += new
        assert rate is not None
        assert 300 < rate < 2000


def test_a_smaller_part_sent_again_is_no_negative_speed() -> None:
    """Fewer bytes than before count as none."""
    rate = smooth_rate(1000, 100.0, 1.0, 500)
    assert rate == pytest.approx(90)


def test_a_poll_pause_is_bounded_however_slow_the_store_is() -> None:
    """Idle polls grow to five seconds, slow ones take a fifth of the time, and none waits longer than the limit."""
    assert next_pause(1.0, poll_seconds=0.01, idle=False) == POLL_SECONDS
    assert next_pause(4.0, poll_seconds=0.01, idle=True) == IDLE_POLL_SECONDS
    assert next_pause(1.0, poll_seconds=2.0, idle=False) == 10.0
    assert next_pause(1.0, poll_seconds=100.0, idle=True) == MAX_POLL_SECONDS
