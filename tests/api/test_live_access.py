"""Who may watch: keys, tickets, origins, limits."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import logs
from gateway.api import event_streams
from gateway.auth.api_keys import parse_key
from gateway.database import api_keys
from gateway.settings import Settings
from tests.api.conftest import gather, mp3_bytes
from tests.api.live import STORY, LiveApi, Stream, eventually, of, serve, watching
from tests.api.uploaders import SECRET, call_with, create_with, issue

ALLOWED = "https://app.example.com"


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[LiveApi]:
    """Give the API on a real socket, with short heartbeats."""
    changed = {"stream_heartbeat_seconds": 0.5, "allowed_origins": (ALLOWED,)}
    async with serve(settings.model_copy(update=changed)) as live:
        yield live


async def _socket(
    api: LiveApi, path: str, *, tenant: str | None = "acme", headers: dict[str, str] | None = None
) -> ClientConnection:
    sent = dict(headers or {})
    if tenant is not None:
        sent["authorization"] = f"Bearer {await api.key(tenant)}"
    origin = sent.pop("origin", None)
    return await connect(f"ws://127.0.0.1:{api.port}{path}", additional_headers=sent, origin=origin)  # type: ignore[arg-type]  # any text


async def _refusal(api: LiveApi, path: str, **options: Any) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as refused:
        await _socket(api, path, **options)
    return refused.value.response.status_code, bytes(refused.value.response.body or b"")


async def _messages(connection: ClientConnection) -> list[dict[str, Any]]:
    found = []
    with suppress(ConnectionClosed):
        while True:
            message = json.loads(await connection.recv())
            if message["event"] != "progress":
                found.append(message)
    return found


async def _ticket(api: LiveApi, path: str, **options: Any) -> str:
    answer = await api.call("POST", path, **options)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["ticket"])


async def test_a_websocket_tells_what_the_event_stream_tells(api: LiveApi) -> None:
    """Both carry the same ids, events and data, and end after the final state."""
    final = await api.ready(mp3_bytes())
    async with watching(api, of(final)) as stream:
        told = [{"id": one.id, "event": one.event, "data": one.data} for one in await stream.rest()]
    async with await _socket(api, of(final).replace("/events", "/ws")) as connection:
        assert await _messages(connection) == told
        assert (connection.close_code, connection.close_reason) == (1000, "final")
    behind = f"{of(final).replace('/events', '/ws')}?last_event_id={told[1]['id']}"
    async with await _socket(api, behind) as connection:
        opened, *rest = await _messages(connection)
    assert opened == {"id": told[1]["id"], "event": "open", "data": {}}
    assert rest == told[2:]


async def test_a_tenants_websocket_tells_of_all_its_uploads(api: LiveApi) -> None:
    """The socket of a tenant opens with an id to come back with and tells what happens then."""
    async with await _socket(api, "/v1/ws") as connection:
        opened = json.loads(await connection.recv())
        assert opened["event"] == "open"
        created = await api.create(b"x")
        first = json.loads(await connection.recv())
    assert (first["event"], first["data"]["upload_id"]) == ("created", created["upload_id"])
    async with await _socket(api, f"/v1/ws?last_event_id={opened['id']}") as connection:
        await connection.recv()
        assert json.loads(await connection.recv()) == first


async def test_d1_another_tenants_upload_cannot_be_watched(api: LiveApi) -> None:
    """Stream, socket and ticket of another tenant's upload answer like those of one that does not exist."""
    created = await api.create(b"x")
    bodies = set()
    for upload_id in (created["upload_id"], "01a207a4-748d-797a-ab36-f5e7864d0280", "nothing"):
        path = f"/v1/uploads/{upload_id}"
        for method, what in (("GET", "events"), ("POST", "ticket")):
            answer = await api.call(method, f"{path}/{what}", tenant="other")
            assert answer.status_code == 404
            bodies.add(answer.content)
        status, body = await _refusal(api, f"{path}/ws", tenant="other")
        assert status == 404
        bodies.add(body)
    assert len(bodies) == 1


