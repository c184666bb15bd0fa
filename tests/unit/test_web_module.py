"""The browser module and the page as files: their size, their caching and what a browser lets them do."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.app import create_app
from gateway.api.page import content_security_policy
from gateway.settings import Settings

WEB = Path(__file__).parents[2] / "gateway/web"
MOST_BYTES = 6_600


def settings(**given: Any) -> Settings:
    """Give settings of a gateway that is never opened: files need neither database nor store."""
    return Settings(_env_file=None, s3_public_endpoint="https://store.example.com", **given)


class Visitor:
    """Ask an application in this process, one request at a time."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a GET."""
        return self.ask("GET", path, headers)


@pytest.fixture
def client() -> Visitor:
    """Ask an application with the page switched on."""
    return Visitor(create_app(settings(upload_page="token")))


def test_module_is_small() -> None:
    """The module as it is served, comments and all, is under 6.6 KB compressed."""
    assert len(gzip.compress((WEB / "gateway-upload.js").read_bytes(), 9)) < MOST_BYTES


def test_module_stands_alone() -> None:
    """The module imports nothing, the page only the module and its own files, and none of them writes markup."""
    imports = re.compile(r"from (\".*\");$|import\((.*?)\)", re.MULTILINE)
    assert imports.findall((WEB / "gateway-upload.js").read_text()) == []
    scripts = sorted(WEB.glob("*.js"))
    assert len(scripts) == 6
    for path in scripts:
        for written in imports.findall(path.read_text()):
            name = "".join(written).strip('"`')
            assert re.fullmatch(r"\./(client|page-\w+|words\.\$\{language\})\.js", name), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text())


def test_module_never_reads_etags() -> None:
    """A bucket whose CORS rules hide ETag serves as well: the header is not read anywhere."""
    assert not re.search(r"getResponseHeader|get\(.etag", (WEB / "gateway-upload.js").read_text(), re.IGNORECASE)


def test_page_asks_nobody_else() -> None:
    """No file of the page names another host."""
    for path in [*WEB.glob("page*"), *WEB.glob("words/*")]:
        hosts = set(re.findall(r"https?://[^\s\"'`<>]+", path.read_text()))
        assert hosts <= {"http://www.w3.org/2000/svg"}, path.name
    assert "//" not in re.sub(r"<!--.*?-->", "", (WEB / "index.html").read_text())


def test_module_is_served_for_every_page(client: Visitor) -> None:
    """Any origin may load the module, compressed, under a type that browsers run."""
    answer = client.get("/client.js", headers={"accept-encoding": "gzip", "origin": "https://anywhere.example"})
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < MOST_BYTES
    assert answer.content == (WEB / "gateway-upload.js").read_bytes()
    plain = client.get("/client.js", headers={"accept-encoding": "identity"})
    assert plain.content == answer.content
    assert "content-encoding" not in plain.headers


def test_allowed_origins_do_not_answer_twice() -> None:
    """The module's `*` and an allowed origin's own answer never meet in one response: browsers refuse two."""
    origin = "https://app.example.com"
    client = Visitor(create_app(settings(allowed_origins=origin)))
    answer = client.get("/client.js", headers={"origin": origin})
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]


def test_module_has_an_immutable_twin(client: Visitor) -> None:
    """The short address is checked again and names the hashed one, which holds the same bytes for good."""
    short = client.get("/client.js")
    assert "max-age=300" in short.headers["cache-control"]
    twin = client.get("/" + short.headers["content-location"])
    assert re.fullmatch(r"client\.[0-9a-f]{16}\.js", short.headers["content-location"])
    assert "immutable" in twin.headers["cache-control"]
    assert twin.content == short.content
    assert client.get("/client.0123456789abcdef.js").status_code == 404
    again = client.get("/client.js", headers={"if-none-match": short.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/client.js", headers={"if-none-match": '"other"'}).status_code == 200
    assert client.ask("HEAD", "/client.js").headers["etag"] == short.headers["etag"]


def test_page_loads_the_module_it_was_made_with(client: Visitor) -> None:
    """The page names the hashed twin, so that no cache puts an older module under a newer page."""
    twin = client.get("/client.js").headers["content-location"]
    for path in ("/page.js", "/page-card.js"):
        assert f'from "./{twin}"' in client.get(path).text
    assert f'href="{twin}"' in client.get("/").text
    for path in ("/", "/page.js", "/page-card.js", "/page-token.js", "/page-words.js", "/page-files.js"):
        answer = client.get(path)
        assert (answer.status_code, "client.js" in answer.text) == (200, False)
    assert "no-cache" in client.get("/page.js").headers["cache-control"]


def test_words_are_served_as_modules(client: Visitor) -> None:
    """The page names the languages it has, and each is a module that a browser runs."""
    for language in ("ar", "de", "en", "es", "fr", "ja"):
        answer = client.get(f"/words.{language}.js")
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        words = json.loads(answer.text.removeprefix("export default "))
        assert words["title"]
        assert f"&quot;{language}&quot;" in client.get("/").text
    assert client.get("/words.tlh.js").status_code == 404


def test_types_are_served(client: Visitor) -> None:
    """The module's types lie beside it."""
    assert "export declare class Upload" in client.get("/client.d.ts").text


def test_page_is_off_unless_switched_on() -> None:
    """Without the setting there is no page, and never a token for whoever asks; the module is always there."""
    client = Visitor(create_app(settings()))
    assert client.get("/").status_code == 404
    assert client.get("/page.js").status_code == 404
    assert client.ask("POST", "/page/token").status_code == 404
    assert client.get("/client.js").status_code == 200


def test_page_that_asks_for_tokens_gives_none(client: Visitor) -> None:
    """A page that is switched on for production has no address that gives tokens away."""
    assert client.ask("POST", "/page/token").status_code == 404


def test_open_page_needs_the_key_it_gives_away() -> None:
    """An open page without a development key does not start."""
    with pytest.raises(ValueError, match="GATEWAY_DEV_KEY"):
        create_app(settings(upload_page="open"))


def test_page_runs_under_a_strict_policy(client: Visitor) -> None:
    """Only our own files run, nothing inline, only gateway and store are talked to, and no page may frame it."""
    answer = client.get("/")
    policy = dict(item.split(" ", 1) for item in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' https://store.example.com"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", answer.text)


def test_policy_names_the_bucket_of_virtual_addresses() -> None:
    """Where the bucket is in the host name, that host is the one the page may talk to."""
    virtual = settings(s3_addressing_style="virtual", s3_bucket="media")
    assert "connect-src 'self' https://media.store.example.com" in content_security_policy(virtual)


def test_settings_in_the_page_are_only_text() -> None:
    """What the settings say is escaped in the page: an extension is no way to write markup."""
    hostile = settings(upload_page="token", allowed_upload_extensions='wav"><script>alert(1)</script>')
    body = Visitor(create_app(hostile)).get("/").text
    assert "<script>alert" not in body
    assert body.count("<script") == 1


def test_page_is_not_in_the_api_document(client: Visitor) -> None:
    """The files are no part of the API."""
    assert not {"/", "/client.js", "/page.js"} & set(client.get("/openapi.json").json()["paths"])
