"""Whose address a request came from, and whom nobody believes about that."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.domain.addresses import address_of, client_behind, client_name, network_of
from gateway.settings import Settings

TRUSTED = [network_of(text) for text in ("10.0.0.0/8", "fd00::/8", "192.0.2.9")]
PROXY = "10.0.0.1"


def _behind(forwarded_for: str) -> str:
    proxy = address_of(PROXY)
    assert proxy is not None
    return str(client_behind(proxy, forwarded_for, TRUSTED))


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.2.3.4, 192.0.2.9", "203.0.113.7"),
        ("127.0.0.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:54321", "203.0.113.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("198.51.100.1, 2001:db8::7, fd00::1", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"),
        ("10.9.9.9, 10.0.0.2", "10.9.9.9"),
    ],
)
def test_g6_the_client_is_the_right_most_that_is_no_proxy(forwarded_for: str, client: str) -> None:
    """What stands left of the first address that no proxy of ours has is the client's own invention."""
    assert _behind(forwarded_for) == client


@pytest.mark.parametrize(
    "right", ["", " ", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "999.1.1.1", "1.2.3.4:x", "[::1", "::1]", "٣.1.1.1",
              "1.2.3.4 5.6.7.8", "a" * 10_000, "fe80::1::2", "0x7f.1", "010.0.0.7"]
)  # fmt: skip
def test_g6_what_is_no_address_ends_the_search(right: str) -> None:
    """Nothing is read past it: the client is then the last proxy that was reached."""
    assert _behind(f"203.0.113.7, {right}") == PROXY
    assert _behind(f"203.0.113.7, {right}, 10.0.0.2") == "10.0.0.2"


def test_g6_the_search_is_short() -> None:
    """A header full of proxies ends after a few of them, wherever it would lead."""
    assert _behind("203.0.113.7" + ", 10.0.0.2" * 15) == "203.0.113.7"
    assert _behind("203.0.113.7" + ", 10.0.0.2" * 16) == "10.0.0.2"
    assert _behind("203.0.113.7, " + "10.0.0.2," * 20_000 + "10.0.0.3") == "10.0.0.2"


def test_g6_an_ipv6_client_is_its_64() -> None:
    """Addresses of one /64 are one client, of two /64 they are two; IPv4 is counted by address, however written."""
    assert client_name("2001:db8:1:2::1") == client_name("2001:db8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert client_name("2001:db8:1:3::1") != client_name("2001:db8:1:2::1")
    assert client_name("::ffff:203.0.113.7") == client_name("203.0.113.7") == "203.0.113.7"
    assert client_name("::ffff:203.0.113.8") != client_name("::ffff:203.0.113.7")
    assert client_name("fe80::1%eth0") == client_name("fe80::2%eth1")
    assert client_name("testclient") == "testclient"


def test_trusted_proxies_are_read_as_they_are_written() -> None:
    """Addresses and networks of both families, split at commas."""
    read = Settings(_env_file=None, trusted_proxies=" 10.0.0.7, 172.16.0.0/12,fd00::/8 ")
    assert read.trusted_proxies == ("10.0.0.7/32", "172.16.0.0/12", "fd00::/8")
    assert Settings(_env_file=None).trusted_proxies == ()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("10.0.0.7/8", "write `10.0.0.0/8`"),
        ("0.0.0.0/0", "trusts everybody"),
        ("::/0", "trusts everybody"),
        ("*", "no address or network"),
        ("proxy.internal", "no address or network"),
        ("127.0.0.1:8080", "no address or network"),
        ("::ffff:10.0.0.0/104", "write it as one"),
    ],
)
def test_what_would_trust_nobody_or_everybody_is_refused(text: str, advice: str) -> None:
    """A setting that could not work says what to write."""
    with pytest.raises(ValidationError, match=advice):
        Settings(_env_file=None, trusted_proxies=f"10.0.0.7,{text}")


@pytest.mark.parametrize("name", ["rate_per_key", "rate_per_token", "rate_per_address"])
@pytest.mark.parametrize("value", [-1, 0.5, "many", 100_001])
def test_a_rate_is_a_number_of_requests(name: str, value: object) -> None:
    """No rate is less than none, half a request or without bound."""
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **{name: value})  # type: ignore[arg-type]  # wrong on purpose
