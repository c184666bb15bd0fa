"""The examples of docs/embedding.md run as they are printed, and bring a file to ready."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from pydantic import SecretStr

from gateway.settings import Settings
from tests.api.conftest import mp3_bytes

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
EXAMPLES = {
    section.partition("\n")[0]: section.partition("```python\n")[2].partition("```")[0]
    for section in PAGE.read_text().split("\n## ")[1:]
}


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the example its settings as an operator does: in the environment."""
    for name in ("database_url", "s3_endpoint", "s3_bucket", "s3_access_key_id", "s3_secret_access_key", "upload_dir"):
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"GATEWAY_{name.upper()}", text)
    # The tests use the store's root key, which the probes of MinIO report.
    monkeypatch.setenv("GATEWAY_UNSAFE_STORE", "warn")


def application(framework: str) -> Any:
    """Run an example of the page and return its application."""
    if framework == "Django":
        import django
        from django.conf import settings as django_settings

        if not django_settings.configured:
            django_settings.configure(ROOT_URLCONF="tests.api.test_embedding", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
            django.setup()
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[framework], f"docs/embedding.md ({framework})", "exec"), names)
    return names["app"]


urlpatterns: list[Any] = []
"""The other application of the Django example serves nothing."""


@pytest.mark.parametrize("framework", ["FastAPI", "Starlette", "Django"])
async def test_the_gateway_runs_in_an_application(framework: str, environment: None) -> None:
    """Below its path the gateway answers with addresses below that path; other paths stay the application's."""
    app = application(framework)
    async with AsyncExitStack() as parts:
        manager = await parts.enter_async_context(LifespanManager(app, startup_timeout=60, shutdown_timeout=60))
        transport = httpx.ASGITransport(manager.app)
        client = await parts.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://a.example"))
        assert (await client.get("/media/healthz")).json() == {"status": "ok"}
        assert (await client.get("/media/v1/uploads")).status_code == 401
        assert (await client.get("/elsewhere")).status_code == 404


async def test_the_application_authenticates_for_the_gateway(environment: None) -> None:
    """A user of the application uploads without an API key; another user does not see the upload."""
    body = mp3_bytes()
    ada, bob = {"x-user": "ada"}, {"x-user": "bob"}
    async with AsyncExitStack() as parts:
        manager = await parts.enter_async_context(
            LifespanManager(application("FastAPI"), startup_timeout=60, shutdown_timeout=60)
        )
        transport = httpx.ASGITransport(manager.app)
        client = await parts.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://a.example", timeout=60)
        )
        wanted = {"filename": "talk.mp3", "size_bytes": len(body)}
        made = await client.post("/media/v1/uploads", json=wanted, headers=ada)
        assert made.status_code == 201, made.text
        location = made.headers["location"]
        assert location.startswith("/media/v1/uploads/")
        part = made.json()["parts"][0]
        store = await parts.enter_async_context(httpx.AsyncClient(timeout=60))
        assert (await store.put(part["url"], content=body, headers=part["headers"])).status_code == 200
        done = await client.post(f"{location}/complete", headers=ada)
        assert done.json()["state"] == "ready"
        assert (await client.get(location, headers=bob)).status_code == 404
        assert (await client.get(location)).status_code == 401
        token = await client.post("/media/v1/upload-tokens", json={"expires_in_seconds": 60}, headers=ada)
        assert token.status_code == 403


async def test_use_cases_run_without_http(environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The last example of the page creates an upload by a function call."""
    code = EXAMPLES["Without HTTP"].replace("asyncio.run(main())\n", "")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/embedding.md", "exec"), names)
    await names["main"]()
    assert re.fullmatch(r"[0-9a-f-]{36}\n", capsys.readouterr().out)
