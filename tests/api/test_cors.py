"""Which pages may read the API's answers."""

from __future__ import annotations

import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.domain.origins import is_origin
from tests.api.conftest import Api, OpenApi
from tests.api.uploaders import SECRET, call_with, issue

PAGE = "https://app.example.com"
CUSTOMER = "https://customer.example"
STRANGERS = (
    "https://evil.example",
    "null",
    "https://app.example.com.evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://APP.example.com",
    "*",
    "",
    "https://app.example.com, https://evil.example",
    "x" * 5000,
)


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API for pages of one origin, with upload tokens."""
    started: Api = await open_api(allowed_origins=(PAGE,), token_secret=SecretStr(SECRET))
    return started


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    """Give what a browser asks before it sends JSON with a token."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }


async def test_d7_a_page_of_an_allowed_origin_may_use_the_api(api: Api) -> None:
    """Preflight, answer and error name exactly the page's origin, expose what clients read, and no credentials."""
    asked = await api.client.options("/v1/uploads", headers=preflight(PAGE))
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert asked.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "DELETE" in asked.headers["access-control-allow-methods"]
    assert int(asked.headers["access-control-max-age"]) > 0
    for answer in (
        await api.call("GET", "/v1/uploads", headers={"origin": PAGE}),
        await api.client.get("/v1/uploads", headers={"origin": PAGE}),
        await api.client.get("/nothing", headers={"origin": PAGE}),
    ):
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Location" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-credentials" not in asked.headers
    assert "Origin" in asked.headers["vary"]


@pytest.mark.parametrize("origin", STRANGERS, ids=lambda origin: origin[:40])
async def test_d7_a_page_of_another_origin_may_not(api: Api, origin: str) -> None:
    """An unknown, null or look-alike origin may read no answer, and a cache knows that it depends on the origin."""
    asked = await api.client.options("/v1/uploads", headers=preflight(origin))
    answer = await api.call("GET", "/v1/uploads", headers={"origin": origin})
    assert asked.status_code == (204 if is_origin(origin) else 403)
    assert "access-control-allow-credentials" not in asked.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    for each in (asked, answer):
        assert "Origin" in each.headers["vary"]


async def test_j11_a_preflight_tells_nobody_whose_customer_is_whose(api: Api) -> None:
    """The answer is the same for the operator's pages, for origins of live and revoked tokens and for strangers."""
    issued = await issue(api, allowed_origins=[CUSTOMER])
    revoked = await issue(api, allowed_origins=["https://former.example"])
    await api.call("DELETE", f"/v1/upload-tokens/{revoked['token_id']}")
    for path in ("/v1/uploads", f"/uppy/{issued['token']}/s3/multipart", "/uppy/eyJ.made.up/s3/multipart"):
        seen = set()
        for origin in (PAGE, CUSTOMER, "https://former.example", "https://evil.example"):
            asked = await api.client.options(path, headers=preflight(origin))
            headers = {name: value.replace(origin, "ORIGIN") for name, value in asked.headers.items()}
            seen.add((asked.status_code, tuple(sorted((n, v) for n, v in headers.items() if n != "x-request-id"))))
        assert len(seen) == 1, path


async def test_d7_only_pages_of_a_tokens_origins_may_read_its_answers(api: Api) -> None:
    """The answer to a token names the origin of its own pages and of no others."""
    token = (await issue(api, allowed_origins=[CUSTOMER]))["token"]
    for origin, status, allowed in ((CUSTOMER, 200, CUSTOMER), ("https://evil.example", 403, None)):
        answer = await call_with(api, token, "GET", "/v1/uploads", headers={"origin": origin})
        assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (status, allowed)


async def test_d7_header_names_are_repeated_only_if_they_are_names(api: Api) -> None:
    """What a preflight asks for comes back clean: no line breaks, no endless lists."""
    wanted = "X-Good, bad name, x:y, " + ", ".join(f"h{n}" for n in range(100))
    headers = preflight(PAGE) | {"access-control-request-headers": wanted}
    asked = await api.client.options("/v1/uploads", headers=headers)
    names = asked.headers["access-control-allow-headers"].split(", ")
    assert names[0] == "x-good"
    assert not {"bad name", "x:y"} & set(names)
    assert len(names) <= 32


async def test_without_an_origin_nothing_is_said(api: Api) -> None:
    """Programs get no CORS headers."""
    answer = await api.call("GET", "/v1/uploads")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
