"""Compute the transfer rate of an upload from two measurements."""

from __future__ import annotations

RATE_MEMORY_SECONDS = 10.0
"""Time over which a rate is smoothed, seconds."""


def smooth_rate(
    bytes_before: int | None, rate_before: float | None, seconds: float | None, bytes_received: int
) -> float | None:
    """Return the rate in bytes per second, smoothed over RATE_MEMORY_SECONDS; None for the first measurement."""
    if bytes_before is None or not seconds:
        return None
    # A part that is sent again and is smaller gives no negative rate.
    rate = max(0, bytes_received - bytes_before) / seconds
    if not rate_before:
        return rate
    weight = min(1.0, seconds / RATE_MEMORY_SECONDS)
    return rate_before * (1 - weight) + rate * weight
