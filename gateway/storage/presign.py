"""Make presigned URLs and POST uploads for clients, without any call to the store.

The key needs `s3:PutObject` on the prefix for parts and POST uploads, and `s3:GetObject` for downloads. The holder of a
URL can use it until it expires, so a `repr` never shows one.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from gateway.storage.address import BucketAddress
from gateway.storage.sigv4 import (
    ALGORITHM,
    MAX_EXPIRES_IN_SECONDS,
    UNSIGNED_PAYLOAD,
    Credentials,
    Moment,
    encode,
    join_pairs,
    presign_query,
)

MAX_PART_NUMBER = 10_000
# A checksum becomes a signed header line. Anything except base64 of 32 bytes could add other lines.
_is_sha256 = re.compile(r"[A-Za-z0-9+/]{43}=").fullmatch


@dataclass(frozen=True, slots=True)
class PartToSign:
    """Request the URL of one part. `checksum_sha256` is base64 of the part's SHA-256."""

    part_number: int
    size_bytes: int
    checksum_sha256: str | None = None


class SignedRequest(NamedTuple):
    """Describe a request that a client sends. The client sets `headers` itself; Host and Content-Length are not listed.

    This is a tuple, because building a frozen dataclass costs a quarter of signing a part.
    """

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        """Show everything except the URL, because a reader could use it."""
        return f"SignedRequest({self.method}, headers={sorted(self.headers)}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class PostForm:
    """Describe the form of a POST upload; the file is the last field, named `file`."""

    url: str
    fields: dict[str, str] = field(repr=False)
    expires_at: datetime


class _PartBatch:
    """Sign parts of one multipart upload. Only number, size, checksum and signature differ between URLs.

    The canonical request up to the part number is hashed once, and that hash state is copied for each part. The rest is
    the same for all parts of one size.
    """

    def __init__(
        self, moment: Moment, address: BucketAddress, key: str, upload_id: str, expires: int, *, with_checksum: bool
    ) -> None:
        names = "content-length;host" + (";x-amz-checksum-sha256" if with_checksum else "")
        path, upload = address.path(key), f"uploadId={encode(upload_id)}"
        signing = moment.encoded_query(expires, names)
        # Upper case sorts first: every X-Amz- pair precedes partNumber, and partNumber precedes uploadId.
        self._canonical = sha256(f"PUT\n{path}\n{join_pairs(sorted(signing))}&partNumber=".encode())
        self._before_size = f"&{upload}\ncontent-length:"
        self._after_size = f"\nhost:{address.host}\n"
        self._ending = f"\n{names}\n{UNSIGNED_PAYLOAD}"
        self._tails: dict[int, str] = {}
        self._url_start = f"{address.origin}{path}?{upload}&partNumber="
        self._url_middle = f"&{join_pairs(signing)}&X-Amz-Signature="
        self._sign_digest = moment.sign_digest
        self._expires_at = moment.signed_at + timedelta(seconds=expires)

    def sign(self, part: PartToSign) -> SignedRequest:
        """Sign one part."""
        number, size, checksum = part.part_number, part.size_bytes, part.checksum_sha256
        if not 1 <= number <= MAX_PART_NUMBER or size < 0:
            raise ValueError("a part number is 1 to 10,000 and a size is not negative")
        tail = self._tails.get(size) or self._tails.setdefault(size, f"{self._before_size}{size}{self._after_size}")
        headers = {}
        if checksum is not None:
            if not _is_sha256(checksum):
                raise ValueError("a part's checksum must be base64 of 32 bytes")
            headers["x-amz-checksum-sha256"] = checksum
            tail = f"{tail}x-amz-checksum-sha256:{checksum}\n"
        canonical = self._canonical.copy()
        canonical.update(f"{number}{tail}{self._ending}".encode())
        url = f"{self._url_start}{number}{self._url_middle}{self._sign_digest(canonical.hexdigest())}"
        return SignedRequest("PUT", url, headers, self._expires_at)


