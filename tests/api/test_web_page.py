"""Who gets a token from the open page of `gateway dev`: its own page, and nobody else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.auth.api_keys import parse_key
from gateway.database import api_keys
from tests.api.conftest import Api, OpenApi

KEY = "development-key-of-this-test"
OWN = "http://localhost"
FOREIGN = "http://app.test"


@pytest_asyncio.fixture
async def open_page(open_api: OpenApi) -> Api:
    """Serve the open page, with another allowed origin beside its own."""
    from pydantic import SecretStr

    api: Api = await open_api(
        upload_page="open",
        dev_key=SecretStr(KEY),
        token_secret=SecretStr("s" * 40),
        allowed_origins=(OWN, FOREIGN),
    )
    parsed = parse_key(KEY)
    await api_keys.add(
        api.gateway.database, key_id=parsed.key_id, tenant_id="dev", name="dev", secret_hash=parsed.secret_hash
    )
    return api


async def ask(api: Api, **headers: str) -> httpx.Response:
    """Ask for a token as a page would."""
    return await api.client.post("/page/token", headers=headers)


async def test_own_page_gets_a_token_that_uploads_and_downloads(open_page: Api) -> None:
    """The page's own request is answered with an upload token, which is no API key."""
    answer = await ask(open_page, origin=OWN)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    token = {"authorization": f"Bearer {answer.json()['token']}"}
    wanted = {"filename": "talk.wav", "size_bytes": 1000}
    assert (await open_page.client.post("/v1/uploads", headers=token, json=wanted)).status_code == 201
    assert (await open_page.client.post("/v1/upload-tokens", headers=token, json={})).status_code == 403
    assert KEY not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no page at all"),
        pytest.param({"origin": "null"}, id="a sandboxed frame"),
        pytest.param({"origin": "https://evil.example"}, id="another site"),
        pytest.param({"origin": FOREIGN}, id="an allowed origin elsewhere"),
        pytest.param({"origin": "http://rebound.example", "host": "rebound.example"}, id="a rebound host name"),
        pytest.param({"origin": OWN, "host": "rebound.example"}, id="another host"),
        pytest.param({"origin": OWN.upper()}, id="an origin no browser writes"),
    ],
)
async def test_other_pages_get_no_token(open_page: Api, headers: dict[str, Any]) -> None:
    """Another site, an allowed one too, and a host name pointed at this machine are refused."""
    answer = await ask(open_page, **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_no_other_method_gives_tokens(open_page: Api) -> None:
    """A link or an image cannot ask."""
    assert (await open_page.client.get("/page/token", headers={"origin": OWN})).status_code == 405


async def test_revoked_key_gives_no_tokens(open_page: Api) -> None:
    """When the development key is gone, so is what the page gives away."""
    assert await api_keys.revoke(open_page.gateway.database, parse_key(KEY).key_id)
    assert (await ask(open_page, origin=OWN)).status_code == 401
