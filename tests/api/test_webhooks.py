"""Webhooks: what a tenant asks for, what its receiver is told, and what comes of receivers that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.context import Gateway
from gateway.database import deliveries as deliveries_table
from gateway.database import transitions
from gateway.domain.transition import Transition
from gateway.domain.upload import State
from gateway.jobs.webhooks import send_webhooks_forever
from gateway.maintenance.sweep import sweep
from gateway.outbound.public_http import WebhookSender
from gateway.webhooks.deliver import MAX_CONCURRENT_EACH, claim_due, send_claimed
from gateway.webhooks.deliveries import KEEP_SECONDS, RESEND_SECONDS
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.api.receiver import Receiver, answer, receiving
from tests.api.uploaders import SECRET, create_with, issue

QUICK = (0.01, 0.01, 0.01)
"""Waits of a sender whose ten attempts are four and whose three days are a moment."""


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with webhooks switched on, to this machine too."""
    started: Api = await open_api(
        webhook_secret=SecretStr("w" * 32), token_secret=SecretStr(SECRET), webhook_private_hosts=True
    )
    return started


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    async with receiving() as running:
        yield running


async def add(api: Api, url: str, *types: str, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """Create a webhook."""
    wanted = {"url": url, **({"event_types": list(types)} if types else {}), **more}
    made = await api.call("POST", "/v1/webhooks", json=wanted, tenant=tenant)
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    assert made.headers["location"] == f"/v1/webhooks/{body['webhook_id']}"
    return body


def with_waits(gateway: Gateway, waits: tuple[float, ...] = QUICK) -> Gateway:
    """Give the gateway with other waits between attempts."""
    assert gateway.webhooks is not None
    return replace(gateway, webhooks=replace(gateway.webhooks, retry_seconds=waits))


@asynccontextmanager
async def sending(gateway: Gateway) -> AsyncIterator[None]:
    """Run a worker's sender."""
    task = asyncio.create_task(send_webhooks_forever(gateway, check_seconds=0.05))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def deliveries(api: Api, webhook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """List what was sent."""
    found = await api.call("GET", f"/v1/webhooks/{webhook['webhook_id']}/deliveries", params=query)
    assert found.status_code == 200, found.text
    listed: list[dict[str, Any]] = found.json()["deliveries"]
    return listed


async def ended(api: Api, webhook: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    """Wait until *count* deliveries have ended."""
    async with asyncio.timeout(30):
        while True:
            found = [one for one in await deliveries(api, webhook) if one["state"] != "pending"]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


async def get(api: Api, webhook: dict[str, Any]) -> dict[str, Any]:
    """Get a webhook."""
    body: dict[str, Any] = (await api.call("GET", f"/v1/webhooks/{webhook['webhook_id']}")).json()
    return body


async def test_a_ready_upload_is_told_once_with_the_metadata_of_its_token(api: Api, receiver: Receiver) -> None:
    """The receiver gets one signed message with what was checked and what the backend knows the user by."""
    webhook = await add(api, receiver.url, "upload.ready", description="ours")
    token = (await issue(api, metadata={"user_id": "7"}))["token"]
    created = (await create_with(api, token, mp3_bytes(), metadata={"user_id": "8", "album": "x"})).json()
    await api.put(created, mp3_bytes())
    ready = (await api.complete(created)).json()
    async with sending(api.gateway):
        (message,) = await receiver.wait(1)
        (delivery,) = await ended(api, webhook)
    said = message.read(webhook["secret"])
    assert message.path == "/hooks"
    assert message.headers["content-type"] == "application/json"
    assert (said["type"], said["data"]["state"], said["data"]["upload_id"]) == (
        "upload.ready",
        "ready",
        ready["upload_id"],
    )
    same = ("filename", "metadata", "bucket", "object_key", "size_bytes", "content_type", "etag", "version_id")
    for name in (*same, "detection", "rejection"):
        assert said["data"][name] == ready[name], name
    assert said["data"]["metadata"] == {"user_id": "7", "album": "x"}
    assert (delivery["message_id"], delivery["state"], delivery["attempts"]) == (message.id, "delivered", 1)
    assert (delivery["last_status"], delivery["next_attempt_at"]) == (204, None)
    assert len(receiver.received) == 1


async def test_every_event_can_be_asked_for_and_no_other_comes(api: Api, receiver: Receiver) -> None:
    """Of two webhooks each is told what it asked for; a rejection carries its reason, an abort its state."""
    ends = await add(api, receiver.url)
    async with receiving() as other:
        begins = await add(api, other.url, "upload.created", "upload.completing")
        rejected = await api.ready(b"<html>" * 100, "page.mp3")
        aborted = await api.create(mp3_bytes())
        assert (await api.call("DELETE", f"/v1/uploads/{aborted['upload_id']}")).status_code == 204
        async with sending(api.gateway):
            told = [message.read(ends["secret"]) for message in await receiver.wait(2)]
            begun = [message.read(begins["secret"]) for message in await other.wait(3)]
        assert sorted(said["type"] for said in begun) == ["upload.completing", "upload.created", "upload.created"]
        assert {said["data"]["state"] for said in begun} == {"uploading", "completing"}
    by_type = {said["type"]: said["data"] for said in told}
    assert by_type["upload.rejected"]["rejection"] == rejected["rejection"]
    assert by_type["upload.rejected"]["etag"] is None
    assert by_type["upload.aborted"]["upload_id"] == aborted["upload_id"]
    assert len(receiver.received) == 2


async def test_e7_a_failed_message_comes_again_under_the_same_id(api: Api, receiver: Receiver) -> None:
    """Id and body stay, time and signature are new; a good answer ends it and the count of failures."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [answer(500), answer(503, "retry-after: 0"), answer(200)]
    await api.create(mp3_bytes())
    async with sending(with_waits(api.gateway)):
        messages = await receiver.wait(3)
        (delivery,) = await ended(api, webhook)
    assert len({message.id for message in messages}) == len({message.body for message in messages}) == 1
    assert all(message.read(webhook["secret"])["type"] == "upload.created" for message in messages)
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 3, 200)
    fares = await get(api, webhook)
    assert (fares["failures"], fares["failing_since"], fares["enabled"]) == (0, None, True)


async def test_e7_the_last_attempt_is_the_last(api: Api, receiver: Receiver) -> None:
    """When every wait is used up the message has failed; the webhook stays on, and the message can be sent again."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [answer(500)]
    await api.create(mp3_bytes())
    async with sending(with_waits(api.gateway)):
        (delivery,) = await ended(api, webhook)
        assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("failed", 4, 500)
        fares = await get(api, webhook)
        assert (fares["failures"], fares["enabled"]) == (4, True)
        assert fares["failing_since"] is not None
        receiver.answers = [answer(200)]
        path = f"/v1/webhooks/{webhook['webhook_id']}/deliveries/{delivery['delivery_id']}/resend"
        assert (await api.call("POST", path)).status_code == 204
        await receiver.wait(5)
        async with asyncio.timeout(30):
            while (await deliveries(api, webhook))[0]["state"] != "delivered":
                await asyncio.sleep(0.02)
    assert len({message.id for message in receiver.received}) == 1


async def test_a_receiver_that_asks_for_time_gets_it(api: Api, receiver: Receiver) -> None:
    """Retry-After moves the next attempt; a receiver cannot make it come sooner."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [answer(429, "retry-after: 3600")]
    before = datetime.now(UTC)
    await api.create(mp3_bytes())
    for claimed in await claim_due(api.gateway, limit=10):
        await send_claimed(api.gateway, claimed)
    (delivery,) = await deliveries(api, webhook)
    assert datetime.fromisoformat(delivery["next_attempt_at"]) >= before + timedelta(seconds=3600)
    assert delivery["state"] == "pending"


async def test_e7_ten_failures_over_three_days_switch_it_off(api: Api, receiver: Receiver) -> None:
    """Nine do not, nor do a hundred within an hour; once off nothing is owed, and on again it goes on."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [answer(500)]

    async def fail_after(failures: int, since: timedelta) -> dict[str, Any]:
        with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
            connection.execute(
                "UPDATE webhooks SET failures = %s, failing_since = %s", (failures, datetime.now(UTC) - since)
            )
            connection.execute("UPDATE webhook_deliveries SET due_at = now()")
        (claimed,) = await claim_due(api.gateway, limit=10)
        await send_claimed(api.gateway, claimed)
        return await get(api, webhook)

    await api.create(mp3_bytes())
    assert (await fail_after(8, timedelta(days=9)))["enabled"]
    assert (await fail_after(100, timedelta(days=2, hours=23)))["enabled"]
    off = await fail_after(9, timedelta(days=3, minutes=1))
    assert (off["enabled"], off["disabled_reason"], off["failures"]) == (False, "failing", 10)
    await api.create(mp3_bytes())
    assert len(await deliveries(api, webhook)) == 1, "what happens while it is off is not owed"
    assert await claim_due(api.gateway, limit=10) == []
    receiver.answers = [answer(200)]
    changed = await api.call("PATCH", f"/v1/webhooks/{webhook['webhook_id']}", json={"enabled": True})
    assert (changed.json()["enabled"], changed.json()["failures"], changed.json()["disabled_at"]) == (True, 0, None)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    resent = await api.call("POST", f"/v1/webhooks/{webhook['webhook_id']}/resend", json={"since": since})
    assert (resent.status_code, resent.json()) == (202, {"due": 1}), "the one that was missed"
    with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("UPDATE webhook_deliveries SET due_at = now()")
    async with sending(api.gateway):
        await ended(api, webhook, 2)
    assert {one["state"] for one in await deliveries(api, webhook)} == {"delivered"}


async def test_e7_gone_switches_off_at_once(api: Api, receiver: Receiver) -> None:
    """410 ends the message and the webhook, also in the midst of others."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [answer(410)]
    await gather(*[api.create(mp3_bytes()) for _ in range(3)])
    async with sending(with_waits(api.gateway)):
        await ended(api, webhook)
        await receiver.wait_for(lambda: receiver.closed == len(receiver.received))
    fares = await get(api, webhook)
    assert (fares["enabled"], fares["disabled_reason"]) == (False, "gone")


async def test_e7_a_rotated_secret_overlaps_with_the_one_before(api: Api, receiver: Receiver) -> None:
    """For a day both read the messages; then, or after a second rotation, the first does not."""
    webhook = await add(api, receiver.url, "upload.created")
    path = f"/v1/webhooks/{webhook['webhook_id']}/secret"
    assert (await api.call("GET", path)).json() == {"secret": webhook["secret"], "previous_secret_until": None}
    rotated = (await api.call("POST", f"{path}/rotate")).json()
    assert rotated["secret"] != webhook["secret"]
    assert datetime.fromisoformat(rotated["previous_secret_until"]) > datetime.now(UTC) + timedelta(hours=23)
    await api.create(mp3_bytes())
    async with sending(api.gateway):
        (message,) = await receiver.wait(1)
        assert message.read(webhook["secret"]) == message.read(rotated["secret"])
        again = (await api.call("POST", f"{path}/rotate")).json()
        with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
            connection.execute("UPDATE webhooks SET previous_secret_until = now()")
        assert (await api.call("GET", path)).json() == {"secret": again["secret"], "previous_secret_until": None}
        await api.create(mp3_bytes())
        _, message = await receiver.wait(2)
    assert len(message.headers["webhook-signature"].split(" ")) == 1
    assert message.read(again["secret"])["type"] == "upload.created"


async def test_e4_a_redirect_is_not_followed(api: Api, receiver: Receiver) -> None:
    """301 to 308 are failures; nothing is asked of where they point to."""
    async with receiving() as inside:
        webhook = await add(api, receiver.url, "upload.created")
        receiver.answers = [answer(status, f"location: {inside.url}") for status in (301, 302, 307, 308)]
        await api.create(mp3_bytes())
        async with sending(with_waits(api.gateway)):
            (delivery,) = await ended(api, webhook)
        assert (delivery["state"], delivery["last_status"]) == ("failed", 308)
        assert inside.received == []


async def test_e6_an_answer_without_an_end_is_left(api: Api, receiver: Receiver) -> None:
    """The status counts; the body, however long, is not read and shown to nobody."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.answers = [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 104857600\r\n\r\n"]
    receiver.endless = b"secret of the receiver" * 1000
    await api.create(mp3_bytes())
    async with sending(api.gateway):
        (delivery,) = await ended(api, webhook)
        await receiver.wait_for(lambda: receiver.closed == 1)
    assert delivery["state"] == "delivered"
    # What fits into the sockets' buffers on the way is sent before the other side has closed; a hundred MB do not.
    assert receiver.sent_bytes < 50_000_000
    shown = await api.call("GET", f"/v1/webhooks/{webhook['webhook_id']}/deliveries")
    assert "secret of the receiver" not in shown.text


@pytest.mark.parametrize(
    ("said", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 10_000),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", b""),
        (b"", b""),
    ],
)
async def test_e6_a_head_without_an_end_is_left(api: Api, receiver: Receiver, said: bytes, endless: bytes) -> None:
    """Endless headers, lines and interim answers, and what is no HTTP, fail within the time of one attempt."""
    receiver.answers, receiver.endless = [said], endless
    async with WebhookSender(private=True, timeout_seconds=2).opened() as sender:
        outcome = await sender.send(receiver.url, {}, b"{}")
    assert (outcome.ok, outcome.status) == (False, None)
    assert outcome.error in ("no_answer", "timeout"), "whichever bound is reached first"


async def test_e6_a_receiver_that_says_nothing_is_left(receiver: Receiver) -> None:
    """Whoever takes the message and never answers has failed."""
    receiver.held.clear()
    async with WebhookSender(private=True, timeout_seconds=0.2).opened() as sender:
        outcome = await sender.send(receiver.url, {}, b"{}")
    assert outcome.error == "timeout"


async def test_a_dead_receiver_does_not_hold_up_the_others(api: Api, receiver: Receiver) -> None:
    """One that hangs has a few messages on their way, one once it failed; another gets all of its own meanwhile."""
    async with receiving() as dead:
        dead.held.clear()
        hanging = await add(api, dead.url, "upload.created")
        alive = await add(api, receiver.url, "upload.created")
        await gather(*[api.create(mp3_bytes()) for _ in range(12)])
        async with sending(api.gateway):
            await receiver.wait(12)
            await ended(api, alive, 12)
            assert len(await dead.wait(MAX_CONCURRENT_EACH)) == MAX_CONCURRENT_EACH
            with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
                connection.execute("UPDATE webhooks SET failures = 1, failing_since = now()")
                connection.execute("UPDATE webhook_deliveries SET claimed_until = NULL WHERE state = 'pending'")
            # The sender that runs beside this test may be the one that claims it.
            await claim_due(api.gateway, limit=64)
            claimed = "SELECT FROM webhook_deliveries WHERE webhook_id = %(id)s AND claimed_until > now()"
            assert len(await api.gateway.database.fetch_all(claimed, {"id": hanging["webhook_id"]})) == 1
        assert {one["state"] for one in await deliveries(api, hanging)} == {"pending"}


async def test_b1_what_a_dead_sender_held_is_sent_under_its_id_and_the_dead_one_changes_nothing(
    api: Api, receiver: Receiver
) -> None:
    """A claim runs out, another sends; the news of the first, coming late, is of no effect."""
    webhook = await add(api, receiver.url, "upload.created")
    await api.create(mp3_bytes())
    (held,) = await claim_due(api.gateway, limit=10)
    assert await claim_due(api.gateway, limit=10) == [], "nobody else has it meanwhile"
    with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("UPDATE webhook_deliveries SET due_at = now(), claimed_until = now()")
    (taken,) = await claim_due(api.gateway, limit=10)
    assert (taken.id, taken.attempts) == (held.id, 2)
    await send_claimed(api.gateway, taken)
    receiver.answers = [answer(500)]
    await send_claimed(api.gateway, held)
    (delivery,) = await deliveries(api, webhook)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
    assert (await get(api, webhook))["failures"] == 0
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)


