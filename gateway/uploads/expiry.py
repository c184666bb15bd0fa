"""Decide how long an upload stays open, and how long its form is accepted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from gateway.context import Gateway
from gateway.domain.errors import Gone
from gateway.domain.upload import State, Upload

LAST_POST_SECONDS = 3600.0
"""Time for a POST that began at the last moment: 100 MiB, up to which Uppy sends forms, at 250 kbit/s."""

LEAST_RATE = 32 * 1024
"""Slowest sender that is waited for where the size is known, in bytes per second."""


EXTEND_AFTER = 0.1
"""Part of its life that an upload has used before activity extends it: not every request writes a row."""

LATE_SECONDS = 30.0
"""Time after its expiry in which an upload of a token can be completed, seconds.

One minute after its expiry, the upload no longer counts against `max_files`, and another may have taken its place.
"""


def form_seconds(gateway: Gateway) -> int:
    """Return the time from signing a form until the store takes it no more, in seconds."""
    return min(gateway.post_policy_seconds, gateway.policy.upload_seconds // 2)


def expiry_of(gateway: Gateway, upload: Upload) -> datetime:
    """Return when an upload that was just opened expires.

    The store does not report a form that it refused, and the upload counts against its token until it expires. A POST
    upload therefore expires once no form can arrive any more, earlier than a large upload in parts.
    """
    seconds = float(gateway.policy.upload_seconds)
    if upload.is_post_upload:
        post = max(LAST_POST_SECONDS, (upload.declared_size_bytes or 0) / LEAST_RATE)
        seconds = min(seconds, form_seconds(gateway) + post)
    return upload.created_at + timedelta(seconds=seconds)


async def extend_expiry(gateway: Gateway, upload: Upload) -> Upload:
    """Return the upload with a later expiry, because its client is active; a POST upload keeps its expiry.

    An upload whose client still sends parts must not end at a fixed time after its creation.
    """
    policy = gateway.policy
    if upload.is_post_upload or upload.state is not State.UPLOADING:
        return upload
    left = (upload.expires_at - gateway.now()).total_seconds()
    if left > policy.upload_seconds * (1 - EXTEND_AFTER):
        return upload
    later = await gateway.uploads.extend(
        upload.id, seconds=policy.upload_seconds, max_seconds=policy.upload_max_seconds
    )
    return upload if later is None else replace(upload, expires_at=later)


def require_not_too_late(gateway: Gateway, upload: Upload) -> None:
    """Raise Gone for an expired upload that can no longer be completed.

    All its parts may be in the store, and until the sweeper removes them there is no reason to refuse it.
    """
    late = (gateway.now() - upload.expires_at).total_seconds()
    # The process that received the file may have died: its parts may be half a file, and no plan can show it.
    received_here = upload.is_post_upload or upload.receiver_token is not None
    if late > 0 and (received_here or (upload.token_id is not None and late > LATE_SECONDS)):
        raise Gone(f"The upload expired at {upload.expires_at.isoformat()}.", state=State.EXPIRED.value)
