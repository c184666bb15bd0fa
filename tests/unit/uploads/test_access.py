"""Access: pages of uploads, and waiting for a state."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import Gone, NotFound, Unauthenticated, WrongState
from gateway.domain.upload import State
from gateway.maintenance.sweep import expire
from gateway.uploads import access
from gateway.uploads.abort import abort
from gateway.uploads.access import list_page, load, request_check, wait_until
from gateway.uploads.complete import complete
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, OTHER, World, wav


async def test_pages_are_newest_first_and_end_with_no_cursor(world: World) -> None:
    """Five uploads are pages of three and two; the cursor of each page starts the next one."""
    made = sorted([(await world.created(wav())).id for _ in range(5)])
    pages, before = [], None
    for _ in range(2):
        page, before = await list_page(world.gateway, ACME, state=None, before=before, limit=3)
        pages.append([upload.id for upload in page])
    assert pages == [made[4:1:-1], made[1::-1]]
    assert before is None
    page, before = await list_page(world.gateway, ACME, state=None, before=None, limit=5)
    assert (len(page), before) == (5, None)


async def test_a_page_holds_one_state_of_one_tenant(world: World) -> None:
    """Uploads in other states and of other tenants are left out."""
    aborted, _ = await world.created(wav()), await world.created(wav())
    await abort(world.gateway, ACME, aborted.id)
    page, _ = await list_page(world.gateway, ACME, state=State.ABORTED, before=None, limit=9)
    assert [upload.id for upload in page] == [aborted.id]
    assert await list_page(world.gateway, OTHER, state=None, before=None, limit=9) == ([], None)


async def test_a_revoked_token_lists_nothing(world: World) -> None:
    """It is told why, in place of an empty page."""
    bearer = world.bearer(live=False)
    with pytest.raises(Unauthenticated, match=r"The upload token was revoked\."):
        await list_page(world.gateway, bearer, state=None, before=None, limit=9)
    with pytest.raises(Unauthenticated, match=r"The upload token was revoked\."):
        await load(world.gateway, bearer, (await world.created(wav())).id)


async def test_a_wait_ends_with_the_state_or_with_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notification ends it, not the next look; without one the upload is returned as it is."""
    monkeypatch.setattr(access, "RECHECK_SECONDS", 60.0)
    upload = await world.sent(wav())
    assert (await wait_until(world.gateway, ACME, upload.id, seconds=0)).state is State.UPLOADING
    waiting = asyncio.create_task(wait_until(world.gateway, ACME, upload.id, seconds=60))
    await asyncio.sleep(0)
    assert not waiting.done()
    await complete(world.gateway, ACME, upload.id)
    assert (await asyncio.wait_for(waiting, 10)).state is State.READY


async def test_a_short_wait_is_a_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is not no time: the state that is reached within it is returned."""
    monkeypatch.setattr(access, "RECHECK_SECONDS", 60.0)
    upload = await world.sent(wav())
    waiting = asyncio.create_task(wait_until(world.gateway, ACME, upload.id, seconds=0.9))
    await asyncio.sleep(0)
    await abort(world.gateway, ACME, upload.id)
    assert (await waiting).state is State.ABORTED


async def test_a_wait_is_for_one_tenants_upload(world: World) -> None:
    """Another tenant meets NotFound at once."""
    upload = await world.sent(wav())
    with pytest.raises(NotFound):
        await wait_until(world.gateway, OTHER, upload.id, seconds=60)


async def test_a_post_upload_is_not_checked_at_its_very_expiry(world: World) -> None:
    """At that moment the sweeper may have it."""
    upload = await world.posted(None)
    world.clock.time = upload.expires_at
    await request_check(world.gateway, upload)
    assert world.uploads.checks_requested == []


async def test_errors_carry_the_state(world: World) -> None:
    """A client need not parse a sentence: aborted, expired by its time, and expired by the sweeper."""
    aborted, late = await world.created(wav()), await world.created(wav())
    await abort(world.gateway, ACME, aborted.id)
    with pytest.raises(WrongState, match=r"The upload is aborted, not uploading\.") as wrong:
        await sign(world.gateway, ACME, aborted.id, [WantedPart(1)])
    assert wrong.value.fields == {"state": "aborted"}
    world.clock.move(86_400)
    for _ in range(2):
        with pytest.raises(Gone, match=r"The upload expired at 2026-01-02T00:00:00\+00:00\.") as gone:
            await sign(world.gateway, ACME, late.id, [WantedPart(1)])
        assert gone.value.fields == {"state": "expired"}
        await expire(world.gateway, late.id)


async def test_the_answers_to_a_late_call_carry_the_state(world: World) -> None:
    """Abort of a ready upload, and complete of an aborted and an expired one."""
    ready, aborted, late = await world.sent(wav()), await world.sent(wav()), await world.sent(wav())
    await complete(world.gateway, ACME, ready.id)
    with pytest.raises(WrongState, match=r"The upload is ready; it can no longer be aborted\.") as wrong:
        await abort(world.gateway, ACME, ready.id)
    assert wrong.value.fields == {"state": "ready"}
    await abort(world.gateway, ACME, aborted.id)
    with pytest.raises(WrongState, match=r"The upload was aborted\.") as wrong:
        await complete(world.gateway, ACME, aborted.id)
    assert wrong.value.fields == {"state": "aborted"}
    world.clock.move(86_401)
    await expire(world.gateway, late.id)
    with pytest.raises(Gone) as gone:
        await complete(world.gateway, ACME, late.id)
    assert gone.value.fields == {"state": "expired"}
