"""Both clients' calls, what they make of answers, and what the package may import."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

import gateway.client as package
from gateway.client import (
    AsyncClient,
    Client,
    FileChanged,
    GatewayProblem,
    GatewayUnavailable,
    InvalidRequest,
    NotAuthorised,
    PartsMismatch,
    Progress,
    Retry,
    TooLarge,
    Unreachable,
    UploadExpired,
    UploadNotFound,
    WrongState,
)
from gateway.client.errors import problem_of
from gateway.client.flow import retry_after
from gateway.client.models import upload as read_upload
from tests import sync_client
from tests.unit.client.conftest import HASTY
from tests.unit.client.standin import KEY, SECRET, StandIn


class Facing:
    """Call either client in the same words."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, name: str, *arguments: Any, **options: Any) -> Any:
        answer = getattr(self.client, name)(*arguments, **options)
        return await answer if asyncio.iscoroutine(answer) else answer


@pytest_asyncio.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, standin: StandIn, tmp_path: Path) -> AsyncIterator[Facing]:
    """Give both clients in turn."""
    if request.param == "sync":
        with Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as sync_client:
            yield Facing(sync_client)
    else:
        async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as async_client:
            yield Facing(async_client)


async def test_every_call(call: Facing, standin: StandIn) -> None:
    """Create, sign, list, complete, get, wait, abort and download work alike on both clients."""
    created = await call("create", "a.mp3", 70_000, content_type="audio/mpeg", metadata={"a": "b"})
    assert (created.state, created.part_count, created.size_bytes) == ("uploading", 2, 70_000)
    assert [created.range_of_part(number) for number in (1, 2)] == [(0, 65536), (65536, 4464)]
    assert [part.part_number for part in created.parts] == [1, 2]
    signed = await call("sign", created.upload_id, [2])
    assert (signed[0].part_number, signed[0].size_bytes, signed[0].method) == (2, 4464, "PUT")
    async with httpx.AsyncClient() as store:
        for part in created.parts:
            sent = await store.put(part.url, headers=dict(part.headers), content=bytes(part.size_bytes))
            assert sent.status_code == 200
    listed = await call("list_parts", created.upload_id)
    done = await call("complete", created.upload_id, {part.part_number: part.etag for part in listed})
    assert done.is_final or (await call("wait", created.upload_id, 5)).is_final
    assert (await call("get", created.upload_id)).state == "ready"
    link = await call("download_url", created.upload_id)
    assert link.url.startswith(standin.url)
    assert link.expires_at.tzinfo is not None
    await call("abort", created.upload_id)
    assert (await call("get", created.upload_id)).state == "aborted"


async def test_pages_of_uploads(call: Facing) -> None:
    """A list is read page by page until there is no cursor."""
    made = {(await call("create", f"{number}.mp3", 5)).upload_id for number in range(3)}
    seen, cursor = set(), None
    for _ in range(2):
        page = await call("list", state="uploading", cursor=cursor, limit=2)
        seen |= {upload.upload_id for upload in page.uploads}
        cursor = page.next_cursor
    assert seen == made
    assert cursor is None


async def test_both_clients_try_again_and_give_up(call: Facing, standin: StandIn) -> None:
    """503 and resets are tried again; a gateway that stays away is Unreachable."""
    standin.api_faults["create"].extend([503, "reset", "late"])
    upload = await call("create", "a.mp3", 5)
    assert len(standin.uploads) == 1
    standin.api_faults["get"].extend(["reset"] * HASTY.attempts)
    with pytest.raises(Unreachable):
        await call("get", upload.upload_id)


async def test_a_file_goes_through_both(call: Facing, standin: StandIn, media: Path) -> None:
    """Both clients send a file and report its progress."""
    seen: list[Progress] = []
    upload = await call("upload", media, progress=seen.append)
    await asyncio.sleep(0)
    assert upload.state == "ready"
    assert len(standin.content()) == upload.size_bytes == seen[-1].sent_bytes


async def test_errors_of_the_engine_reach_both(call: Facing, standin: StandIn, media: Path) -> None:
    """What the engine raises is raised by both clients."""
    standin.part_faults[1].append(lambda: media.write_bytes(b"other"))
    with pytest.raises(FileChanged):
        await call("upload", media)


