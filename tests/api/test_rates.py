"""How often a key, a token or an address may ask, in the real application with a clock of the test's own."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway import logs
from gateway.api.rate_limits import Limits
from gateway.auth.api_keys import new_key, parse_key
from gateway.client.watch import watch
from gateway.database import api_keys
from gateway.domain.principal import Principal, TokenGrant
from gateway.settings import Settings
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.api.live import of, serve, watching
from tests.api.uploaders import SECRET, call_with, issue
from tests.unit.test_rates import Clock

BURST = 60
"""Requests at once, with one a second."""

PAGE = "https://customer.example"
WRONG = "gw_0123456789_" + "a" * 43
TICKET = f"gwt_{'a' * 43}"

OpenLimited = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


@pytest.fixture
def open_limited(open_api: OpenApi, clock: Clock) -> OpenLimited:
    """Give a function that starts the API with one request a second for everybody."""

    async def start(**changed: Any) -> Api:
        rates = {"rate_per_key": 1, "rate_per_token": 1, "rate_per_address": 1}
        api: Api = await open_api(**{"token_secret": SecretStr(SECRET), **rates, **changed})
        api.app.state.limits = Limits(api.settings, clock)
        return api

    return start


def _from(api: Api, host: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(api.app, raise_app_exceptions=False, client=(host, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def _bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def _statuses(calls: list[Any]) -> list[int]:
    return sorted(answer.status_code for answer in await gather(*calls))


async def _use_up(client: httpx.AsyncClient, **options: Any) -> None:
    """Fail until the address has to wait."""
    found = await _statuses([client.get("/v1/uploads", **options) for _ in range(BURST)])
    assert found == [401] * BURST


def _told_to_wait(answer: httpx.Response) -> bool:
    if answer.status_code != 429:
        return False
    assert answer.json()["code"] == "too_many_requests"
    assert answer.headers["retry-after"] == "1"
    return True


async def test_g6_a_key_that_asks_too_often_waits_and_no_other(open_limited: OpenLimited, clock: Clock) -> None:
    """All at once, a minute's worth passes and the rest is 429; after Retry-After one passes; other keys never wait."""
    api = await open_limited()
    await api.key()
    found = await _statuses([api.call("GET", "/v1/uploads") for _ in range(BURST + 20)])
    assert found == [200] * BURST + [429] * 20
    assert (await api.call("GET", "/v1/uploads", tenant="other")).status_code == 200
    refused = await api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 1})
    assert _told_to_wait(refused)
    clock.move(int(refused.headers["retry-after"]))
    assert (await api.call("GET", "/v1/uploads")).status_code == 200
    assert _told_to_wait(await api.call("GET", "/v1/uploads"))


async def test_g6_a_tokens_requests_are_its_own(open_limited: OpenLimited) -> None:
    """A token that asks too often takes nothing from its backend, its address or others, and its page can read it."""
    api = await open_limited()
    greedy, other = [(await issue(api, allowed_origins=[PAGE]))["token"] for _ in range(2)]
    calls = [call_with(api, greedy, "GET", "/v1/uploads", headers={"origin": PAGE}) for _ in range(BURST + 1)]
    assert await _statuses(calls) == [200] * BURST + [429]
    refused = await call_with(api, greedy, "GET", "/v1/uploads", headers={"origin": PAGE})
    assert _told_to_wait(refused)
    assert refused.headers["access-control-allow-origin"] == PAGE
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    in_path = await api.client.get(f"/uppy/{greedy}/s3/params?filename=a.mp3", headers={"origin": PAGE})
    assert _told_to_wait(in_path)
    assert in_path.json()["message"]
    as_xml = await api.client.post(f"/uppy/{greedy}/s3xml?uploads&key=a.mp3")
    assert (as_xml.status_code, as_xml.headers["retry-after"]) == (429, "1")
    assert (await call_with(api, other, "GET", "/v1/uploads")).status_code == 200
    assert (await api.call("GET", "/v1/uploads")).status_code == 200
    assert (await api.client.get("/v1/uploads")).status_code == 401, "the address has failed at nothing"