async def test_b6_two_senders_share_the_work(api: Api, receiver: Receiver) -> None:
    """Two workers' senders send forty messages once each."""
    webhook = await add(api, receiver.url, "upload.created")
    await gather(*[api.create(mp3_bytes()) for _ in range(40)])
    async with sending(api.gateway), sending(api.gateway):
        await ended(api, webhook, 40)
    assert len(receiver.received) == len({message.id for message in receiver.received}) == 40


async def test_b10_a_message_on_its_way_is_ended_when_the_worker_stops(api: Api, receiver: Receiver) -> None:
    """A receiver that answers in the worker's last moment is heard; nothing new is begun meanwhile."""
    webhook = await add(api, receiver.url, "upload.created")
    receiver.held.clear()
    await api.create(mp3_bytes())
    task = asyncio.create_task(send_webhooks_forever(api.gateway))
    await receiver.wait(1)
    task.cancel()
    await api.create(mp3_bytes())
    receiver.held.set()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(one["state"] for one in await deliveries(api, webhook)) == ["delivered", "pending"]
    assert len(receiver.received) == 1


async def test_a_webhook_removed_this_moment_does_not_fail_an_upload(api: Api, receiver: Receiver) -> None:
    """A removal that has not committed yet makes an upload's move wait, not fail."""
    webhook = await add(api, receiver.url, "upload.aborted")
    created = await api.create(mp3_bytes())
    url = api.settings.database_url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("DELETE FROM webhooks WHERE id = %s", (webhook["webhook_id"],))
        moving = asyncio.create_task(_abort(api.gateway, UUID(created["upload_id"])))
        await asyncio.sleep(0.2)
        assert not moving.done()
        await connection.commit()
    assert await moving
    assert (await api.get(created["upload_id"]))["state"] == "aborted"