@pytest.mark.parametrize("path", ["/v1/events", "/v1/ws", "upload/events", "upload/ws"])
async def test_strangers_watch_nothing(api: LiveApi, path: str) -> None:
    """Without a key, with a wrong one and with a made-up ticket the answer is the same 401."""
    path = path.replace("upload", f"/v1/uploads/{(await api.create(b'x'))['upload_id']}")
    asked = [
        (path, {}),
        (path, {"authorization": "Bearer gw_0123456789_" + "a" * 43}),
        (f"{path}?ticket=gwt_{'a' * 43}", {}),
        (f"{path}?ticket=", {}),
        (f"{path}?ticket={'x' * 5000}", {}),
    ]
    for address, headers in asked:
        if path.endswith("ws"):
            status, _ = await _refusal(api, address, tenant=None, headers=headers)
        else:
            status = (await api.client.get(address, headers=headers)).status_code
        assert status == 401


@pytest.mark.parametrize("with_ticket", [False, True])
@pytest.mark.parametrize("path", ["/v1/uploads/{}", "/v1"])
async def test_d4_a_revoked_key_closes_open_streams(api: LiveApi, path: str, with_ticket: bool) -> None:
    """Streams and sockets end with the reason soon after their key is revoked, however they were opened."""
    path = path.format((await api.create(b"x"))["upload_id"])
    key = await api.key()
    headers, query = {"authorization": f"Bearer {key}"}, ("", "")
    if with_ticket:
        query = tuple([f"?ticket={await _ticket(api, f'{path}/ticket')}" for _ in range(2)])
        headers = {}
    async with (
        api.client.stream("GET", f"{path}/events{query[0]}", headers=headers) as response,
        connect(f"ws://127.0.0.1:{api.port}{path}/ws{query[1]}", additional_headers=headers) as connection,
    ):
        await connection.recv()
        assert await api_keys.revoke(api.gateway.database, parse_key(key).key_id)
        stream = Stream(response)
        while (seen := await stream.next()) is not None and seen.event != "closed":
            pass
        assert seen is not None
        assert seen.data == {"reason": "unauthenticated"}
        assert await stream.next() is None
        await _messages(connection)
        assert (connection.close_code, connection.close_reason) == (1008, "unauthenticated")


@pytest.mark.parametrize("path", ["/v1/uploads/{}", "/v1"])
async def test_d4_a_ticket_of_a_revoked_key_opens_nothing(api: LiveApi, path: str) -> None:
    """Once its key is revoked, a ticket that was made before is 401 and tells nothing of what happened."""
    path = path.format((await api.create(b"x"))["upload_id"])
    tickets = [await _ticket(api, f"{path}/ticket") for _ in range(2)]
    assert await api_keys.revoke(api.gateway.database, parse_key(await api.key()).key_id)
    # No answer may begin: a stream that is open ends at the next sign of life only.
    async with api.client.stream("GET", f"{path}/events", params={"ticket": tickets[0]}) as response:
        assert response.status_code == 401
    status, _ = await _refusal(api, f"{path}/ws?ticket={tickets[1]}", tenant=None)
    assert status == 401


