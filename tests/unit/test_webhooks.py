"""Where webhooks may go, how they are signed and when they are tried again."""

from __future__ import annotations

import socket
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.domain.public_addresses import is_public
from gateway.domain.webhooks import (
    DEFAULT_EVENT_TYPES,
    EVENT_TYPES,
    MOST_RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
    check_event_types,
    check_url,
    retry_wait,
)
from gateway.outbound.public_http import NotPublic, SendResult, WebhookSender, _checked_socket
from gateway.outbound.webhook_signing import SignedMessage, WebhookSecrets

SECRET, OTHER = "s" * 32, "o" * 32
PATH = "https://app.example.com/hooks?from=uploads"


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
        *("172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1"),
        *("fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "2606:4700::1%eth0"),
    ],
)
def test_e2_what_is_not_public_is_known_by_our_own_list(text: str) -> None:
    """Private, local, documentation, multicast, translated and tunnelled addresses are none to send to."""
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *(
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "223.255.255.255",
        ),
        *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "3ffe::1"),
    ],
)
def test_e2_what_is_public_is_let_through(text: str) -> None:
    """The neighbours of every refused network are taken."""
    assert is_public(ip_address(text))


@given(st.ip_addresses())
def test_e2_nothing_that_python_calls_not_global_is_taken(address: Any) -> None:
    """The list is at least as strict as the standard library's."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "url",
    [
        *("http://app.example.com/", "ftp://app.example.com/", "//app.example.com/", "app.example.com", "https:/x", ""),
        *(
            "https://",
            "https:///path",
            "https://:443/",
            "https://user@app.example.com/",
            "https://u:p@app.example.com/",
        ),
        *("https://app.example.com\\@127.0.0.1/", "https://app.example.com/\\..", "https://app.example.com/#x"),
        *(
            "https://app.example.com/a b",
            "https://app.example.com/\r\nx",
            "https://app.example.com/\x00",
            "https://a\tb/",
        ),
        *("https://app.example.com:22/", "https://app.example.com:80/", "https://app.example.com:0/"),
        *("https://app.example.com:65536/", "https://app.example.com:x/", "https://app.example.com:-1/"),
        *("https://app.example.com./", "https://.example.com/", "https://app%2eexample.com/", "https://[::1]/"),
        *("https://①②⑦.⓪.⓪.①/", "https://ünïcode.example/", "https://127.0.0.1/", "https://10.0.0.1/x"),
        *("https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25lo]/"),
        *("https://[::1", "https://app.example.com@evil.example.com/", "javascript:alert(1)", "https://0.0.0.0/"),
        f"https://app.example.com/{'a' * 2048}",
    ],
)
def test_e5_an_odd_address_is_refused(url: str) -> None:
    """Other schemes and ports, users, backslashes, fragments, controls and addresses inside are no webhook's."""
    with pytest.raises(ValueError, match=r"^url "):
        check_url(url, private=False)


@pytest.mark.parametrize(
    "url",
    [PATH, "https://app.example.com", "https://app.example.com:8443/", "https://8.8.8.8/", "https://[2606:4700::1]/"],
)
def test_e5_a_plain_address_is_taken(url: str) -> None:
    """Https on its ports, by name or public address, goes."""
    assert check_url(url, private=False) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost:3000/", "https://[::1]:1234/"])
def test_e5_development_takes_more(url: str) -> None:
    """With private hosts allowed, http, any port and this machine are fine; credentials still are not."""
    assert check_url(url, private=True) == url
    with pytest.raises(ValueError, match="user"):
        check_url(url.replace("//", "//u:p@"), private=True)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ),
        *("no-such-host.invalid", "a" * 64 + ".example", "0x7f.1", "017700000001", "[64:ff9b::7f00:1]"),
    ],
)
async def test_e1_a_host_counts_as_what_it_resolves_to(host: str) -> None:
    """However a loopback address is written, and for a name that nobody knows, the answer is the same."""
    async with WebhookSender(private=False).opened() as sender:
        with pytest.raises(NotPublic, match=r"^the host has no public address$"):
            await sender.require_public_host(f"https://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost"])
async def test_e1_nothing_connects_to_this_machine(host: str) -> None:
    """Also without a look before, no connection reaches a listener on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        async with WebhookSender(private=False).opened() as sender:
            outcome = await sender.send(f"https://{host}:{port}/", {}, b"{}")
        assert (outcome.status, outcome.error) == (None, "not_reachable")
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_e3_the_address_that_was_looked_at_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when the webhook is made and private when something is sent gets no connection."""
    answers = [("93.184.215.14", 443), ("127.0.0.1", 443)]
    asked: list[str] = []

    def rebinding(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers[min(len(asked), len(answers)) - 1])]

    # Real names cannot change their mind in a test: the system's look-up is the one thing that is put on.
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with WebhookSender(private=False).opened() as sender:
        await sender.require_public_host("https://rebinding.example/")
        outcome = await sender.send("https://rebinding.example/", {}, b"{}")
    assert (outcome.status, outcome.error) == (None, "not_reachable")
    assert asked == ["rebinding.example"] * 2


