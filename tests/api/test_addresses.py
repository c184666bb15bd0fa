"""Addresses that the gateway gives out lead back to it, below whatever path clients reach it."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from asgi_lifespan import LifespanManager
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.api.app import create_app
from gateway.settings import Settings
from tests.api.conftest import Api, OpenApi, mp3_bytes

PUBLIC = "https://files.example.com/media"
TOKEN_SECRET = SecretStr("a-secret-of-at-least-32-characters-x")


@pytest.fixture
async def below(open_api: OpenApi) -> Api:
    """Give the API as clients reach it below a path."""
    api: Api = await open_api(public_url=f"{PUBLIC}/", token_secret=TOKEN_SECRET, upload_page="token")
    return api


@pytest.mark.parametrize("prefix", ["", "/media"])
async def test_h17_every_address_is_below_the_public_path(below: Api, prefix: str) -> None:
    """Location, token endpoint and OpenAPI name the public path, whether a proxy removes that path or keeps it."""
    body = mp3_bytes()
    wanted = {"filename": "talk.mp3", "size_bytes": len(body)}
    made = await below.call("POST", f"{prefix}/v1/uploads", json=wanted)
    assert made.headers["location"] == f"/media/v1/uploads/{made.json()['upload_id']}"
    again = await below.call("GET", urlsplit(urljoin(f"{PUBLIC}/", made.headers["location"])).path)
    assert again.status_code == 200
    token = await below.call("POST", f"{prefix}/v1/upload-tokens", json={"expires_in_seconds": 60})
    assert token.headers["location"].startswith("/media/v1/upload-tokens/")
    assert token.json()["endpoint"].startswith(f"{PUBLIC}/uppy/")
    streamed = await below.call("POST", f"{prefix}/upload/stream", files={"file": ("talk.mp3", body)})
    assert streamed.headers["location"] == f"/media/v1/uploads/{streamed.json()['upload_id']}"
    document = (await below.client.get(f"{prefix}/openapi.json")).json()
    assert document["servers"] == [{"url": PUBLIC}]


@pytest.mark.parametrize("prefix", ["", "/media"])
async def test_h17_preflights_know_the_token_in_a_path_below_the_root(below: Api, prefix: str) -> None:
    """Uppy's endpoint carries the token in the path, which may have the root path before it."""
    origin = "https://app.example.com"
    token = await below.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60, "allowed_origins": [origin]})
    path = f"{prefix}/uppy/{token.json()['token']}/s3/multipart"
    headers = {"origin": origin, "access-control-request-method": "POST"}
    answer = await below.client.options(path, headers=headers)
    assert answer.headers.get("access-control-allow-origin") == origin


async def test_h17_a_mounted_gateway_names_its_mount(settings: Settings) -> None:
    """Mounted in another application, addresses begin with the path of the mount."""
    inner = create_app(settings)
    app = Starlette(routes=[Mount("/files", app=inner)], lifespan=lambda _: inner.router.lifespan_context(inner))
    async with (
        LifespanManager(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example.com", timeout=60) as client,
    ):
        assert (await client.get("/files/healthz")).status_code == 200
        document = (await client.get("/files/openapi.json")).json()
        assert document["servers"] == [{"url": "/files"}]
        assert (await client.get("/files//v1//uploads/")).status_code == 401


@pytest.mark.parametrize(
    "path", ["//v1/uploads", "/v1//uploads", "/v1/uploads/", "/v1/uploads//", "///v1///uploads///"]
)
async def test_h18_doubled_and_trailing_slashes_are_served(api: Api, path: str) -> None:
    """An address that was joined with one slash too many reaches the route, with its body and its key."""
    body = mp3_bytes()
    made = await api.call("POST", f"http://localhost{path}", json={"filename": "talk.mp3", "size_bytes": len(body)})
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/uploads/{made.json()['upload_id']}"


async def test_h18_the_page_is_found_without_its_last_slash(below: Api) -> None:
    """`/media` is redirected to `/media/`, because the page loads its files by relative addresses."""
    answer = await below.client.get("/media")
    assert (answer.status_code, answer.headers["location"]) == (308, "/media/")
    assert (await below.client.get("/media/")).status_code == 200


async def test_h18_no_redirect_leads_to_another_host(api: Api) -> None:
    """`//evil.example` is a path here, and no answer sends the client to that host."""
    answer = await api.client.get("http://localhost//evil.example/")
    assert answer.status_code == 404
    assert "location" not in answer.headers