@pytest.mark.parametrize("end", ["token", "key", "time"])
async def test_an_upload_token_watches_its_own_uploads(settings: Settings, end: str) -> None:
    """Its bearer watches what was created with it, by header and by ticket, nothing else, and not after its end."""
    changed = {"stream_heartbeat_seconds": 0.5, "token_secret": SecretStr(SECRET), "allowed_origins": ()}
    async with serve(settings.model_copy(update=changed)) as api:
        issued = await issue(api, allowed_origins=[ALLOWED])
        token, foreign = issued["token"], await api.create(b"x")
        created = (await create_with(api, token, b"x")).json()
        assert (await call_with(api, token, "GET", of(foreign))).status_code == 404
        for method, path in (("GET", "/v1/events"), ("POST", "/v1/ticket")):
            assert (await call_with(api, token, method, path)).status_code == 403
        assert (await _refusal(api, "/v1/ws", tenant=None, headers={"authorization": f"Bearer {token}"}))[0] == 403
        made = await call_with(api, token, "POST", of(created).replace("/events", "/ticket"))
        again = await call_with(api, token, "POST", of(created).replace("/events", "/ticket"))
        socket_path = of(created).replace("/events", f"/ws?ticket={again.json()['ticket']}")
        async with (
            api.client.stream("GET", of(created), params={"ticket": made.json()["ticket"]}) as response,
            await _socket(api, socket_path, tenant=None, headers={"origin": ALLOWED}) as connection,
        ):
            stream = Stream(response)
            assert (await stream.fact()).event == "created"
            if end == "token":
                await api.call("DELETE", f"/v1/upload-tokens/{issued['token_id']}")
            elif end == "key":
                await api_keys.revoke(api.gateway.database, parse_key(await api.key()).key_id)
            else:
                await api.gateway.database.execute("UPDATE upload_tokens SET expires_at = now()", {})
            assert (await stream.fact()).data == {"reason": "unauthenticated"}
            assert [message["event"] for message in await _messages(connection)] == ["created"]
            assert connection.close_code == 1008


async def test_events_carry_what_the_backend_knows_the_user_by(settings: Settings) -> None:
    """The tenant's stream and the upload's own tell in each event the metadata that the token was made with."""
    async with serve(settings.model_copy(update={"token_secret": SecretStr(SECRET)})) as api:
        token = (await issue(api, metadata={"user_id": "7"}))["token"]
        async with watching(api, "/v1/events") as backend:
            await backend.opened()
            created = (await create_with(api, token, mp3_bytes(), metadata={"user_id": "8", "album": "x"})).json()
            await api.put(created, mp3_bytes())
            await call_with(api, token, "POST", f"/v1/uploads/{created['upload_id']}/complete")
            told = await backend.until("ready")
        headers = {"authorization": f"Bearer {token}"}
        async with api.client.stream("GET", of(created), headers=headers) as response:
            own = await Stream(response).rest()
    assert [one.event for one in told] == [one.event for one in own] == STORY
    assert all(one.data["metadata"] == {"user_id": "7", "album": "x"} for one in told + own)


async def test_d7_a_ticket_keeps_to_the_origins_of_its_token(settings: Settings) -> None:
    """A page that only the token names reads its stream by ticket; a page of another origin gets nothing by it."""
    changed = {"token_secret": SecretStr(SECRET), "allowed_origins": ("https://other.example",)}
    async with serve(settings.model_copy(update=changed)) as api:
        token = (await issue(api, allowed_origins=[ALLOWED]))["token"]
        created = (await create_with(api, token, b"x")).json()
        asked = of(created).replace("/events", "/ticket")
        good, bad, socket = [(await call_with(api, token, "POST", asked)).json()["ticket"] for _ in range(3)]
        page = {"origin": ALLOWED}
        async with api.client.stream("GET", of(created), params={"ticket": good}, headers=page) as answer:
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ALLOWED)
        used = await api.client.get(of(created), params={"ticket": good}, headers=page)
        assert used.status_code == 401
        # Allowed to use the API, but not by this token.
        elsewhere = {"origin": "https://other.example"}
        refused = await api.client.get(of(created), params={"ticket": bad}, headers=elsewhere)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        path = of(created).replace("/events", f"/ws?ticket={socket}")
        assert (await _refusal(api, path, tenant=None, headers=elsewhere))[0] == 403


