"""Event streams tell every fact once, in order, to whoever may know it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from gateway.database import transitions
from gateway.domain.transition import Transition
from gateway.domain.upload import State
from gateway.events.feeds import MAX_CONCURRENT_READS
from gateway.settings import Settings
from tests.api.conftest import gather, mp3_bytes
from tests.api.live import STORY, LiveApi, Seen, Stream, cut_listeners, eventually, logged, of, serve, watching


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[LiveApi]:
    """Give the API on a real socket, with short heartbeats."""
    async with serve(settings.model_copy(update={"stream_heartbeat_seconds": 0.5})) as live:
        yield live


def _pairs(seen: list[Seen]) -> list[tuple[str, str]]:
    return [(one.data["upload_id"], one.event) for one in seen]


async def test_a_stream_tells_the_whole_story_and_ends(api: LiveApi) -> None:
    """Whoever watches from the start gets every state once and the end of the stream after the final one."""
    body = mp3_bytes()
    created = await api.create(body)
    async with watching(api, of(created)) as stream:
        assert (await stream.fact()).event == "created"
        await api.put(created, body)
        await api.complete(created)
        seen = await stream.rest()
    assert [one.event for one in seen] == STORY[1:]
    assert seen[-1].data["content_type"] == "audio/mpeg"
    assert seen[-1].data["size_bytes"] == len(body)


async def test_who_comes_while_the_feed_lags_gets_the_end_too(api: LiveApi) -> None:
    """A stream that others keep open may know less than the row: a watcher who joins it misses nothing of the end."""
    body = mp3_bytes()
    created = await api.create(body)
    async with watching(api, of(created)) as first, AsyncExitStack() as held:
        assert (await first.fact()).event == "created"
        for _ in range(MAX_CONCURRENT_READS):
            await held.enter_async_context(api.gateway.feeds.reads)
        await api.put(created, body)
        await api.complete(created)
        async with watching(api, of(created)) as second:
            story = await second.rest()
        assert [one.event for one in story] == STORY
        async with watching(api, of(created), after=story[-2].id) as third:
            assert await third.rest() == story[-1:]


@pytest.mark.parametrize("how", ["header", "query"])
async def test_any_last_event_id_resumes_behind_it(api: LiveApi, how: str) -> None:
    """From every event of the log on, exactly the later ones come; behind the last there is nothing to wait for."""
    final = await api.ready(mp3_bytes())
    path = of(final)
    async with watching(api, path) as stream:
        story = await stream.rest()
    assert [one.event for one in story] == STORY
    for number, one in enumerate(story[:-1], 1):
        given = {"after": one.id} if how == "header" else {"params": {"last_event_id": one.id}}
        async with watching(api, path, **given) as stream:
            assert await stream.rest() == story[number:]
    last = {"last-event-id": str(story[-1].id)}
    assert (await api.call("GET", path, headers=last)).status_code == 204


@pytest.mark.parametrize("text", ["1", "-", "1-1-1", "g-1", "1-" + "f" * 17, "ffffffffffffffff-1", "1' OR 1=1", "é"])
@pytest.mark.parametrize("path", ["/v1/events", "upload"])
async def test_a_last_event_id_that_is_none_is_refused(api: LiveApi, path: str, text: str) -> None:
    """What the gateway never wrote as an event id is a 422, not a stream from somewhere."""
    if path == "upload":
        path = of(await api.create(b"x"))
    answer = await api.call("GET", path, params={"last_event_id": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_rejected_upload_says_why(api: LiveApi) -> None:
    """The last event of a refused file carries the reason."""
    body = b"MZ" + bytes(5000)
    created = await api.create(body, "tone.mp3")
    async with watching(api, of(created)) as stream:
        await api.put(created, body)
        await api.complete(created)
        last = (await stream.rest())[-1]
    assert last.event == "rejected"
    assert last.data["code"] == "type_not_recognised"
    assert last.data["detail"]


async def test_a_tenants_stream_tells_of_all_its_uploads_and_no_others(api: LiveApi) -> None:
    """Events of every upload of the tenant come in the order of the log, those of others never."""
    async with watching(api, "/v1/events") as stream:
        body = mp3_bytes()
        for tenant in ("other", "acme", "other", "acme"):
            created = (await api.call("POST", "/v1/uploads", tenant=tenant, json=_wanted(body))).json()
            await api.call("DELETE", f"/v1/uploads/{created['upload_id']}", tenant=tenant)
        final = await api.ready(body)
        seen = await stream.until("ready")
    assert _pairs(seen) == await logged(api)
    assert seen[-1].data["upload_id"] == final["upload_id"]


def _wanted(body: bytes) -> dict[str, object]:
    return {"filename": "tone.mp3", "size_bytes": len(body)}


async def test_a_tenants_stream_is_resumed_without_gap_or_double(api: LiveApi) -> None:
    """However often a watcher is cut off among concurrent uploads, what it gets together is the log, once."""
    chance = random.Random(7)

    async def one() -> None:
        created = await api.create(b"x")
        await asyncio.sleep(chance.random() / 10)
        await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")

    async with watching(api, "/v1/events") as stream:
        last = await stream.opened()
    seen: list[Seen] = []
    work = asyncio.gather(*(one() for _ in range(40)))
    cuts = 0
    while len(seen) < 80:
        async with watching(api, "/v1/events", after=last) as stream:
            for _ in range(chance.randint(1, 6)):
                event = await stream.fact()
                assert event is not None
                seen.append(event)
                last = event.id
                if len(seen) == 80:
                    break
        cuts += 1
    await work
    assert cuts > 10
    assert _pairs(seen) == await logged(api)


@pytest.mark.parametrize("id_drawn", ["early", "late"])
async def test_a_transaction_held_open_hides_what_sorts_behind_it(api: LiveApi, id_drawn: str) -> None:
    """While an older transaction runs, no event passes that would sort behind its own: a resume would skip those."""
    slow, fast = await api.create(b"x"), await api.create(b"x")
    insert = "INSERT INTO events (tenant_id, upload_id, type) VALUES ('acme', %s, 'uploading')"
    url = api.settings.database_url.get_secret_value()
    async with watching(api, "/v1/events") as stream, await psycopg.AsyncConnection.connect(url) as held:
        began = await stream.opened()
        await held.execute("SELECT pg_current_xact_id()")
        if id_drawn == "early":
            await held.execute(insert, (slow["upload_id"],))
        await api.call("DELETE", f"/v1/uploads/{fast['upload_id']}")
        async with watching(api, of(fast)) as other:
            assert [one.event for one in await other.rest()] == ["created", "aborted"]
        async with watching(api, "/v1/events", after=began) as second:
            assert await second.opened() == began
            await second.comment()
            assert second.last_event_id == began
            if id_drawn == "late":
                await held.execute(insert, (slow["upload_id"],))
            await held.commit()
            expected = [(slow["upload_id"], "uploading"), (fast["upload_id"], "aborted")]
            assert _pairs(await second.until("aborted")) == expected


async def test_a_lost_database_connection_loses_no_event(api: LiveApi) -> None:
    """While the connection that carries wake-ups is cut again and again, every event arrives, once and in order."""
    url = api.settings.database_url.get_secret_value()
    async with watching(api, "/v1/events") as stream:
        await stream.opened()
        reading = asyncio.create_task(_read(stream, 30))
        cuts = 0
        for _ in range(15):
            created = await api.create(b"x")
            cuts += await cut_listeners(url)
            await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")
        assert cuts >= 3
        assert _pairs(await reading) == await logged(api)


async def test_streams_begin_anew_after_a_restore_elsewhere(api: LiveApi) -> None:
    """Events from another cluster's future, reset as the page on watching says, hold no stream up and come first."""
    created = await api.create(b"x")
    database = api.gateway.database
    await database.execute("UPDATE events SET transaction_id = '999999999999'", {})
    await database.execute("UPDATE events SET transaction_id = '0'", {})
    async with watching(api, "/v1/events", after="0-0") as stream:
        await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")
        assert [one.event for one in await stream.until("aborted")] == ["created", "aborted"]


