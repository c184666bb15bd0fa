"""Progress is what the store holds, asked for once a second at most, by whichever process, and only while watched."""

from __future__ import annotations

import asyncio
import json
from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from gateway.context import Gateway
from gateway.database import receiving
from gateway.settings import Settings
from tests.api.conftest import MIB, gather, large_mp3, mp3_bytes
from tests.api.live import LiveApi, Seen, Stream, eventually, of, serve, watching
from tests.docs_blocks import blocks_of


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[LiveApi]:
    """Give the API on a real socket, with parts of 5 MiB."""
    async with serve(settings.model_copy(update={"min_part_size": 5 * MIB})) as live:
        yield live


class Counted:
    """Count the questions to the store; they are asked all the same."""

    def __init__(self, *gateways: Gateway) -> None:
        self.asked = 0
        for gateway in gateways:
            self._count(gateway)

    def _count(self, gateway: Gateway) -> None:
        ask = gateway.store.list_parts

        async def counted(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            return await ask(*arguments, **named)

        gateway.store.list_parts = counted  # type: ignore[method-assign]  # the real call, counted


async def _progress(stream: Stream, bytes_received: int) -> Seen:
    while (seen := await stream.next()) is not None:
        if seen.event == "progress" and seen.data["bytes_received"] == bytes_received:
            return seen
    raise AssertionError("the stream ended without it")


async def _now(api: LiveApi) -> float:
    row = await api.gateway.database.fetch_one("SELECT extract(epoch FROM clock_timestamp())::float AS now", {})
    assert row is not None
    return float(row["now"])


async def test_progress_is_what_the_store_holds(api: LiveApi) -> None:
    """After each part a watcher learns bytes, parts, rate and time left; progress has no event id."""
    body = large_mp3(12 * MIB)
    created = await api.create(body)
    async with watching(api, of(created)) as stream:
        first = await _progress(stream, 0)
        assert first.data["parts"] == 0
        assert first.data["seconds_left"] is None
        await api.put(created, body, only={1})
        half = await _progress(stream, 5 * MIB)
        await api.put(created, body, only={2, 3})
        whole = await _progress(stream, 12 * MIB)
        await api.complete(created)
        assert [one.event for one in await stream.rest()][-1] == "ready"
    assert half.id is None
    [shown] = [block for block in blocks_of("docs/watching.md") if block.text.startswith("event: progress\n")]
    assert set(json.loads(shown.text.partition("data: ")[2])) == set(half.data)
    assert half.data["size_bytes"] == 12 * MIB
    assert half.data["parts"] == 1
    assert half.data["bytes_per_second"] > 0
    assert half.data["seconds_left"] > 0
    assert (whole.data["parts"], whole.data["seconds_left"]) == (3, 0)


async def test_progress_over_a_websocket_is_what_the_store_holds(api: LiveApi) -> None:
    """A WebSocket carries the same progress as an event stream: bytes and parts after each part, without an id."""
    body = large_mp3(12 * MIB)
    created = await api.create(body)
    headers = {"authorization": f"Bearer {await api.key()}"}
    path = of(created).replace("/events", "/ws")
    seen: dict[int, dict[str, Any]] = {}
    async with connect(f"ws://127.0.0.1:{api.port}{path}", additional_headers=headers) as connection, timeout(60):
        async for text in connection:
            message = json.loads(text)
            if message["event"] != "progress":
                continue
            received = message["data"]["bytes_received"]
            if not seen:
                await api.put(created, body, only={1})
            seen[received] = message
            if received == 5 * MIB:
                break
    assert seen[5 * MIB]["id"] is None
    assert seen[5 * MIB]["data"]["parts"] == 1
    assert seen[5 * MIB]["data"]["size_bytes"] == 12 * MIB


@pytest.mark.parametrize("destination", ["store", "disk"])
async def test_progress_of_a_streamed_body_is_what_the_gateway_received(settings: Settings, destination: str) -> None:
    """While a client sends through the gateway, a watcher sees the bytes grow; the store is not asked."""
    async with serve(settings.model_copy(update={"upload_stream_destination": destination})) as api:
        body = large_mp3(3 * MIB)
        created = await api.create(body)
        counted = Counted(api.gateway)
        seen = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield body[: 2 * MIB]
            await seen.wait()
            yield body[2 * MIB :]

        async with watching(api, of(created)) as stream:
            path = f"/v1/uploads/{created['upload_id']}/content"
            headers = {"content-length": str(len(body))}
            sending = asyncio.create_task(api.call("PUT", path, content=slowly(), headers=headers))
            growing = await _progress_between(stream, 1, 2 * MIB)
            asked = counted.asked
            seen.set()
            assert (await stream.rest())[-1].event == "ready"
            assert (await sending).status_code == 201
    assert growing.data["size_bytes"] == len(body)
    assert growing.data["parts"] is None
    assert asked <= 2


async def _progress_between(stream: Stream, least: int, most: int) -> Seen:
    while (seen := await stream.next()) is not None:
        if seen.event == "progress" and least <= seen.data["bytes_received"] <= most:
            return seen
    raise AssertionError("the stream ended without it")


async def test_a_tenants_stream_carries_progress_of_what_is_watched(api: LiveApi) -> None:
    """Whoever watches all uploads sees the bytes of those that somebody watches closely, and asks for no others."""
    counted = Counted(api.gateway)
    created, unwatched = await api.create(b"x" * 100), await api.create(b"x" * 100)
    async with watching(api, "/v1/events") as all_uploads:
        await all_uploads.opened()
        await api.store.put(unwatched["parts"][0]["url"], content=b"x" * 100, headers=unwatched["parts"][0]["headers"])
        async with watching(api, of(created)) as stream:
            await _progress(stream, 0)
            await api.put(created, b"x" * 100)
            await _progress(stream, 100)
        seen = await _progress(all_uploads, 100)
    assert seen.data["upload_id"] == created["upload_id"]
    assert counted.asked >= 2


async def _drip(body: bytes, pieces: int, pause: float) -> AsyncIterator[bytes]:
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(pause)


async def test_a_tenants_stream_carries_progress_of_what_the_gateway_streams(api: LiveApi) -> None:
    """Of a body that comes through the gateway, whoever watches all uploads sees bytes and rate; nobody else need."""
    body = large_mp3(MIB)
    created = await api.create(body)
    async with watching(api, "/v1/events") as stream:
        await stream.opened()
        path = f"/v1/uploads/{created['upload_id']}/content"
        headers = {"content-length": str(len(body))}
        sending = asyncio.create_task(api.call("PUT", path, content=_drip(body, 20, 0.2), headers=headers))
        seen = await _until_fact(stream)
        assert (await sending).status_code == 201
    assert len(seen) >= 2
    received = [one.data["bytes_received"] for one in seen]
    assert received == sorted(set(received))
    assert 0 < received[0] < received[-1]
    assert {one.data["upload_id"] for one in seen} == {created["upload_id"]}
    # 256 KiB a second, less what the machine is busy with.
    assert all(32_000 < one.data["bytes_per_second"] < 600_000 for one in seen)


async def test_what_the_gateway_streams_is_told_once_a_second(api: LiveApi) -> None:
    """A watcher of an upload that comes through the gateway hears of its bytes once a second, never of fewer."""
    body = large_mp3(MIB)
    created = await api.create(body)
    path = f"/v1/uploads/{created['upload_id']}/content"
    headers = {"content-length": str(len(body))}
    sending = asyncio.create_task(api.call("PUT", path, content=_drip(body, 25, 0.2), headers=headers))
    async with watching(api, of(created)) as stream:
        assert (await stream.fact()).event == "created"
        began = await _now(api)
        seen = await _until_fact(stream)
        seconds = await _now(api) - began
    assert (await sending).status_code == 201
    received = [one.data["bytes_received"] for one in seen if one.data["bytes_received"]]
    assert len(received) >= 2
    # The same number may come again: after a second without bytes the rate is another.
    assert received == sorted(received)
    assert len(set(received)) >= 2
    assert len(received) <= seconds + 1


async def test_progress_goes_on_after_a_body_that_failed(api: LiveApi) -> None:
    """A raw body that is refused in mid-stream leaves no number behind: the client's own parts are counted then."""
    body = large_mp3(MIB)
    created = await api.create(body)
    path = f"/v1/uploads/{created['upload_id']}/content"
    async with watching(api, of(created)) as stream:
        sending = asyncio.create_task(api.call("PUT", path, content=_drip(body + b"x" * 1000, 10, 0.3)))
        await _progress_between(stream, 1, MIB - 1)
        assert (await sending).status_code == 422
        await api.put(created, body)
        assert (await _progress(stream, MIB)).data["parts"] == 1


async def test_progress_goes_on_after_a_receiver_that_died(api: LiveApi) -> None:
    """What a process had received counts until its lease is over, and then what the store holds."""
    created = await api.create(b"x" * 1000)
    upload_id, token, database = UUID(created["upload_id"]), uuid4(), api.gateway.database
    async with watching(api, of(created)) as stream:
        await receiving.claim(database, upload_id, token=token, seconds=3, ends_with_request=False)
        told = {"received_bytes": 600, "ends_with_request": False, "notify_watchers": True}
        assert await receiving.save_progress(database, upload_id, token=token, seconds=3, **told)
        assert (await _progress(stream, 600)).data["parts"] is None
        await api.put(created, b"x" * 1000)
        assert (await _progress(stream, 1000)).data["parts"] == 1


async def _until_fact(stream: Stream) -> list[Seen]:
    """Collect progress up to the next event of the log."""
    found = []
    while (seen := await stream.next()) is not None and seen.event == "progress":
        found.append(seen)
    return found


async def test_the_store_is_asked_once_a_second_whatever_the_watchers_and_replicas(settings: Settings) -> None:
    """Forty watchers at two processes cost the store no more than one question a second, and all see the bytes."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serve(settings))
        created = await one.create(b"x" * 1000)
        other = await stack.enter_async_context(serve(settings, one.keys))
        counted, began = Counted(one.gateway, other.gateway), await _now(one)
        receiving = [
            await stack.enter_async_context(watching(api, of(created))) for api in (one, other) for _ in range(20)
        ]
        await gather(*(_progress(stream, 0) for stream in receiving))
        await one.put(created, b"x" * 1000)
        await gather(*(_progress(stream, 1000) for stream in receiving))
        await asyncio.sleep(2)
        assert 2 <= counted.asked <= await _now(one) - began + 1


async def test_nobody_asks_when_nobody_watches(api: LiveApi) -> None:
    """Before the first watcher and after the last one the store is left alone."""
    counted = Counted(api.gateway)
    created = await api.create(b"x" * 100)
    async with watching(api, "/v1/events") as stream:
        await stream.opened()
        await asyncio.sleep(1.5)
    assert counted.asked == 0
    async with watching(api, of(created)) as stream:
        await _progress(stream, 0)
    await eventually(lambda: not api.gateway.feeds.watchers)
    asked = counted.asked
    assert asked >= 1
    await asyncio.sleep(1.5)
    assert counted.asked == asked


async def test_nobody_asks_once_the_upload_is_complete(api: LiveApi) -> None:
    """A watcher of an upload that takes no more bytes costs the store nothing, until it takes some again."""
    body = mp3_bytes()
    created = await api.create(body)
    move = "UPDATE uploads SET state = %(state)s WHERE id = %(id)s"
    tell = """WITH told AS (INSERT INTO events (tenant_id, upload_id, type) VALUES ('acme', %(id)s, %(state)s))
        SELECT pg_notify('gateway_uploads', 'acme ' || %(id)s::text)"""
    async with watching(api, of(created)) as stream:
        await _progress(stream, 0)
        for state in ("completing", "uploading"):
            for statement in (move, tell):
                await api.gateway.database.execute(statement, {"state": state, "id": created["upload_id"]})
            await stream.until(state)
            counted = Counted(api.gateway)
            if state == "completing":
                await asyncio.sleep(1.5)
                # One question may have been on its way when the state changed.
                assert counted.asked <= 1
            else:
                await api.put(created, body)
                await _progress(stream, len(body))
                assert counted.asked >= 1


class Gate:
    """Pass bytes on to the store while it is open; shut, it drops every connection."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname, address.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.open = True
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        if not self.open:
            self.refused += 1
            writer.transport.abort()
            return
        from_store, to_store = await asyncio.open_connection(*self._upstream)
        self._writers |= {writer, to_store}
        await asyncio.gather(_copy(reader, to_store), _copy(from_store, writer))
        self._writers -= {writer, to_store}

    def shut(self) -> None:
        """Drop what is open and what comes."""
        self.open = False
        for writer in self._writers:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_progress_waits_for_a_store_that_is_away(settings: Settings) -> None:
    """When the store does not answer, the stream stays open, and has progress again when it does."""
    gate = Gate(settings.s3_endpoint)
    async with await asyncio.start_server(gate.serve, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        away = {"s3_endpoint": address, "s3_public_endpoint": settings.s3_endpoint, "s3_max_attempts": 1}
        async with serve(settings.model_copy(update=away)) as api:
            body = b"x" * 100
            created = await api.create(body)
            gate.shut()
            async with watching(api, of(created)) as stream:
                assert (await stream.fact()).event == "created"
                await eventually(lambda: gate.refused >= 2)
                await api.put(created, body)
                gate.open = True
                await _progress(stream, len(body))