async def _abort(gateway: Gateway, upload_id: UUID) -> bool:
    async with gateway.database.connection() as connection:
        moved = await transitions.apply(
            connection, upload_id, Transition(from_state=State.UPLOADING, to_state=State.ABORTED)
        )
    return moved is not None


async def test_d1_a_webhook_is_its_tenants_alone(api: Api, receiver: Receiver) -> None:
    """Every route is 404 for another tenant and 403 for an upload token; another tenant's uploads are not told of."""
    webhook = await add(api, receiver.url, "upload.created")
    await api.create(mp3_bytes())
    (delivery,) = await deliveries(api, webhook)
    path = f"/v1/webhooks/{webhook['webhook_id']}"
    since = datetime.now(UTC).isoformat()
    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("GET", f"{path}/secret", None),
        ("POST", f"{path}/secret/rotate", None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/resend", {"since": since}),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/{delivery['delivery_id']}/resend", None),
    ]
    token = (await issue(api))["token"]
    for method, where, body in calls:
        theirs = await api.call(method, where, json=body, tenant="other")
        nobodys = await api.call(method, where.replace(webhook["webhook_id"], str(uuid4())), json=body)
        assert theirs.status_code == nobodys.status_code == 404, (method, where)
        assert theirs.json()["detail"] == nobodys.json()["detail"] == "There is no such webhook."
        headers = {"authorization": f"Bearer {token}"}
        assert (await api.client.request(method, where, json=body, headers=headers)).status_code == 403, (method, where)
    for where in ("/v1/webhooks/x", f"{path}/deliveries/x/resend"):
        assert (await api.call("POST" if "resend" in where else "GET", where)).status_code == 404
    assert (await api.call("GET", "/v1/webhooks", tenant="other")).json() == {"webhooks": []}
    assert (await api.call("POST", f"{path}/deliveries/{uuid4()}/resend")).status_code == 404
    foreign = await api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 9}, tenant="other")
    assert foreign.status_code == 201
    assert len(await deliveries(api, webhook)) == 1
    assert await get(api, webhook) == {name: webhook[name] for name in webhook if name != "secret"}
    assert receiver.received == []