async def test_d8_a_ticket_opens_one_stream_once(api: LiveApi) -> None:
    """Of twenty who use a ticket at the same moment one gets the stream."""
    final = await api.ready(mp3_bytes())
    ticket = await _ticket(api, of(final).replace("/events", "/ticket"))
    answers = await gather(*(api.client.get(of(final), params={"ticket": ticket}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
    told = next(answer for answer in answers if answer.status_code == 200)
    assert "event: ready" in told.text


async def test_d8_a_ticket_is_for_what_it_was_made_for(api: LiveApi) -> None:
    """A ticket opens no other upload, no tenant's stream and no other route, and trying does not use it up."""
    final, other = await api.ready(mp3_bytes()), await api.create(b"x")
    ticket = await _ticket(api, of(final).replace("/events", "/ticket"))
    wrong = [of(other), "/v1/events", f"/v1/uploads/{final['upload_id']}", "/v1/uploads", "/v1/uploads/x/parts"]
    for path in wrong:
        assert (await api.client.get(path, params={"ticket": ticket})).status_code == 401
    everything = await _ticket(api, "/v1/ticket")
    assert (await api.client.get(of(final), params={"ticket": everything})).status_code == 401
    assert (await api.client.get(of(final), params={"ticket": ticket})).status_code == 200
    async with connect(f"ws://127.0.0.1:{api.port}/v1/ws?ticket={everything}") as connection:
        assert json.loads(await connection.recv())["event"] == "open"


async def test_d8_a_ticket_ends(settings: Settings) -> None:
    """After its time a ticket opens nothing and is dropped when the next one is made."""
    async with serve(settings.model_copy(update={"ticket_seconds": 0.2})) as api:
        created = await api.create(b"x")
        path = of(created).replace("/events", "/ticket")
        ticket = await _ticket(api, path)
        await asyncio.sleep(0.3)
        assert (await api.client.get(of(created), params={"ticket": ticket})).status_code == 401
        await _ticket(api, path)
        rows = await api.gateway.database.fetch_all("SELECT * FROM tickets", {})
        assert len(rows) == 1


async def test_d8_a_ticket_is_kept_as_a_hash_and_stays_out_of_the_logs(api: LiveApi) -> None:
    """Neither the database nor a log line at debug level holds a ticket that was made, used, refused or used up."""
    root, written = logging.getLogger(), io.StringIO()
    kept = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).propagate) for name in _LOGGERS}
    level = root.level
    logs.configure("debug")
    root.handlers[:] = [logging.StreamHandler(written)]
    root.handlers[0].setFormatter(logs.JsonFormatter())
    try:
        created = await api.create(b"x")
        path = f"/v1/uploads/{created['upload_id']}"
        tickets = [await _ticket(api, f"{path}/ticket") for _ in range(3)]
        rows = await api.gateway.database.fetch_all("SELECT t::text AS row FROM tickets t", {})
        assert len(rows) == 3
        assert not any(ticket in row["row"] for ticket in tickets for row in rows)
        async with api.client.stream("GET", f"{path}/events", params={"ticket": tickets[0]}):
            pass
        async with connect(f"ws://127.0.0.1:{api.port}{path}/ws?ticket={tickets[1]}"):
            pass
        await _refusal(api, f"{path}/ws?%74icket={tickets[1]}", tenant=None)
        await _refusal(api, f"{path}/ws?ticket={tickets[2][:-1]}", tenant=None)
        await eventually(lambda: not api.gateway.feeds.watchers)
    finally:
        root.setLevel(level)
        for name, (handlers, propagate) in kept.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).propagate = propagate
    text = written.getvalue()
    assert "/v1/uploads/{upload_id}/ws" in text
    assert not any(ticket[4:40] in text for ticket in tickets)


_LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        (ALLOWED, 101),
        ("http://127.0.0.1:{port}", 101),
        ("https://127.0.0.1:{port}", 101),
        ("null", 403),
        ("https://evil.example.com", 403),
        ("https://app.example.com.evil.com", 403),
        ("http://app.example.com", 403),
        ("http://127.0.0.1:1", 403),
        ("", 403),
    ],
)
async def test_d7_a_websocket_is_for_our_pages(api: LiveApi, origin: str | None, status: int) -> None:
    """A page of a stranger's origin gets no socket, with a good key too; our own host and the allowed origins do."""
    headers = {} if origin is None else {"origin": origin.format(port=api.port)}
    if status == 101:
        async with await _socket(api, "/v1/ws", headers=headers) as connection:
            await connection.recv()
    else:
        refused = await _refusal(api, "/v1/ws", headers=headers)
        assert refused[0] == status