async def test_e3_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a public and a private address is refused whole, in whatever order they come."""
    mixed = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", 443, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: mixed)
    async with WebhookSender(private=False).opened() as sender:
        with pytest.raises(NotPublic):
            await sender.require_public_host("https://mixed.example/")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
def test_e3_each_socket_is_checked_by_its_own_address(address: str) -> None:
    """Whatever the look-up said, no socket is made for an address that is not public."""
    with pytest.raises(NotPublic):
        _checked_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)))
    _checked_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))).close()


def _signed(secrets: WebhookSecrets, webhook: UUID, numbers: list[int], at: datetime, body: bytes = b"{}") -> Any:
    message = SignedMessage(id="msg_1", timestamp=int(at.timestamp()), body=body)
    return dict(secrets.headers(message, webhook, numbers))


def test_e7_an_independent_library_reads_what_was_signed() -> None:
    """Id, time and body are signed: change any of them, or come five minutes late, and it is refused."""
    secrets, webhook, now = WebhookSecrets([SECRET]), uuid4(), datetime.now(UTC)
    reader = Webhook(secrets.shown(webhook, 1))
    body = b'{"type":"upload.ready","name":"\xc3\xa4"}'
    headers = _signed(secrets, webhook, [1], now, body)
    assert reader.verify(body, headers)["type"] == "upload.ready"
    for changed, sent in [
        ({**headers, "webhook-id": "msg_2"}, body),
        ({**headers, "webhook-timestamp": str(int(now.timestamp()) + 1)}, body),
        (headers, body.replace(b"ready", b"reads")),
        (_signed(secrets, webhook, [1], now - timedelta(minutes=6), body), body),
        (_signed(secrets, webhook, [1], now + timedelta(minutes=6), body), body),
        (_signed(secrets, uuid4(), [1], now, body), body),
        (_signed(secrets, webhook, [2], now, body), body),
        (_signed(WebhookSecrets([OTHER]), webhook, [1], now, body), body),
    ]:
        with pytest.raises(WebhookVerificationError):
            reader.verify(sent, changed)


def test_e7_after_a_rotation_both_secrets_are_good() -> None:
    """With two numbers, and with two secrets of the gateway, receivers with either read the message."""
    webhook, now = uuid4(), datetime.now(UTC)
    secrets = WebhookSecrets([SECRET, OTHER])
    headers = _signed(secrets, webhook, [2, 1], now)
    assert len(headers["webhook-signature"].split(" ")) == 4
    for known in (SECRET, OTHER):
        for number in (1, 2):
            assert Webhook(WebhookSecrets([known]).shown(webhook, number)).verify(b"{}", headers) == {}


def test_e7_a_secret_is_random_enough_and_of_its_own() -> None:
    """Each webhook and number has another secret of 256 bits; a short secret of the gateway's is none."""
    secrets = WebhookSecrets([SECRET])
    webhooks = [uuid4() for _ in range(10)]
    shown = {secrets.shown(webhook, number) for webhook in webhooks for number in (1, 2, 256)}
    assert len(shown) == 30
    assert all(len(b64decode(text.removeprefix("whsec_"))) == 32 for text in shown)
    for bad in ([], ["x" * 31]):
        with pytest.raises(ValueError, match="32 bytes"):
            WebhookSecrets(bad)


def test_event_types_are_put_in_order_and_unknown_ones_refused() -> None:
    """Doubles vanish; nothing, and what is no event, is refused."""
    assert check_event_types(["upload.ready", "upload.created", "upload.ready"]) == ("upload.created", "upload.ready")
    assert set(DEFAULT_EVENT_TYPES) < set(EVENT_TYPES)
    for bad in ([], ["upload.progress"], ["ready"], ["upload.*"]):
        with pytest.raises(ValueError, match="event_types"):
            check_event_types(bad)


def test_waits_grow_and_end() -> None:
    """Ten attempts in three days and some; jitter adds at most a tenth; the last one is not followed."""
    assert sum(RETRY_SECONDS) > timedelta(days=3).total_seconds()
    for number, wait in enumerate(RETRY_SECONDS, 1):
        assert retry_wait(number, jitter=0, asked_seconds=None, waits=RETRY_SECONDS) == wait
        assert retry_wait(number, jitter=1, asked_seconds=0, waits=RETRY_SECONDS) == pytest.approx(wait * 1.1)
    for number in (len(RETRY_SECONDS) + 1, 1000):
        assert retry_wait(number, jitter=0, asked_seconds=60, waits=RETRY_SECONDS) is None


def test_a_receiver_may_ask_for_a_longer_wait_only() -> None:
    """Retry-After makes a wait longer, up to a day, and never shorter."""
    assert retry_wait(1, jitter=0, asked_seconds=60, waits=RETRY_SECONDS) == 60
    assert retry_wait(2, jitter=0, asked_seconds=1, waits=RETRY_SECONDS) == RETRY_SECONDS[1]
    assert retry_wait(1, jitter=0, asked_seconds=1e9, waits=RETRY_SECONDS) == MOST_RETRY_AFTER_SECONDS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(
            (None, None),
            ("", None),
            ("x", None),
            ("-1", None),
            ("1.5", None),
            ("٣", None),
            ("120", 120),
            ("9" * 400, 1e9 - 1),
        ),
        *(("Thu, 01 Jan 1970 00:01:40 GMT", 50), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Thu, 99 Jan", None)),
    ],
)
def test_retry_after_is_read_or_left(text: str | None, seconds: float | None) -> None:
    """Seconds and dates are understood; anything else is as if it had not been said."""
    assert SendResult(status=503, retry_after=text).asked_seconds(50.0) == seconds
