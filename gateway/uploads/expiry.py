"""Say how long a browser form is accepted, and how long its upload waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.context import Gateway
from gateway.domain.upload import Upload

LAST_POST_SECONDS = 3600.0
"""Time for a POST that began at the last moment: 100 MiB, up to which Uppy sends forms, at 250 kbit/s."""

LEAST_RATE = 32 * 1024
"""Bytes per second that a sender is waited for where the size is known."""


def form_seconds(gateway: Gateway) -> int:
    """Return the time from signing a form until the store takes it no more, in seconds."""
    return min(gateway.post_policy_seconds, gateway.policy.upload_seconds // 2)


def expiry_of(gateway: Gateway, upload: Upload) -> datetime:
    """Return when an upload expires that was just opened.

    A form that the store refused tells nobody, and its upload counts against its token until it expires: so it expires
    when no form can come any more, and not when a large upload in parts would.
    """
    seconds = float(gateway.policy.upload_seconds)
    if upload.is_post_upload:
        post = max(LAST_POST_SECONDS, (upload.declared_size_bytes or 0) / LEAST_RATE)
        seconds = min(seconds, form_seconds(gateway) + post)
    return upload.created_at + timedelta(seconds=seconds)
