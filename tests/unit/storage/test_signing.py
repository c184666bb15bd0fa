"""Refuse to sign what must not be signed, and keep secrets out of sight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.storage.address import BucketAddress
from gateway.storage.errors import InvalidPart, StoreError, StoreFull, StoreUnavailable, clean
from gateway.storage.presign import PartToSign, Presigner
from gateway.storage.sigv4 import Credentials

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
SUM = "A" * 43 + "="


def presigner(**changes: Any) -> Presigner:
    """Give a presigner with a fixed clock."""
    given = {
        "endpoint": "https://s3.example.com",
        "bucket": "uploads",
        "region": "us-east-1",
        "credentials": Credentials("AKID", "SECRET", "TOKEN"),
        "addressing_style": "path",
        "now": lambda: NOW,
    }
    return Presigner(**(given | changes))


@pytest.mark.parametrize("seconds", [0, -1, 604_801, 10**12])
def test_urls_live_between_a_second_and_a_week(seconds: int) -> None:
    """Every kind of URL has a life that S3 allows."""
    mine = presigner()
    for ask in (
        lambda: mine.part_urls("k", "u", [PartToSign(1, 1)], seconds),
        lambda: mine.get_object("k", seconds),
        lambda: mine.post_policy("k", seconds, content_type="a/b", max_size_bytes=1),
    ):
        with pytest.raises(ValueError, match="7 days"):
            ask()
    for life in (1, 604_800):
        [signed] = mine.part_urls("k", "u", [PartToSign(1, 1)], life)
        assert signed.expires_at == NOW.replace(microsecond=0) + timedelta(seconds=life)


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_numbers_are_s3s(number: int) -> None:
    """A part number outside 1 to 10,000 is not signed."""
    with pytest.raises(ValueError, match=r"1 to 10,000"):
        presigner().part_urls("k", "u", [PartToSign(number, 1)], 60)


@pytest.mark.parametrize("checksum", ["", "abc", SUM + "\n", "A" * 44, SUM + "\nhost:evil", "é" * 43 + "="])
def test_checksums_cannot_forge_header_lines(checksum: str) -> None:
    """A checksum that is not base64 of 32 bytes is not signed."""
    with pytest.raises(ValueError, match="base64"):
        presigner().part_urls("k", "u", [PartToSign(1, 1, checksum)], 60)


def test_clients_are_told_only_headers_they_can_set() -> None:
    """A browser can set neither Host nor Content-Length, so they are signed but not listed."""
    plain, summed = presigner().part_urls("k", "u", [PartToSign(1, 7), PartToSign(2, 7, SUM)], 60)
    assert (plain.headers, summed.headers) == ({}, {"x-amz-checksum-sha256": SUM})


def test_secrets_are_not_shown() -> None:
    """The repr of credentials shows the public id only."""
    assert repr(Credentials("AKID", "SECRET", "TOKEN")) == "Credentials(access_key_id='AKID')"


@pytest.mark.parametrize(
    ("endpoint", "style", "origin", "host", "path"),
    [
        ("http://127.0.0.1:9000", "path", "http://127.0.0.1:9000", "127.0.0.1:9000", "/b/k"),
        ("http://[::1]:9000/", "path", "http://[::1]:9000", "[::1]:9000", "/b/k"),
        ("https://S3.example.com:443", "path", "https://S3.example.com:443", "s3.example.com", "/b/k"),
        ("https://s3.example.com", "virtual", "https://b.s3.example.com", "b.s3.example.com", "/k"),
        ("https://s3.example.com:8443/base/", "virtual", "https://b.s3.example.com:8443", "b.s3.example.com:8443",
         "/base/k"),
    ],
)  # fmt: skip
def test_buckets_are_addressed(endpoint: str, style: Any, origin: str, host: str, path: str) -> None:
    """A bucket's address has the host a client will send, default ports left out."""
    address = BucketAddress.of(endpoint, "b", style)
    assert (address.origin, address.host, address.path("k")) == (origin, host, path)
    assert address.path(None) in ("/b", "/", "/base")


@pytest.mark.parametrize(
    ("endpoint", "style"),
    [
        ("ftp://x", "path"),
        ("s3.example.com", "path"),
        ("http://", "path"),
        ("http://x?y=1", "path"),
        ("http://x/#y", "path"),
        ("http://user:password@x", "path"),
        ("http://127.0.0.1:9000", "virtual"),
        ("http://[::1]:9000", "virtual"),
    ],
)
def test_other_endpoints_are_refused(endpoint: str, style: Any) -> None:
    """An endpoint that cannot work, or that holds a password, is refused with a reason."""
    with pytest.raises(ValueError, match=r"endpoint|virtual"):
        BucketAddress.of(endpoint, "b", style)


def test_errors_say_what_an_operator_needs() -> None:
    """An error's text names operation, status and S3's code; its detail is fit for a client."""
    error = InvalidPart(operation="CompleteMultipartUpload", s3_code="InvalidPart", message="part 7", status=400)
    assert str(error) == "CompleteMultipartUpload: 400: InvalidPart: part 7"
    assert error.detail == "The store does not have a named part, or has it with another etag."
    assert (StoreError().code, StoreUnavailable().code, StoreFull().code) == (
        "store_error",
        "store_unavailable",
        "store_full",
    )


def test_a_stores_words_are_cleaned() -> None:
    """Control characters, addresses and endless texts of a store do not reach a log."""
    assert clean("no\r\n\x1b[31mforged\u2028 http://h/b?X-Amz-Signature=1 end") == "no [31mforged    end"
    assert len(clean("x" * 10_000)) == 300