async def test_a_cancelled_task_stops_its_upload(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """Cancelling the task stops the threads behind it, and the next call goes on."""
    standin.hold_seconds = 30.0
    async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.upload(media)
        standin.hold_seconds = 0.0
        assert (await client.upload(media)).state == "ready"
    assert len(standin.uploads) == 1


async def test_the_event_loop_stays_free(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """While parts hang, the event loop of the async client runs on."""
    standin.hold_seconds = 0.3
    ticks = 0
    async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        task = asyncio.create_task(client.upload(media))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert (await task).state == "ready"
    assert ticks > 5


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "extension_not_allowed", InvalidRequest),
        (401, "unauthenticated", NotAuthorised),
        (403, "forbidden", NotAuthorised),
        (404, "not_found", UploadNotFound),
        (409, "wrong_state", WrongState),
        (409, "parts_mismatch", PartsMismatch),
        (410, "upload_expired", UploadExpired),
        (413, "file_too_large", TooLarge),
        (418, "teapot", GatewayProblem),
        (422, "invalid_request", InvalidRequest),
        (429, "rate_limited", GatewayUnavailable),
        (503, "unavailable", GatewayUnavailable),
    ],
)
def test_problems_become_errors(status: int, code: str, kind: type[GatewayProblem]) -> None:
    """A problem becomes the most specific error, with its code and its own fields."""
    problem = problem_of(
        httpx.Response(status, json={"code": code, "detail": "why", "missing": [1]}), "https://gw.example"
    )
    assert type(problem) is kind
    assert (problem.status, problem.code, problem.detail, problem.fields) == (status, code, "why", {"missing": [1]})
    assert str(problem).startswith(f"https://gw.example: why ({code}). ")
    assert problem.advice


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'"x"', b"\xff"])
def test_answers_that_are_no_problem_document(body: bytes) -> None:
    """A proxy's own page still becomes an error with its status."""
    problem = problem_of(httpx.Response(502, content=body))
    assert (type(problem), problem.code) == (GatewayUnavailable, "http_502")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), (" 0 ", 0), ("", None), ("soon", None), ("-3", None), ("9" * 40, 999_999_999)]
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """Retry-After is read as seconds; nonsense is no wish."""
    assert retry_after(httpx.Response(503, headers={"Retry-After": value})) == seconds


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date; the past is now."""
    later = (datetime.now(UTC) + timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    asked = retry_after(httpx.Response(503, headers={"Retry-After": later}))
    assert asked is not None
    assert 90 < asked <= 100
    assert retry_after(httpx.Response(503, headers={"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT"})) == 0


def test_waits_are_bounded() -> None:
    """Waits are random below a cap that grows, and a server's wish is kept up to a cap."""
    retry = Retry(base_seconds=1, cap_seconds=10, retry_after_cap_seconds=30)
    for failures in (1, 2, 3, 50, 10_000):
        drawn = [retry.delay(failures) for _ in range(100)]
        assert 0 <= min(drawn) < max(drawn) <= min(10, 2 ** (failures - 1))
    wish = httpx.Response(503, headers={"Retry-After": "86400"})
    assert 30 <= retry.delay(1, wish) <= 31


def test_secrets_are_not_shown(client: Client, standin: StandIn) -> None:
    """No address is in the repr of what carries one."""
    created = client.create("a.mp3", 5)
    shown = f"{created!r} {created.parts[0]!r} {client.sign(created.upload_id, [1])!r}"
    created_record = standin.only()
    created_record.state = "ready"
    shown += repr(client.download_url(created.upload_id))
    assert SECRET not in shown


def test_an_upload_without_a_plan_is_readable() -> None:
    """An upload of a size not known yet is listed like the others."""
    upload = read_upload(
        {"upload_id": "u", "state": "uploading", "filename": "a", "size_bytes": None, "part_size_bytes": None}
        | {"part_count": None, "created_at": "2026-01-01T00:00:00"}
    )
    assert upload.size_bytes is None
    assert upload.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="plan"):
        upload.range_of_part(1)


@pytest.mark.parametrize("url", ["", "gateway", "ftp://host", "http://", "/v1"])
def test_addresses_that_are_none(url: str) -> None:
    """An address that is no http(s) address is refused at once."""
    with pytest.raises(ValueError, match="http"):
        Client(url, KEY)


def test_at_least_one_part_in_flight(standin: StandIn) -> None:
    """No parts in flight would send nothing."""
    with pytest.raises(ValueError, match="parallel"):
        Client(standin.url, KEY, parallel=0)


def test_a_gateway_below_a_path(standin: StandIn, client: Client) -> None:
    """The address may end in a slash; calls go below it."""
    with Client(standin.url + "/", KEY, retry=HASTY) as other:
        assert other.list().uploads == ()


@pytest.mark.parametrize("path", sync_client.modules(), ids=lambda path: path.name)
def test_the_synchronous_client_is_made_from_the_asynchronous_one(path: Path) -> None:
    """Both clients have one text: the synchronous modules are what `make sync-client` writes."""
    assert (sync_client.CLIENT / "sync" / path.name).read_text() == sync_client.sync_text(path.read_text())


def test_every_export_exists() -> None:
    """What the package promises is there, in order."""
    assert sorted(package.__all__) == package.__all__
    assert all(hasattr(package, name) for name in package.__all__)


def test_the_client_needs_nothing_of_the_server() -> None:
    """Client and upload command import with httpx, rich and typer alone."""
    banned = "aiohttp boto3 fastapi pydantic psycopg uvicorn starlette orjson sqlalchemy procrastinate gateway.settings"
    program = (
        "import sys, gateway.cli.upload, gateway.client\n"
        f"found = [name for name in {banned.split()!r} if name in sys.modules]\n"
        "ours = [name for name in sys.modules if name.startswith('gateway.')]\n"
        "assert not found, found\n"
        "assert all(name.startswith(('gateway.client', 'gateway.cli')) for name in ours), ours\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_gateway_that_ignores_the_wish_to_wait(client: Client, standin: StandIn, media: Path) -> None:
    """A wait ends by its own clock when the gateway answers at once each time."""
    standin.rounds_until_final = 1000
    started = time.monotonic()
    assert client.upload(media, wait_seconds=1.5).state == "validating"
    assert standin.only().polls <= 4
    assert time.monotonic() >= started