async def test_g6_a_token_counts_also_where_it_may_not_be_used(open_limited: OpenLimited) -> None:
    """A page of another origin gets 403 as often as the token may ask, then 429, and never the address's share."""
    api = await open_limited()
    token = (await issue(api, allowed_origins=[PAGE]))["token"]
    elsewhere = {"origin": "https://elsewhere.example"}
    calls = [call_with(api, token, "GET", "/v1/uploads", headers=elsewhere) for _ in range(BURST + 1)]
    assert await _statuses(calls) == [403] * BURST + [429]
    assert (await api.client.get("/v1/uploads")).status_code == 401


async def test_g6_an_expired_token_counts_for_itself(open_limited: OpenLimited) -> None:
    """A page whose token has expired asks for a new one; that is nobody's guessing, and bounded all the same."""
    api = await open_limited()
    now = api.gateway.now()
    grant = TokenGrant(token_id=uuid4(), policy="media")
    old = api.gateway.tokens.sign(Principal("acme", "key", grant), grant, now - timedelta(2), now - timedelta(1))
    calls = [call_with(api, old, "GET", "/v1/uploads") for _ in range(BURST + 1)]
    assert await _statuses(calls) == [401] * BURST + [429]
    assert (await api.client.get("/v1/uploads")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/uploads", {}, 401),
        ("GET", "/v1/uploads", {"authorization": "Basic YTpi"}, 401),
        ("GET", "/v1/uploads", _bearer("x"), 401),
        ("POST", "/v1/upload-tokens", _bearer(WRONG), 401),
        ("POST", "/upload/stream", _bearer(WRONG), 401),
        ("GET", "/v1/uploads", _bearer("eyJh.eyJi.c"), 401),
        ("GET", "/uppy/eyJh.eyJi.c/s3/params", {}, 401),
        ("POST", "/uppy/eyJh.eyJi.c/s3/multipart", {}, 401),
        ("POST", "/uppy/eyJh.eyJi.c/s3xml", {}, 401),
        ("POST", "/uppy/eyJh.eyJi.c/sign", {}, 401),
        ("GET", f"/v1/events?ticket={TICKET}", {}, 401),
        ("GET", "/v1/events?ticket=x", {}, 401),
        ("POST", "/store-events", _bearer(WRONG), 401),
    ],
)
async def test_g6_strangers_are_counted_by_address(
    open_limited: OpenLimited, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Whatever is tried without a good key or token waits at its address after a while, and no other address does."""
    api = await open_limited(store_events_secret=SecretStr(SECRET))
    attempts = [api.client.request(method, path, headers=headers) for _ in range(BURST)]
    assert await _statuses(attempts) == [status] * BURST
    again = await api.client.request(method, path, headers=headers)
    assert again.status_code == 429
    assert again.headers["retry-after"] == "1"
    async with _from(api, "203.0.113.9") as elsewhere:
        assert (await elsewhere.request(method, path, headers=headers)).status_code == status


async def test_g6_pages_with_old_tickets_and_tokens_lock_nobody_out(open_limited: OpenLimited) -> None:
    """Pages come with used tickets after a restart, dead tokens after a new secret: who is good beside them goes on."""
    api = await open_limited(rate_per_key=0)
    created = await api.create(mp3_bytes())
    ticket = (await api.call("POST", f"/v1/uploads/{created['upload_id']}/ticket")).json()["ticket"]
    await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")
    api.app.state.limits = Limits(api.settings, Clock())
    for path, headers in (
        (f"/v1/events?ticket={TICKET}", {}),
        ("/v1/uploads", _bearer("eyJh.eyJi.c")),
        ("/v1/uploads", {}),
    ):
        assert await _statuses([api.client.get(path, headers=headers) for _ in range(BURST + 1)]) == [401] * BURST + [
            429
        ]
    assert (await api.client.get(f"{of(created)}?ticket={ticket}&last_event_id=")).status_code == 200
    assert (await api.call("GET", "/v1/uploads")).status_code == 200, "this process has not seen the key yet"


async def test_g6_guessing_does_not_lock_a_key_in_use_out(open_limited: OpenLimited, clock: Clock) -> None:
    """Behind an address that guesses, keys in use and all tokens go on; an unknown key waits and is not looked up."""
    api = await open_limited(rate_per_key=0)
    token = (await issue(api))["token"]
    late = new_key()
    await api_keys.add(
        api.gateway.database, key_id=late.key_id, tenant_id="late", name="", secret_hash=late.secret_hash
    )
    await _use_up(api.client, headers=_bearer(WRONG))
    for _ in range(3):
        assert (await api.call("GET", "/v1/uploads")).status_code == 200
        assert (await call_with(api, token, "GET", "/v1/uploads")).status_code == 200
        # Good, and refused all the same: so nobody looked it up.
        assert _told_to_wait(await call_with(api, late.text, "GET", "/v1/uploads"))
        # The right id of a key in use does not make a guess at its secret a known key.
        half = f"{(await api.key())[:14]}{'a' * 43}"
        assert parse_key(half).key_id == parse_key(await api.key()).key_id
        assert _told_to_wait(await call_with(api, half, "GET", "/v1/uploads"))
    async with _from(api, "203.0.113.9") as elsewhere:
        assert (await elsewhere.get("/v1/uploads", headers=_bearer(late.text))).status_code == 200
    assert (await call_with(api, late.text, "GET", "/v1/uploads")).status_code == 200, "it is known now"
    assert _told_to_wait(await api.client.get("/v1/uploads", headers=_bearer(WRONG)))
    clock.move(1)
    assert (await api.client.get("/v1/uploads", headers=_bearer(WRONG))).status_code == 401


async def test_g6_a_guess_takes_nothing_from_the_key_it_is_at(open_limited: OpenLimited) -> None:
    """Wrong secrets with a key's right id use up their address's requests and none of the key's."""
    api = await open_limited()
    half = f"{(await api.key())[:14]}{'a' * 43}"
    for host in range(3):
        async with _from(api, f"203.0.113.{host}") as guesser:
            await _use_up(guesser, headers=_bearer(half))
    found = await _statuses([api.call("GET", "/v1/uploads") for _ in range(BURST)])
    assert found == [200] * BURST


async def test_g6_a_revoked_key_is_a_stranger(open_limited: OpenLimited) -> None:
    """A key that was good is refused by the next request and passes no more where its address has to wait."""
    api = await open_limited()
    assert (await api.call("GET", "/v1/uploads")).status_code == 200
    await _use_up(api.client, headers=_bearer(WRONG))
    await api_keys.revoke(api.gateway.database, parse_key(await api.key()).key_id)
    assert _told_to_wait(await api.call("GET", "/v1/uploads"))
    assert api.app.state.limits.good_keys.get(parse_key(await api.key()).secret_hash) is None
    async with _from(api, "203.0.113.9") as elsewhere:
        assert (await elsewhere.get("/v1/uploads", headers=_bearer(await api.key()))).status_code == 401


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"])
@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
async def test_g6_nobody_chooses_an_address(open_limited: OpenLimited, header: str, trusted: tuple[str, ...]) -> None:
    """Whoever is no trusted proxy is counted under the address it connects from, whatever it writes."""
    api = await open_limited(trusted_proxies=trusted)
    async with _from(api, "203.0.113.7") as client:
        written = [f"for=198.51.100.{n}" if header == "forwarded" else f"198.51.100.{n}" for n in range(BURST)]
        attempts = [client.get("/v1/uploads", headers={header: text}) for text in written]
        assert await _statuses(attempts) == [401] * BURST
        for text in ("192.0.2.1", "10.0.0.1", "127.0.0.1", ""):
            assert _told_to_wait(await client.get("/v1/uploads", headers={header: text}))


async def test_g6_behind_a_trusted_proxy_clients_are_told_apart(open_limited: OpenLimited) -> None:
    """The right-most address that no proxy of ours has is counted; what the client wrote left of it changes nothing."""
    api = await open_limited(trusted_proxies=("10.0.0.0/8",))
    async with _from(api, "10.0.0.1") as proxy:

        def asked(forwarded_for: str) -> Any:
            return proxy.get("/v1/uploads", headers={"x-forwarded-for": forwarded_for})

        attempts = [asked(f"198.51.100.{n}, 10.0.0.9, 203.0.113.7, 10.0.0.2") for n in range(BURST)]
        assert await _statuses(attempts) == [401] * BURST
        for left in ("", "192.0.2.1, ", "unknown, ", "10.0.0.3, "):
            assert _told_to_wait(await asked(f"{left}203.0.113.7"))
        two_lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.7")]
        assert _told_to_wait(await proxy.get("/v1/uploads", headers=two_lines))
        for other in ("203.0.113.8", "203.0.113.7, 203.0.113.8", "unknown", "203.0.113.7, unknown"):
            assert (await asked(other)).status_code == 401, other


async def test_g6_an_ipv6_network_is_one_client(open_limited: OpenLimited) -> None:
    """A subscriber's /64 has one budget, however many addresses of it are used."""
    api = await open_limited()
    for number in range(BURST):
        async with _from(api, f"2001:db8:1:2::{number:x}") as client:
            assert (await client.get("/v1/uploads")).status_code == 401
    async with _from(api, "2001:db8:1:2:ffff::1") as same, _from(api, "2001:db8:1:3::1") as other:
        assert _told_to_wait(await same.get("/v1/uploads"))
        assert (await other.get("/v1/uploads")).status_code == 401


@pytest.mark.parametrize(("peer", "scheme"), [("10.0.0.1", "https"), ("203.0.113.7", "http")])
async def test_only_a_trusted_proxy_says_that_it_was_https(open_limited: OpenLimited, peer: str, scheme: str) -> None:
    """Addresses that the gateway gives out follow X-Forwarded-Proto of a trusted proxy and of nobody else."""
    api = await open_limited(trusted_proxies=("10.0.0.0/8",))
    headers = {**_bearer(await api.key()), "x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.1"}
    async with _from(api, peer) as client:
        answer = await client.post("/v1/upload-tokens", headers=headers, json={"expires_in_seconds": 60})
    assert answer.json()["endpoint"].startswith(f"{scheme}://localhost/")


async def test_g6_what_asks_for_nobodys_sake_is_not_counted(open_limited: OpenLimited) -> None:
    """Health, the browser module and preflights of allowed pages count nowhere, and work while their address waits."""
    api = await open_limited(allowed_origins=("https://app.example.com",))
    preflight = {"origin": "https://app.example.com", "access-control-request-method": "POST"}

    async def all_work() -> None:
        for path in ("/healthz", "/readyz", "/client.js", "/openapi.json"):
            assert (await api.client.get(path)).status_code == 200
        assert (await api.client.options("/v1/uploads", headers=preflight)).status_code == 204

    for _ in range(BURST // 4):
        await all_work()
    await _use_up(api.client)
    refused = await api.client.get("/v1/uploads", headers={"origin": "https://app.example.com"})
    assert _told_to_wait(refused)
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"
    await all_work()


async def test_g6_nothing_is_counted_where_it_is_switched_off(open_limited: OpenLimited) -> None:
    """With 0 nobody waits."""
    api = await open_limited(rate_per_key=0, rate_per_token=0, rate_per_address=0)
    token = (await issue(api))["token"]
    for headers, status in ((_bearer(await api.key()), 200), (_bearer(token), 200), ({}, 401), (_bearer(WRONG), 401)):
        calls = [api.client.get("/v1/uploads", headers=headers) for _ in range(BURST + 10)]
        assert await _statuses(calls) == [status] * (BURST + 10)


async def test_g6_the_defaults_let_a_large_file_through(open_api: OpenApi) -> None:
    """A thousand parts signed one by one, all at once, by a key and by a token: nobody waits."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    token = (await issue(api))["token"]
    for bearer in (await api.key(), token):
        wanted = {"filename": "a.mp4", "size_bytes": 5000 * 2**20, "part_size_bytes": 5 * 2**20}
        created = (await call_with(api, bearer, "POST", "/v1/uploads", json=wanted)).json()
        path = f"/v1/uploads/{created['upload_id']}/parts/sign"
        slots = asyncio.Semaphore(20)

        async def sign(number: int, bearer: str = bearer, path: str = path, slots: asyncio.Semaphore = slots) -> int:
            async with slots:
                answer = await call_with(api, bearer, "POST", path, json={"part_numbers": [number]})
                return answer.status_code

        assert set(await gather(*(sign(number) for number in range(1, 1001)))) == {200}


async def test_g6_a_stream_a_socket_and_a_wait_are_one_request_each(settings: Settings) -> None:
    """On real sockets: what stays open is counted when it is opened, and refused as any request is."""
    async with serve(settings.model_copy(update={"rate_per_key": 1, "stream_heartbeat_seconds": 0.1})) as api:
        clock = Clock()
        created = await api.create(mp3_bytes())
        path = f"/v1/uploads/{created['upload_id']}"
        ticket = (await api.call("POST", f"{path}/ticket")).json()["ticket"]
        api.server.config.app.state.limits = limits = Limits(api.settings, clock)  # type: ignore[union-attr]  # ours
        url = f"ws://127.0.0.1:{api.port}{path}/ws"
        bearer = _bearer(await api.key())
        async with watching(api, of(created)), connect(url, additional_headers=bearer) as socket:
            await socket.recv()
            async with connect(f"{url}?ticket={ticket}") as other:
                await other.recv()
                await asyncio.sleep(0.5)
                waited = await api.call("GET", path, headers={"prefer": "wait=1"})
                assert waited.headers["preference-applied"] == "wait=1"
        counted = BURST - 4
        assert await _statuses([api.call("GET", path) for _ in range(counted + 1)]) == [200] * counted + [429]
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=bearer)
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        assert _told_to_wait(await api.call("GET", of(created)))
        assert len(limits.strangers) == 0


async def test_g6_a_watching_client_waits_as_it_is_told(settings: Settings) -> None:
    """The Python client's `watch` heeds Retry-After, then gets its events."""
    async with serve(settings.model_copy(update={"rate_per_key": 1})) as api:
        clock, paused = Clock(), []
        created = await api.create(mp3_bytes())
        api.server.config.app.state.limits = Limits(api.settings, clock)  # type: ignore[union-attr]  # ours
        await gather(*(api.call("GET", of(created).removesuffix("/events")) for _ in range(BURST)))

        def pause(seconds: float) -> None:
            paused.append(seconds)
            clock.move(1)

        events = watch(api.address, await api.key(), created["upload_id"], pause=pause)
        first = await asyncio.to_thread(next, events)
        await asyncio.to_thread(events.close)
        assert first.name == "created"
        assert [1 <= seconds <= 2 for seconds in paused] == [True]


async def test_g6_the_log_names_who_was_refused(open_limited: OpenLimited) -> None:
    """A line of a refusal has the client's address and the id of its key or token; others have neither."""
    api = await open_limited(trusted_proxies=("10.0.0.1/32",))
    issued = await issue(api)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("gateway.access")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        async with _from(api, "10.0.0.1") as proxy:
            for bearer in (await api.key(), issued["token"], WRONG):
                headers = {**_bearer(bearer), "x-forwarded-for": "198.51.100.1, 203.0.113.7"}
                await gather(*(proxy.get("/v1/uploads", headers=headers) for _ in range(BURST + 1)))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    refused = [line for line in lines if line["status"] == 429]
    key_id = parse_key(await api.key()).key_id
    assert {line["client"] for line in refused} == {"203.0.113.7"}
    assert {line.get("key_id") for line in refused} == {key_id, None}
    assert {line.get("token_id") for line in refused} == {issued["token_id"], None}
    assert not any("client" in line or "key_id" in line for line in lines if line["status"] == 200)
    assert issued["token"] not in written.getvalue()