async def test_a_webhook_is_changed_listed_and_removed(api: Api, receiver: Receiver) -> None:
    """What is not named stays; off means that nothing new is owed; removed takes what was owed with it."""
    webhook = await add(api, receiver.url)
    other = await add(api, receiver.url, "upload.ready")
    path = f"/v1/webhooks/{webhook['webhook_id']}"
    listed = (await api.call("GET", "/v1/webhooks")).json()["webhooks"]
    assert [one["webhook_id"] for one in listed] == [other["webhook_id"], webhook["webhook_id"]]
    assert "secret" not in listed[0]
    changed = (await api.call("PATCH", path, json={"event_types": ["upload.created"], "description": "x"})).json()
    assert (changed["event_types"], changed["description"], changed["url"]) == (["upload.created"], "x", receiver.url)
    off = (await api.call("PATCH", path, json={"enabled": False})).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "asked")
    assert (await api.call("PATCH", path, json={"enabled": False})).json() == off
    assert (await api.call("PATCH", path, json={})).json() == off
    await api.create(mp3_bytes())
    assert await deliveries(api, webhook) == []
    await api.call("PATCH", path, json={"enabled": True, "url": f"{receiver.url}/else"})
    await api.create(mp3_bytes())
    async with sending(api.gateway):
        (message,) = await receiver.wait(1)
        await ended(api, webhook)
    assert message.path == "/hooks/else"
    assert (await api.call("DELETE", path)).status_code == 204
    assert (await api.call("DELETE", path)).status_code == 404