class Presigner:
    """Sign requests that clients send directly to one bucket.

    `endpoint` is the address that clients use. `now` returns aware UTC, preferably the store's clock.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        credentials: Credentials,
        addressing_style: Literal["path", "virtual"],
        now: Callable[[], datetime],
    ) -> None:
        self._address = BucketAddress.of(endpoint, bucket, addressing_style)
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        self._now = now

    def part_urls(
        self,
        key: str,
        multipart_upload_id: str,
        parts: Iterable[PartToSign],
        expires_in_seconds: int,
        *,
        signed_at: datetime | None = None,
    ) -> list[SignedRequest]:
        """Sign one UploadPart for each part, in their order.

        The exact size is signed, so the store refuses any other. A checksum is signed as a header, because stores
        ignore one in the query. With `signed_at` in the past the URLs are the same as at that moment, byte for byte,
        and expire as early. Raises ValueError for a part number outside 1 to 10,000 or a malformed checksum.
        """
        moment = self._moment(expires_in_seconds, signed_at)

        def batch(*, with_checksum: bool) -> Callable[[PartToSign], SignedRequest]:
            given = (moment, self._address, key, multipart_upload_id, expires_in_seconds)
            return _PartBatch(*given, with_checksum=with_checksum).sign

        plain = checked = None
        signed: list[SignedRequest] = []
        for part in parts:
            if part.checksum_sha256 is None:
                plain = plain or batch(with_checksum=False)
                signed.append(plain(part))
            else:
                checked = checked or batch(with_checksum=True)
                signed.append(checked(part))
        return signed

    def get_object(
        self,
        key: str,
        expires_in_seconds: int,
        *,
        response_content_disposition: str | None = None,
        response_content_type: str | None = None,
        response_cache_control: str | None = None,
        version_id: str | None = None,
        if_match: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> SignedRequest:
        """Sign a download. A URL is valid for one method only.

        With `if_match` (an etag) the client must send that header, so a plain link fails.
        """
        pairs = {
            "response-content-disposition": response_content_disposition,
            "response-content-type": response_content_type,
            "response-cache-control": response_cache_control,
            "versionId": version_id,
        }
        headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
        present = [(name, value) for name, value in pairs.items() if value is not None]
        return self._presign(method, key, present, headers, expires_in_seconds)

    def post_policy(
        self,
        key: str,
        expires_in_seconds: int,
        *,
        content_type: str,
        max_size_bytes: int,
        min_size_bytes: int = 1,
        metadata: Mapping[str, str] | None = None,
        success_action_status: str | None = "201",
    ) -> PostForm:
        """Sign a POST upload that stores one object of this type, between the two sizes."""
        moment = self._moment(expires_in_seconds)
        expires_at = moment.signed_at + timedelta(seconds=expires_in_seconds)
        fields = {"Content-Type": content_type}
        fields |= {f"x-amz-meta-{name.lower()}": value for name, value in (metadata or {}).items()}
        if success_action_status is not None:
            fields["success_action_status"] = success_action_status
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions += [["content-length-range", min_size_bytes, max_size_bytes], {"bucket": self._bucket}, {"key": key}]
        signing = {"x-amz-algorithm": ALGORITHM, "x-amz-credential": moment.credential, "x-amz-date": moment.amz_date}
        if self._credentials.session_token:
            signing["x-amz-security-token"] = self._credentials.session_token
        conditions += [{name: value} for name, value in signing.items()]
        policy = {"expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": conditions}
        encoded = b64encode(json.dumps(policy).encode()).decode()
        fields |= {"key": key, **signing, "policy": encoded, "x-amz-signature": moment.sign_text(encoded)}
        return PostForm(f"{self._address.origin}{self._address.path(None)}", fields, expires_at)

    def upload_part_of_any_size(
        self, key: str, multipart_upload_id: str, part_number: int, expires_in_seconds: int
    ) -> SignedRequest:
        """Sign one UploadPart without a length. The store accepts up to 5 GiB, so the caller must check its size.

        For clients whose protocol does not state the size. Raises ValueError for a part number outside 1 to 10,000.
        """
        if not 1 <= part_number <= MAX_PART_NUMBER:
            raise ValueError("a part number is 1 to 10,000")
        pairs = [("partNumber", str(part_number)), ("uploadId", multipart_upload_id)]
        return self._presign("PUT", key, pairs, {}, expires_in_seconds)

    def _moment(self, expires_in_seconds: int, signed_at: datetime | None = None) -> Moment:
        if not 1 <= expires_in_seconds <= MAX_EXPIRES_IN_SECONDS:
            raise ValueError("a presigned URL lives between 1 second and 7 days")
        return Moment(self._credentials, self._region, signed_at or self._now())

    def _presign(
        self, method: str, key: str, pairs: list[tuple[str, str]], headers: dict[str, str], expires_in_seconds: int
    ) -> SignedRequest:
        moment = self._moment(expires_in_seconds)
        if any("\n" in value or "\r" in value for value in headers.values()):
            raise ValueError("a header value must be one line")
        path = self._address.path(key)
        signed = {**headers, "host": self._address.host}
        query = presign_query(moment, method, path, pairs, signed, expires_in_seconds)
        expires_at = moment.signed_at + timedelta(seconds=expires_in_seconds)
        return SignedRequest(method, f"{self._address.origin}{path}?{query}", headers, expires_at)