async def test_a_socket_that_is_talked_to_ends(api: LiveApi) -> None:
    """Whoever sends messages is sent away: nothing of them is kept."""
    async with await _socket(api, "/v1/ws") as connection:
        await connection.recv()
        await connection.send("hello")
        assert await _messages(connection) == []
        assert connection.close_code == 1008


async def test_g7_streams_of_a_tenant_are_counted(settings: Settings) -> None:
    """The limit of a tenant holds for streams and sockets together, leaves others alone, and a closed one is free."""
    async with serve(settings.model_copy(update={"max_streams_per_tenant": 4, "max_streams": 6})) as api:
        path = of(await api.create(b"x"))
        async with watching(api, path), watching(api, "/v1/events"), watching(api, path):
            async with await _socket(api, "/v1/ws"):
                answer = await api.call("GET", path)
                assert (answer.status_code, answer.json()["code"]) == (429, "too_many_watchers")
                assert int(answer.headers["retry-after"]) >= 1
                assert (await _refusal(api, "/v1/ws"))[0] == 429
                async with (
                    watching(api, "/v1/events", tenant="other"),
                    watching(api, "/v1/events", tenant="third"),
                ):
                    assert (await api.call("GET", "/v1/events", tenant="fourth")).status_code == 429
            await eventually(lambda: api.gateway.feeds.watchers <= 3)
            async with watching(api, path):
                pass


async def test_g7_who_does_not_read_is_closed_and_holds_up_nobody(
    api: LiveApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher that stops reading is let go with a bounded queue, while another gets every event."""
    monkeypatch.setattr(event_streams, "SEND_SECONDS", 0.5)
    count, filling = 2000, "x" * 20_000
    created = await api.create(b"x")
    lazy = socket.create_connection(("127.0.0.1", api.port))
    with lazy:
        lazy.sendall(f"GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {await api.key()}\r\n\r\n".encode())
        async with watching(api, "/v1/events") as stream:
            began = await stream.opened()
            await eventually(lambda: api.gateway.feeds.watchers >= 2)
            reading = asyncio.create_task(_count(stream, count))
            for _ in range(count // 20):
                await api.gateway.database.execute(_MANY, {"upload": created["upload_id"], "filling": filling})
            assert await reading == count
            await eventually(lambda: api.gateway.feeds.watchers <= 1)
        received = await asyncio.to_thread(_drain, lazy)
        assert received < count * len(filling)
    async with watching(api, "/v1/events", after=began) as stream:
        assert await _count(stream, count) == count


_MANY = """WITH told AS (
    INSERT INTO events (tenant_id, upload_id, type, data)
    SELECT 'acme', %(upload)s, 'uploading', jsonb_build_object('filling', %(filling)s::text)
    FROM generate_series(1, 20) RETURNING 1
) SELECT pg_notify('gateway_uploads', 'acme ' || %(upload)s::text) FROM told LIMIT 1"""


async def _count(stream: Stream, most: int) -> int:
    for number in range(most):
        if await stream.fact() is None:
            return number
    return most


def _drain(connection: socket.socket) -> int:
    connection.settimeout(20)
    total = 0
    while piece := connection.recv(1 << 20):
        total += len(piece)
    return total


async def test_a_stopping_process_sends_its_watchers_away(settings: Settings) -> None:
    """When the process stops, streams and sockets end at once with the reason, and new ones are refused."""
    async with serve(settings) as api:
        path = of(await api.create(b"x"))
        async with watching(api, path) as stream, await _socket(api, "/v1/ws") as connection:
            await stream.fact()
            await connection.recv()
            api.server.should_exit = True
            while (seen := await stream.next()) is not None and seen.event != "closed":
                pass
            assert seen is not None
            assert seen.data == {"reason": "going_away"}
            assert await _messages(connection) == []
            assert (connection.close_code, connection.close_reason) == (1001, "going_away")
            with pytest.raises((httpx.HTTPError, AssertionError)):
                async with watching(api, path):
                    pass