async def test_deliveries_come_in_pages(api: Api, receiver: Receiver) -> None:
    """Newest first, none twice, by state."""
    webhook = await add(api, receiver.url, "upload.created")
    made = [(await api.create(mp3_bytes()))["upload_id"] for _ in range(5)]
    path = f"/v1/webhooks/{webhook['webhook_id']}/deliveries"
    seen, cursor = [], None
    for size in (2, 2, 1):
        page = (await api.call("GET", path, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        assert len(page["deliveries"]) == size
        seen += [one["upload_id"] for one in page["deliveries"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (made[::-1], None)
    assert len(await deliveries(api, webhook, state="pending")) == 5
    assert await deliveries(api, webhook, state="failed") == []
    for wrong in ({"cursor": "x"}, {"limit": 0}, {"limit": 1001}, {"state": "lost"}):
        assert (await api.call("GET", path, params=wrong)).status_code == 422, wrong


async def test_e1_e5_a_webhook_goes_to_public_https_only(open_api: OpenApi) -> None:
    """Where private hosts are not allowed, every way to write one is refused with a sentence, and nothing is kept."""
    api = await open_api(webhook_secret=SecretStr("w" * 32))
    hosts = [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "①②⑦.⓪.⓪.①",
        "localhost",
        "10.0.0.1",
        "nowhere.invalid",
    ]
    urls = [f"https://{host}/" for host in hosts]
    urls += ["http://example.com/", "https://u:p@example.com/", "https://example.com:22/", "https://example.com\\x/"]
    for url in urls:
        refused = await api.call("POST", "/v1/webhooks", json={"url": url})
        assert refused.status_code == 422, url
        assert refused.json()["detail"].startswith(("url", "The request")), refused.text
    assert (await api.call("GET", "/v1/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": 7},
        {"url": "http://127.0.0.1/", "event_types": []},
        {"url": "http://127.0.0.1/", "event_types": ["ready"]},
        {"url": "http://127.0.0.1/", "event_types": ["upload.ready"] * 100},
        {"url": "http://127.0.0.1/", "description": "x" * 201},
        {"url": "http://127.0.0.1/", "secret": "mine"},
        {"url": "http://127.0.0.1/", "tenant_id": "other"},
        {"url": "http://127.0.0.1/\x00"},
        {"url": "http://127.0.0.1/", "description": "a\x00b"},
    ],
)
async def test_a_wrong_webhook_is_refused(api: Api, body: dict[str, Any]) -> None:
    """What is missing, unknown or too much is 422."""
    assert (await api.call("POST", "/v1/webhooks", json=body)).status_code == 422


async def test_half_a_character_is_refused(api: Api) -> None:
    """Half of a surrogate pair is no text that could be kept."""
    body = b'{"url": "http://127.0.0.1/", "description": "\\ud800"}'
    assert (await api.call("POST", "/v1/webhooks", content=body)).status_code == 422


@pytest.mark.parametrize("since", ["yesterday", "2026-01-01T00:00:00", 7, None, "2020-01-01T00:00:00Z"])
async def test_resending_needs_a_time_within_seven_days(api: Api, receiver: Receiver, since: Any) -> None:
    """A time without an offset, and one before deliveries are kept, are refused."""
    webhook = await add(api, receiver.url)
    path = f"/v1/webhooks/{webhook['webhook_id']}/resend"
    assert (await api.call("POST", path, json={"since": since})).status_code == 422


async def test_a_tenant_has_at_most_twenty_however_many_are_made_at_once(api: Api, receiver: Receiver) -> None:
    """Of thirty creates at once exactly twenty succeed; another tenant is not affected."""
    calls = [api.call("POST", "/v1/webhooks", json={"url": receiver.url}) for _ in range(30)]
    statuses = [made.status_code for made in await gather(*calls)]
    assert sorted(statuses) == [201] * 20 + [409] * 10
    assert (await api.call("POST", "/v1/webhooks", json={"url": receiver.url})).json()["code"] == "too_many_webhooks"
    await add(api, receiver.url, tenant="other")


async def test_a_test_message_says_what_came_of_it(api: Api, receiver: Receiver) -> None:
    """It is signed, is no delivery and counts as no failure; where nobody listens the answer says so."""
    webhook = await add(api, receiver.url)
    path = f"/v1/webhooks/{webhook['webhook_id']}/test"
    assert (await api.call("POST", path)).json() == {"delivered": True, "status": 204, "error": None}
    (message,) = receiver.received
    assert message.read(webhook["secret"])["type"] == "webhook.test"
    receiver.answers = [answer(401)]
    assert (await api.call("POST", path)).json() == {"delivered": False, "status": 401, "error": None}
    nobody = await add(api, "http://127.0.0.1:9/")
    tried = await api.call("POST", f"/v1/webhooks/{nobody['webhook_id']}/test")
    assert tried.json() == {"delivered": False, "status": None, "error": "not_reachable"}
    assert await deliveries(api, webhook) == []
    assert (await get(api, webhook))["failures"] == 0


async def test_g3_no_secret_and_no_address_is_kept_or_logged(
    api: Api, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The database holds no signing secret, and the log no address, which may carry one of the receiver's."""
    caplog.set_level("DEBUG")
    webhook = await add(api, f"{receiver.url}?key=receivers-own", "upload.created")
    receiver.answers = [answer(500), answer(200)]
    await api.create(mp3_bytes())
    async with sending(with_waits(api.gateway)):
        await ended(api, webhook)
    logged = "\n".join(json.dumps(record.__dict__, default=str) for record in caplog.records)
    assert "webhook failed" in logged
    for hidden in ("receivers-own", webhook["secret"], webhook["secret"].removeprefix("whsec_"), "w" * 32):
        assert hidden not in logged
    with psycopg.connect(api.settings.database_url.get_secret_value()) as connection:
        rows = connection.execute("SELECT w::text, d::text FROM webhooks w, webhook_deliveries d").fetchall()
    assert webhook["secret"].removeprefix("whsec_") not in str(rows)


async def test_old_deliveries_are_forgotten(api: Api, receiver: Receiver) -> None:
    """What ended more than seven days ago goes with the sweep; what is pending stays."""
    webhook = await add(api, receiver.url, "upload.created")
    for _ in range(3):
        await api.create(mp3_bytes())
    with psycopg.connect(api.settings.database_url.get_secret_value(), autocommit=True) as connection:
        query = """UPDATE webhook_deliveries SET state = 'failed', ended_at = now() - %s::interval WHERE id = %s"""
        ids = [row[0] for row in connection.execute("SELECT id FROM webhook_deliveries")]
        connection.execute(query, ("7 days 2 hours", ids[0]))
        connection.execute(query, ("6 days 23 hours", ids[1]))
    assert (await sweep(api.gateway))["forgotten_deliveries"] == 1
    assert {one["delivery_id"] for one in await deliveries(api, webhook)} == {str(one) for one in ids[1:]}


async def test_without_a_secret_webhooks_are_off(open_api: OpenApi) -> None:
    """Creating says what to set; uploads work, and a worker's sender has nothing to do."""
    api = await open_api()
    refused = await api.call("POST", "/v1/webhooks", json={"url": "https://example.com/"})
    assert (refused.status_code, refused.json()["code"]) == (501, "not_configured")
    assert "GATEWAY_WEBHOOK_SECRET" in refused.json()["detail"]
    assert (await api.ready(mp3_bytes()))["state"] == "ready"


async def test_a_delivery_that_was_forgotten_is_not_sent_again(api: Api, receiver: Receiver) -> None:
    """An event of the last seven days has a delivery or missed it; an older one may have lost its, and stays unsent."""
    webhook = await add(api, receiver.url, "upload.created")
    await api.create(mp3_bytes())
    await api.create(mp3_bytes())
    database = api.gateway.database
    await database.execute("UPDATE webhook_deliveries SET state = 'delivered', ended_at = now()", {})
    # Both were delivered at once and then seven days pass for the first, which was forgotten.
    aged = "UPDATE {0} SET {1} = {1} - interval '7 days 1 second' WHERE {2} = (SELECT min(id) FROM events)"
    await database.execute(aged.format("events", "created_at", "id"), {})
    await database.execute("DELETE FROM webhook_deliveries WHERE event_id = (SELECT min(id) FROM events)", {})
    due = await deliveries_table.resend_since(
        database,
        "acme",
        UUID(webhook["webhook_id"]),
        since=datetime.now(UTC) - timedelta(days=8),
        keep_seconds=RESEND_SECONDS,
        event_types=("upload.created",),
        limit=10,
    )
    assert due == 0
    assert KEEP_SECONDS > RESEND_SECONDS, "a delivery outlives the time in which its event can be sent again"
