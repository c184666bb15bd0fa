"""Expiry: how long an upload stays open, each rule at its border."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from gateway.domain.errors import Gone
from gateway.domain.upload import State, Upload
from gateway.uploads.create import NewUpload
from gateway.uploads.expiry import (
    EXTEND_AFTER,
    LAST_POST_SECONDS,
    LATE_SECONDS,
    LEAST_RATE,
    expiry_of,
    extend_expiry,
    form_seconds,
    require_not_too_late,
)
from gateway.uploads.post_uploads import create_post_upload
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, World, wav

DAY = 86_400


def _life(upload: Upload) -> float:
    return (upload.expires_at - upload.created_at).total_seconds()


async def test_an_upload_in_parts_lives_as_long_as_the_policy_says(world: World) -> None:
    """A day, from its creation."""
    assert _life(await world.created(wav())) == DAY


@pytest.mark.parametrize(("size", "seconds"), [
    (None, 900 + LAST_POST_SECONDS),
    (9000, 900 + LAST_POST_SECONDS),
    (LEAST_RATE * 10_000, 900 + 10_000),
    (LEAST_RATE * DAY, DAY),
])  # fmt: skip
async def test_a_form_expires_when_the_slowest_sender_is_done(world: World, size: int | None, seconds: float) -> None:
    """The form's own time, and the time of the last POST: an hour, longer for a large file; at most the policy's."""
    gateway = world.with_policy(max_file_size=10**12)
    upload, _ = await create_post_upload(gateway, ACME, NewUpload("a.wav", size, as_post_upload=True))
    assert _life(upload) == seconds


def test_a_form_is_signed_for_at_most_half_the_life_of_an_upload(world: World) -> None:
    """With the usual settings 900 seconds; with a short life half of it."""
    assert form_seconds(world.gateway) == 900
    assert form_seconds(world.with_policy(upload_seconds=601)) == 300


@pytest.mark.parametrize(("used", "extended"), [(EXTEND_AFTER * DAY - 1, False), (EXTEND_AFTER * DAY, True)])
async def test_an_active_client_gets_more_time_after_a_tenth(world: World, used: float, extended: bool) -> None:
    """Earlier no row is written; then the upload expires a whole life from now."""
    upload = await world.created(wav())
    world.clock.move(used)
    later = await extend_expiry(world.gateway, upload)
    expected = world.clock() + timedelta(seconds=DAY) if extended else upload.expires_at
    assert (later.expires_at, world.row(upload.id).expires_at) == (expected, expected)


async def test_no_activity_extends_past_the_longest_life(world: World) -> None:
    """The policy's longest life counts from the creation."""
    upload = await world.created(wav())
    gateway = world.with_policy(upload_max_seconds=DAY + 100)
    world.clock.move(DAY / 2)
    assert _life(await extend_expiry(gateway, upload)) == DAY + 100


async def test_neither_a_form_nor_an_ended_upload_is_extended(world: World) -> None:
    """A form can be sent at no later time, and an ended upload needs none."""
    posted, parts = await world.posted(None), await world.created(wav())
    world.clock.move(posted.expires_at.timestamp() - world.clock().timestamp() - 1)
    assert await extend_expiry(world.gateway, posted) is posted
    world.clock.move(DAY / 2)
    ended = replace(parts, state=State.VALIDATING)
    assert await extend_expiry(world.gateway, ended) is ended
    assert world.row(posted.id).expires_at == posted.expires_at


async def test_expiry_counts_from_the_creation(world: World) -> None:
    """Not from the moment at which the store answered."""
    upload = await world.created(wav())
    world.clock.move(100)
    assert expiry_of(world.gateway, upload) == upload.created_at + timedelta(seconds=DAY)


@pytest.mark.parametrize(("late", "changed", "gone"), [
    (9999, {}, False),
    (0, {"receiver_token": uuid4()}, False),
    (1, {"receiver_token": uuid4()}, True),
    (0, {"post_key": "form"}, False),
    (1, {"post_key": "form"}, True),
    (LATE_SECONDS, {"token_id": uuid4()}, False),
    (LATE_SECONDS + 1, {"token_id": uuid4()}, True),
])  # fmt: skip
async def test_how_late_an_upload_can_be_completed(
    world: World, late: float, changed: dict[str, Any], gone: bool
) -> None:
    """With all its parts until it is swept; half a file of a dead receiver not at all; a token's within its time."""
    upload = replace(await world.created(wav()), **changed)
    world.clock.time = upload.expires_at + timedelta(seconds=late)
    if not gone:
        require_not_too_late(world.gateway, upload)
        return
    with pytest.raises(Gone, match=r"The upload expired at 2026-01-02T00:00:00\+00:00\.") as raised:
        require_not_too_late(world.gateway, upload)
    assert raised.value.fields == {"state": "expired"}


async def test_signing_extends_and_urls_end_with_the_upload(world: World) -> None:
    """A URL lives as long as the policy says, and in the last second of an upload one second."""
    upload = await world.created(wav())
    [signed] = await sign(world.gateway, ACME, upload.id, [WantedPart(1)])
    assert signed.request.expires_at == world.clock() + timedelta(seconds=3600)
    gateway = world.with_policy(upload_max_seconds=DAY)
    world.clock.time = upload.expires_at - timedelta(seconds=100)
    [signed] = await sign(gateway, ACME, upload.id, [WantedPart(1)])
    assert signed.request.expires_at == upload.expires_at
    world.clock.time = upload.expires_at - timedelta(seconds=0.5)
    [signed] = await sign(gateway, ACME, upload.id, [WantedPart(1)])
    assert (signed.request.expires_at - world.clock()).total_seconds() <= 1
