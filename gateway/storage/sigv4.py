"""Sign S3 requests with AWS Signature Version 4: pure functions of their arguments and the given time.

The rules are S3's own (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html): paths are
encoded once and never normalised, queries are sorted after encoding, header values lose surplus white space. The
result equals botocore's byte for byte, as a property test checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Protocol, Self
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_PAYLOAD = sha256(b"").hexdigest()
MAX_EXPIRES_IN_SECONDS = 604_800  # seven days: the life of a SigV4 signing key

# Proxies and clients change these headers, so botocore and S3 do not sign them. Cloudflare and Google's load balancer
# set or strip Accept-Encoding, and a store behind them would refuse every request that signs it (minio#15506).
_NEVER_SIGNED = frozenset({"accept-encoding", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))

Pairs = Sequence[tuple[str, str]]


class _Hash(Protocol):
    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hold an access key. Its repr shows only the id, which every presigned URL shows as well."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def encode_path(text: str) -> str:
    """Percent-encode an object key for a path, except `/` and the unreserved characters."""
    return quote(text, safe="/~")


def encode(text: str) -> str:
    """Percent-encode a query name or value, except the unreserved characters."""
    return quote(text, safe="~")


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Encode names and values of a query."""
    return [(encode(name), encode(value)) for name, value in pairs]


def join_pairs(encoded: Iterable[tuple[str, str]]) -> str:
    """Write encoded pairs as a query in the given order. S3 signs the sorted query."""
    return "&".join([f"{name}={value}" for name, value in encoded])


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode pairs and write them in the given order."""
    return join_pairs(encode_pairs(pairs))


def canonical_headers(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the signed header block, each line ended, and the list of its names."""
    lines = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = sorted(name for name in lines if name not in _NEVER_SIGNED)
    return "".join([f"{name}:{lines[name]}\n" for name in names]), ";".join(names)


@lru_cache(maxsize=64)
def _signing_pads(secret_access_key: str, day: str, region: str) -> tuple[_Hash, _Hash]:
    """Derive the signing key of a day and return the inner and the outer hash of its HMAC, each with its pad applied.

    Copying such a hash costs half of a new HMAC. A signing key is valid for one day, so the cache has one entry for
    each key and region, and a few more for tests that change the time.
    """
    key = f"AWS4{secret_access_key}".encode()
    for word in (day, region, SERVICE, "aws4_request"):
        key = hmac_digest(key, word.encode(), "sha256")
    block = key.ljust(64, b"\0")
    return sha256(block.translate(_INNER_PAD)), sha256(block.translate(_OUTER_PAD))


class Moment:
    """Hold the parts of a signature that depend only on time, key and region; sign requests of one second."""

    __slots__ = ("_inner", "_outer", "amz_date", "credential", "credentials", "signed_at")

    def __init__(self, credentials: Credentials, region: str, now: datetime) -> None:
        self.signed_at = now.astimezone(UTC).replace(microsecond=0)
        self.amz_date = self.signed_at.strftime("%Y%m%dT%H%M%SZ")
        day = self.amz_date[:8]
        scope = f"{day}/{region}/{SERVICE}/aws4_request"
        self.credential = f"{credentials.access_key_id}/{scope}"
        self.credentials = credentials
        inner, self._outer = _signing_pads(credentials.secret_access_key, day, region)
        self._inner = inner.copy()
        self._inner.update(f"{ALGORITHM}\n{self.amz_date}\n{scope}\n".encode())

    def sign_digest(self, canonical_request_sha256: str) -> str:
        """Sign a canonical request by its hexadecimal SHA-256."""
        inner = self._inner.copy()
        inner.update(canonical_request_sha256.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()

    def sign(self, canonical_request: str) -> str:
        """Sign a canonical request."""
        return self.sign_digest(sha256(canonical_request.encode()).hexdigest())

    def sign_text(self, text: str) -> str:
        """Sign a text that is itself the string to sign, such as a POST policy."""
        pads = _signing_pads(self.credentials.secret_access_key, self.amz_date[:8], self.credential.split("/")[-3])
        inner, outer = (pad.copy() for pad in pads)
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()

    def encoded_query(self, expires_in_seconds: int, signed_headers: str) -> list[tuple[str, str]]:
        """Return the encoded query pairs of a presigned URL, without the signature."""
        pairs = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", encode(self.credential)),
            ("X-Amz-Date", self.amz_date),
            ("X-Amz-Expires", str(expires_in_seconds)),
            ("X-Amz-SignedHeaders", encode(signed_headers)),
        ]
        if self.credentials.session_token:
            pairs.append(("X-Amz-Security-Token", encode(self.credentials.session_token)))
        return pairs


def presign_query(
    moment: Moment, method: str, path: str, pairs: Pairs, headers: Mapping[str, str], expires_in_seconds: int
) -> str:
    """Return the query of a presigned URL. `path` is encoded; `headers` must name `host`."""
    block, names = canonical_headers(headers)
    encoded = [*encode_pairs(pairs), *moment.encoded_query(expires_in_seconds, names)]
    canonical = f"{method}\n{path}\n{join_pairs(sorted(encoded))}\n{block}\n{names}\n{UNSIGNED_PAYLOAD}"
    return f"{join_pairs(encoded)}&X-Amz-Signature={moment.sign(canonical)}"


def sign_headers(
    moment: Moment, method: str, path: str, pairs: Pairs, headers: Mapping[str, str], payload_sha256: str
) -> dict[str, str]:
    """Return the headers together with the authentication headers. `path` is encoded; `headers` must name `host`."""
    signed = {**headers, "X-Amz-Date": moment.amz_date}
    token = moment.credentials.session_token
    if token:
        signed["X-Amz-Security-Token"] = token
    signed["X-Amz-Content-SHA256"] = payload_sha256
    block, names = canonical_headers(signed)
    query = join_pairs(sorted(encode_pairs(pairs)))
    signature = moment.sign(f"{method}\n{path}\n{query}\n{block}\n{names}\n{payload_sha256}")
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={moment.credential}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
