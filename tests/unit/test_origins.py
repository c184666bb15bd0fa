"""What an origin is, and what a person is told who wrote almost one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.api import cors
from gateway.bootstrap import page_origins_of
from gateway.dev.seaweedfs import cors_origins
from gateway.domain.origins import LOOPBACK_ORIGINS, OriginRules, example_of, is_origin, origin_of
from gateway.settings import Settings
from tests import openapi_document

GOOD = (
    "https://app.example.com",
    "http://localhost:5173",
    "http://127.0.0.1",
    "http://[::1]:8080",
    "https://xn--bcher-kva.example",
    "http://app.example.com:443",
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "app://.",
    "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
)
ALMOST = {
    "capacitor://localhost/": "capacitor://localhost",
    "https://app.example.com/": "https://app.example.com",
    "https://App.Example.com": "https://app.example.com",
    "HTTPS://app.example.com": "https://app.example.com",
    "app.example.com": "https://app.example.com",
    "https://app.example.com/upload?x=1": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "http://localhost:80/": "http://localhost",
}
NEVER = (
    "null",
    "https://",
    "ftp://app.example.com",
    "https://a@example.com",
    "https://a:x",
    "file://host",
    "javascript://a",
    "app://",
)
PATTERNS = (
    "https://*.vercel.app",
    "https://*.example.com",
    "http://*.preview.example.com:8080",
    "https://a.*.example.com",
)
TOO_WIDE = (
    "https://*",
    "https://*.app",
    "https://*.com",
    "https://*.co.uk",
    "https://*.localhost",
    "https://*.0.0.1",
    "*://app.example.com",
    "*.example.com",
    "https://*.*.example.com",
    "https://*.example.com/",
    "https://*example.com",
    "https://*.example.com:*",
    "https://*..example.com",
    "capacitor://*.example.com",
)


def settings(origins: str) -> Settings:
    """Give settings with these origins, as the environment writes them."""
    return Settings(_env_file=None, allowed_origins=origins)


def test_origins_as_browsers_write_them_are_taken() -> None:
    """Every origin that a browser may send is one, several are split at commas."""
    assert settings(", ".join(GOOD)).allowed_origins == GOOD
    assert all(origin_of(text) == text for text in GOOD)


@pytest.mark.parametrize(("text", "meant"), ALMOST.items())
def test_almost_an_origin_is_refused_with_what_to_write(text: str, meant: str) -> None:
    """What no browser sends would refuse every page silently: the error says what to write instead."""
    assert not is_origin(text)
    with pytest.raises(ValidationError, match=f"write {meant}$|write {meant} ") as caught:
        settings(f"https://good.example.com,{text}")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_origin_is_refused(text: str) -> None:
    """Where nobody can tell what was meant, the error shows how origins look."""
    assert origin_of(text) is None
    with pytest.raises(ValidationError, match=r"write it as a browser does, e\.g\. https://app\.example\.com"):
        settings(text)


@pytest.mark.parametrize("text", PATTERNS)
def test_h19_one_label_may_be_a_wildcard(text: str) -> None:
    """Preview deployments have a new name each time, below a domain that one team owns."""
    assert settings(text).allowed_origins == (text,)
    assert OriginRules([text]).allow(text.replace("*", "pr-17"))


@pytest.mark.parametrize("text", TOO_WIDE)
def test_h19_a_wildcard_over_foreign_domains_is_refused(text: str) -> None:
    """A pattern must not let in the pages of people who only registered a name."""
    with pytest.raises(ValidationError, match=r"\*"):
        settings(text)


@pytest.mark.parametrize(
    "origin",
    [
        "https://vercel.app",
        "https://a.b.vercel.app",
        "http://a.vercel.app",
        "https://a.vercel.app.evil.example",
        "https://evil.example/.vercel.app",
        "https://a.vercel.app:8443",
        "https://.vercel.app",
        "https://-a.vercel.app",
        "https://*.vercel.app",
        "null",
    ],
)
def test_h19_a_pattern_allows_one_label_only(origin: str) -> None:
    """The `*` stands for exactly one label; scheme, port and the rest of the host are compared as text."""
    assert not OriginRules(["https://*.vercel.app"]).allow(origin)


def test_any_origin_is_refused_with_the_reason() -> None:
    """The wildcard keeps an error of its own."""
    with pytest.raises(ValidationError, match="name each origin"):
        settings("*")


def test_own_origins_are_written_as_browsers_write_them() -> None:
    """The gateway's own page is let in whatever its address looks like in the settings."""
    public = Settings(_env_file=None, upload_page="token", public_url="https://Uploads.Example.com:443/base")
    assert page_origins_of(public) == ("https://uploads.example.com",)


@pytest.mark.parametrize(
    "origin", ["http://localhost", "http://127.0.0.1:5173", "http://[::1]:8080", "https://localhost:1"]
)
def test_pages_of_this_machine_are_one_list(origin: str) -> None:
    """Every port of every loopback name is in it, and it can be written in the settings."""
    assert OriginRules(settings(",".join(LOOPBACK_ORIGINS)).allowed_origins).allow(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173.example.com",
        "http://localhost.example.com:5173",
        "http://127.0.0.1.example.com",
        "http://localhost:",
        "http://localhost:*",
        "http://localhost:080",
        "http://localhost:123456",
        "http://127.0.0.2:80",
        "app://localhost:1",
        "null",
    ],
)
def test_a_page_of_another_machine_is_in_no_loopback_pattern(origin: str) -> None:
    """The `*` stands for a port and nothing else."""
    assert not OriginRules(LOOPBACK_ORIGINS).allow(origin)


@pytest.mark.parametrize("text", ["http://app.example.com:*", "http://10.0.0.1:*", "http://*:*", "http://localhost:5*"])
def test_any_port_is_for_loopback_hosts_only(text: str) -> None:
    """Another port of another host may be somebody else's program."""
    with pytest.raises(ValidationError, match="no pattern of origins"):
        settings(text)


def test_what_a_pattern_asks_a_store_is_an_origin_it_allows() -> None:
    """A store is asked about an origin that a browser could send."""
    for pattern in (*PATTERNS, *LOOPBACK_ORIGINS):
        assert is_origin(example_of(pattern))
        assert OriginRules([pattern]).allow(example_of(pattern))


def test_seaweedfs_gets_the_narrowest_rule_that_it_reads() -> None:
    """Its rules have no pattern for a port; exact origins and labels stay as they are."""
    assert cors_origins(["https://*.example.com", "http://localhost", "http://localhost:*", "http://[::1]:*"]) == [
        "https://*.example.com",
        "http://localhost",
        "http://*",
    ]


def test_pages_are_told_only_of_methods_and_headers_that_exist() -> None:
    """Each allowed method has a route, and each exposed header is set by another module of the API."""
    methods = {method.upper() for path in openapi_document.document()["paths"].values() for method in path}
    assert set(cors.METHODS.split(", ")) == methods | {"HEAD", "OPTIONS"}
    folder = Path(cors.__file__).parent
    code = "".join(path.read_text().lower() for path in folder.rglob("*.py") if path.name != "cors.py")
    assert [name for name in cors.EXPOSED.split(", ") if f'"{name.lower()}"' not in code] == []