async def _read(stream: Stream, count: int) -> list[Seen]:
    seen = []
    for _ in range(count):
        event = await stream.fact()
        assert event is not None
        seen.append(event)
    return seen


@pytest.mark.parametrize("table", ["events", "upload_progress"])
async def test_a_feed_that_breaks_says_so(api: LiveApi, table: str, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw ends the streams with a reason and a line in the log; who comes back gets a new feed."""
    created = await api.create(b"x")
    database = api.gateway.database
    async with watching(api, of(created)) as stream:
        assert (await stream.fact()).event == "created"
        await database.execute(f"ALTER TABLE {table} RENAME TO elsewhere", {})
        await database.execute("SELECT pg_notify('gateway_uploads', %(id)s)", {"id": created["upload_id"]})
        closed = await stream.fact()
        assert (closed.event, closed.data) == ("closed", {"reason": "unavailable"})
        await database.execute(f"ALTER TABLE elsewhere RENAME TO {table}", {})
        async with watching(api, of(created)) as again:
            assert (await again.fact()).event == "created"
            await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")
            assert (await again.fact()).event == "aborted"
    broken = [record for record in caplog.records if record.message == "a feed broke"]
    assert broken[0].__dict__["error"] == "UndefinedTable"


async def test_events_of_a_newer_release_are_passed_on(api: LiveApi) -> None:
    """While releases are mixed, a name that this one does not know reaches watchers, and so does what follows."""
    created = await api.create(b"x")
    await api.gateway.database.execute(
        """WITH told AS (INSERT INTO events (tenant_id, upload_id, type) VALUES ('acme', %(id)s, 'translated'))
        SELECT pg_notify('gateway_uploads', 'acme ' || %(id)s::text)""",
        {"id": created["upload_id"]},
    )
    for path in (of(created), "/v1/events"):
        async with watching(api, path, after="0-0") as stream:
            assert [one.event for one in (await stream.fact(), await stream.fact())] == ["created", "translated"]


async def test_one_reader_serves_all_watchers(api: LiveApi) -> None:
    """Thirty watchers of one upload get the same story, and the process holds one feed for them."""
    body = mp3_bytes()
    created = await api.create(body)

    async def story() -> list[Seen]:
        async with watching(api, of(created)) as stream:
            opened.release()
            return await stream.rest()

    opened = asyncio.Semaphore(0)
    stories = [asyncio.create_task(story()) for _ in range(30)]
    for _ in stories:
        await opened.acquire()
    assert len(api.gateway.feeds._feeds) == 1
    await api.put(created, body)
    await api.complete(created)
    told = await gather(*stories)
    assert [one.event for one in told[0]] == STORY
    assert all(one == told[0] for one in told)
    await eventually(lambda: not api.gateway.feeds.watchers)
    assert api.gateway.feeds._feeds == {}


async def test_a_silent_stream_gives_signs_of_life(api: LiveApi) -> None:
    """Without events there are comments, which keep proxies from cutting the connection."""
    created = await api.create(b"x")
    async with watching(api, of(created)) as stream:
        await stream.fact()
        await stream.comment()


async def test_a_change_that_nobody_announced_is_seen_within_a_second(api: LiveApi) -> None:
    """A process may die between its commit and its announcement: watchers of the upload and its tenant look."""
    created = await api.create(mp3_bytes())
    async with watching(api, of(created)) as one, watching(api, "/v1/events") as all_of_them:
        assert (await one.fact()).event == "created"
        change = Transition(State.UPLOADING, State.ABORTED, cleanup_pending=True)
        async with api.gateway.database.transaction() as connection:
            assert await transitions.apply(connection, UUID(created["upload_id"]), change) is not None
        # Far less than the fallback of one feed, and more than the look of all of them.
        async with asyncio.timeout(15):
            await one.until("aborted")
            await all_of_them.until("aborted")
