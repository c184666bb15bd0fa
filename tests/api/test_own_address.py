"""Addresses that the gateway gives out, what `/readyz` costs, and keys in the wrong place of a request."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway import logs
from gateway.auth.api_keys import parse_key
from gateway.database import api_keys
from gateway.storage.s3 import S3Store
from tests.api.conftest import Api, OpenApi, gather
from tests.api.uploaders import SECRET, call_with, issue


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "203.0.113.7"])
async def test_j12_a_foreign_host_never_gets_into_a_url_with_a_credential(open_api: OpenApi, host: str) -> None:
    """Without GATEWAY_PUBLIC_URL: 421 for a token's endpoint and for signRequest; with it, always that address."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    token = (await issue(api))["token"]
    sign = {"method": "POST", "key": "a.mp3"}
    for path, body in (("/v1/upload-tokens", {"expires_in_seconds": 60}), ("/uppy/sign", sign)):
        answer = await api.call("POST", path, json=body, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
        assert "GATEWAY_PUBLIC_URL" in answer.json()["detail"]
        assert host not in answer.text
    in_path = await api.client.post(f"/uppy/{token}/sign", json=sign, headers={"host": host})
    assert in_path.status_code == 421
    public: Api = await open_api(token_secret=SecretStr(SECRET), public_url="https://uploads.example.com/")
    public.keys = api.keys
    made = await public.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60}, headers={"host": host})
    assert made.json()["endpoint"].startswith("https://uploads.example.com/uppy/")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "app.localhost", "LOCALHOST."])
async def test_j12_loopback_hosts_are_ours(open_api: OpenApi, host: str) -> None:
    """On the own machine a token's endpoint follows the request, as `gateway dev` needs it."""
    api: Api = await open_api(token_secret=SecretStr(SECRET))
    made = await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60}, headers={"host": host})
    assert made.json()["endpoint"].lower().startswith(f"http://{host.lower()}/uppy/")


async def test_j5_readiness_is_asked_once_in_two_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred questions at once and a hundred after them cost one question to the store."""
    asked = 0
    head_bucket = S3Store.head_bucket

    async def counted(store: S3Store) -> None:
        nonlocal asked
        asked += 1
        await head_bucket(store)

    monkeypatch.setattr(S3Store, "head_bucket", counted)
    for _ in range(2):
        answers = await gather(*(api.client.get("/readyz") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
    assert asked == 1
    api.app.state.readiness._known_until = 0.0
    await api.client.get("/readyz")
    assert asked == 2


async def _everywhere(api: Api, secret: str) -> None:
    """Send a secret wherever a client may put it."""
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/v1/uploads/{secret}", {}),
        ("GET", f"/v1/uploads/{secret}/events", {}),
        ("DELETE", f"/v1/upload-tokens/{secret}", {}),
        ("GET", f"/{secret}", {}),
        ("GET", f"/uppy/{secret}/s3/params", {}),
        ("GET", f"/v1/uploads?key={secret}&state={secret}", {}),
        ("GET", f"/v1/events?ticket={secret}", {}),
        ("GET", "/v1/uploads", {"headers": {"x-api-key": secret, "cookie": f"key={secret}", "user-agent": secret}}),
        ("GET", "/v1/uploads", {"headers": {"authorization": secret}}),
        ("GET", "/v1/uploads", {"headers": {"authorization": f"Basic {secret}"}}),
        (
            "POST",
            "/v1/uploads",
            {"headers": {"idempotency-key": secret}, "json": {"filename": secret, "size_bytes": 1}},
        ),
        ("POST", "/v1/uploads", {"json": {secret: secret}}),
        ("POST", "/v1/uploads", {"content": secret, "headers": {"content-type": secret}}),
    ]
    for method, path, options in calls:
        await call_with(api, secret, method, path, **options)
        await api.client.request(method, path, **options)


@pytest.mark.parametrize(
    "secret", ["gw_0123456789_" + "k" * 43, "Correct-horse!battery~staple", "eyJhbGciOi.eyJzdWIi.c2ln"]
)
async def test_g3_a_key_of_any_form_reaches_no_log(open_api: OpenApi, secret: str) -> None:
    """Made keys, keys that a developer chose and tokens are in no line, wherever a client puts them."""
    api: Api = await open_api(token_secret=SecretStr(SECRET), rate_per_address=0)
    if not secret.startswith("eyJ"):
        key = parse_key(secret)
        database = api.gateway.database
        await api_keys.add(database, key_id=key.key_id, tenant_id="x", name="", secret_hash=key.secret_hash)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonFormatter())
    ours = [logging.getLogger(name) for name in ("gateway", "uvicorn")]
    levels = [logger.level for logger in ours]
    for logger in ours:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        await _everywhere(api, secret)
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
    assert written.getvalue().count("\n") > 20
    assert secret not in written.getvalue()


async def test_g3_an_unknown_method_is_not_logged_by_name(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A client may write its key where the method belongs."""
    caplog.set_level("INFO", "gateway.access")
    await asyncio.wait_for(api.client.send(httpx.Request("SECRETKEY123", "http://localhost/v1/uploads")), 10)
    assert [vars(record)["method"] for record in caplog.records if record.name == "gateway.access"] == ["OTHER"]
