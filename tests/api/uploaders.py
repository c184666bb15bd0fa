"""Help tests that act as an uploader with a token."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Api

SECRET = "a secret of forty characters for tests..."


async def issue(api: Api, tenant: str = "acme", **wanted: Any) -> dict[str, Any]:
    """Issue an upload token as a tenant's backend."""
    answer = await api.call("POST", "/v1/upload-tokens", tenant=tenant, json={"expires_in_seconds": 600, **wanted})
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def call_with(api: Api, token: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Call the API with a bearer token."""
    headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
    return await api.client.request(method, path, headers=headers, **options)


async def create_with(api: Api, token: str, body: bytes, filename: str = "tone.mp3", **more: Any) -> httpx.Response:
    """Create an upload of *body* with a bearer token."""
    wanted = {"filename": filename, "size_bytes": len(body), **more}
    return await call_with(api, token, "POST", "/v1/uploads", json=wanted)
