"""Hold our signatures to botocore's, byte for byte.

botocore's clock is the only thing replaced: it cannot be handed one. Counts of examples add up to more than 10,000.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import boto3
import pytest
from botocore import auth, signers
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.storage.address import BucketAddress
from gateway.storage.presign import PartToSign, Presigner
from gateway.storage.sigv4 import Credentials, Moment, encode_path, presign_query, sign_headers

many = settings(max_examples=1600, deadline=None, suppress_health_check=list(HealthCheck), database=None)
some = settings(many, max_examples=800)

AWKWARD = "aZ09 +%~/.-_*'\"()!;:@&=$,[]?#\\^`{|}<>\t\nÀßé漢字🎬\u202e\u00a0"
letters = st.sampled_from(AWKWARD) | st.characters(codec="utf-8")
texts = st.text(AWKWARD, max_size=30) | st.text(max_size=30)
keys = st.text(AWKWARD, min_size=1, max_size=60) | st.text(letters, min_size=1, max_size=30)
ascii_words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
tokens = st.one_of(st.none(), ascii_words, texts.filter(bool))
regions = st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-4", "auto", "garage", "us-gov-west-1", "x"])
# Hypothesis wants naive bounds and adds the zone itself.
moments = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
lives = st.integers(1, 604_800)
checksums = st.binary(min_size=32, max_size=32).map(lambda raw: b64encode(raw).decode())
parts = st.builds(PartToSign, st.integers(1, 10_000), st.integers(0, 5 << 30), st.one_of(st.none(), checksums))
addresses = st.builds(
    BucketAddress.of,
    st.sampled_from(["http://127.0.0.1:9000", "https://s3.example.com", "http://[::1]:8333"]),
    st.just("uploads"),
    st.just("path"),
) | st.builds(
    BucketAddress.of,
    st.sampled_from(["https://s3.example.com", "https://store.example:8443/base", "http://store.example:80"]),
    st.just("uploads"),
    st.sampled_from(["path", "virtual"]),
)
credentials = st.builds(Credentials, ascii_words, ascii_words, tokens)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
headers = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "content-length", "x-amz-meta-Name", "x-amz-meta-b", "If-Match", "Range", "x-amz-acl",
         "User-Agent", "Expect", "x-amz-checksum-sha256", "Content-Disposition"]
    ),
    header_values,
    max_size=6,
)  # fmt: skip
queries = st.dictionaries(
    st.sampled_from(["versionId", "response-content-type", "response-content-disposition", "uploadId", "partNumber"])
    | st.text(AWKWARD, min_size=1, max_size=8),
    texts,
    max_size=3,
)


@dataclass
class FrozenClock:
    """Stand for botocore's clock."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self, remove_tzinfo: bool = True) -> datetime:
        """Answer as `botocore.compat.get_current_datetime` would."""
        return self.now.replace(tzinfo=None) if remove_tzinfo else self.now


CLOCK = FrozenClock()


@pytest.fixture(autouse=True)
def frozen_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore sign at the generated moment."""
    monkeypatch.setattr(auth, "get_current_datetime", CLOCK)
    monkeypatch.setattr(signers, "get_current_datetime", CLOCK)


@cache
def boto_client(endpoint: str, region: str, style: str, token: str | None) -> Any:
    """Give boto3 itself, with SigV4 asked for."""
    return boto3.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        aws_session_token=token,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": style},
            request_checksum_calculation="when_required",
        ),
    )


@dataclass(frozen=True)
class Place:
    """Name one of the stores that boto3 and the presigner are both pointed at."""

    endpoint: str
    region: str
    style: Any
    token: str | None

    def boto(self) -> Any:
        """Give boto3's client of this place."""
        return boto_client(self.endpoint, self.region, self.style, self.token)

    def presigner(self, now: datetime) -> Presigner:
        """Give our presigner of this place, and set botocore's clock to the same moment."""
        CLOCK.now = now
        secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        mine = Credentials("AKIDEXAMPLE", secret, self.token)
        return Presigner(self.endpoint, "uploads", self.region, mine, self.style, now=lambda: now)


places = st.builds(
    Place,
    st.sampled_from(["http://127.0.0.1:9000", "https://s3.example.com", "http://store.example:80"]),
    st.sampled_from(["us-east-1", "eu-central-1", "auto"]),
    st.just("path"),
    st.sampled_from([None, "FwoGZXIvYXdzEBYaD/+=&%~ token"]),
) | st.builds(
    Place,
    st.sampled_from(["https://s3.example.com", "http://store.example:9000"]),
    st.sampled_from(["us-east-1", "ap-southeast-4"]),
    st.just("virtual"),
    st.sampled_from([None, "FwoGZXIvYXdzEBYaD/+=&%~ token"]),
)


def boto_request(
    method: str,
    address: BucketAddress,
    key: str,
    query: dict[str, str],
    given_headers: dict[str, str],
    data: bytes = b"",
) -> AWSRequest:
    """Build what botocore would sign, with botocore's own encoders."""
    url = f"{address.origin}{address.base_path}/{percent_encode(key, safe='/~')}"
    if query:
        url += f"?{percent_encode_sequence(query)}"
    return AWSRequest(method=method, url=url, headers=given_headers, data=data)


@many
@given(
    st.sampled_from(["GET", "PUT", "HEAD"]), addresses, keys, queries, headers,
    credentials, regions, moments, lives,
)  # fmt: skip
def test_presigned_queries_are_botocores(
    method: str, address: BucketAddress, key: str, query: dict[str, str], given_headers: dict[str, str],
    mine: Credentials, region: str, now: datetime, life: int,
) -> None:  # fmt: skip
    """A presigned URL is botocore's for any key, query, signed headers, credentials, region and time."""
    CLOCK.now = now
    request = boto_request(method, address, key, query, given_headers)
    boto = BotoCredentials(mine.access_key_id, mine.secret_access_key, mine.session_token)
    S3SigV4QueryAuth(boto, "s3", region, expires=life).add_auth(request)

    path = address.path(key)
    signed_headers = {**given_headers, "host": address.host}
    moment = Moment(mine, region, now)
    url = f"{address.origin}{path}?{presign_query(moment, method, path, [*query.items()], signed_headers, life)}"
    assert url == request.url


@many
@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]), addresses, keys,
    queries, headers, credentials, regions, moments, st.binary(max_size=64),
)  # fmt: skip
def test_authorization_headers_are_botocores(
    method: str, address: BucketAddress, key: str, query: dict[str, str], given_headers: dict[str, str],
    mine: Credentials, region: str, now: datetime, body: bytes,
) -> None:  # fmt: skip
    """The Authorization of our own calls is botocore's for any request."""
    CLOCK.now = now
    request = boto_request(method, address, key, query, given_headers, body)
    boto = BotoCredentials(mine.access_key_id, mine.secret_access_key, mine.session_token)
    S3SigV4Auth(boto, "s3", region).add_auth(request)

    signed = sign_headers(
        Moment(mine, region, now),
        method,
        address.path(key),
        [*query.items()],
        {**given_headers, "host": address.host},
        request.headers["X-Amz-Content-SHA256"],
    )
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256", "X-Amz-Security-Token"):
        assert signed.get(name) == request.headers.get(name), name


@many
@given(places, keys, ascii_words | texts.filter(bool), st.lists(parts, min_size=1, max_size=3), moments, lives)
def test_part_urls_are_boto3s(
    place: Place, key: str, upload_id: str, batch: list[PartToSign], now: datetime, life: int
) -> None:
    """Every part URL of a batch is the one boto3 makes for that part alone."""
    mine = place.presigner(now).part_urls(key, upload_id, batch, life)
    for part, signed in zip(batch, mine, strict=True):
        checksum = {} if part.checksum_sha256 is None else {"ChecksumSHA256": part.checksum_sha256}
        theirs = place.boto().generate_presigned_url(
            "upload_part",
            {
                "Bucket": "uploads",
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": part.part_number,
                "ContentLength": part.size_bytes,
                **checksum,
            },
            ExpiresIn=life,
        )
        assert signed.url == theirs


@many
@given(
    places, keys, st.none() | texts, st.none() | texts, st.none() | ascii_words, st.none() | ascii_words, moments, lives
)
def test_download_urls_are_boto3s(
    place: Place, key: str, disposition: str | None, content_type: str | None, version_id: str | None,
    if_match: str | None, now: datetime, life: int,
) -> None:  # fmt: skip
    """A download URL is boto3's, with any response overrides, version and pinned etag."""
    signed = place.presigner(now).get_object(
        key,
        life,
        response_content_disposition=disposition,
        response_content_type=content_type,
        version_id=version_id,
        if_match=if_match,
    )
    given_params = {
        "ResponseContentDisposition": disposition,
        "ResponseContentType": content_type,
        "VersionId": version_id,
        "IfMatch": None if if_match is None else f'"{if_match}"',
    }
    theirs = place.boto().generate_presigned_url(
        "get_object",
        {"Bucket": "uploads", "Key": key, **{k: v for k, v in given_params.items() if v is not None}},
        ExpiresIn=life,
    )
    assert signed.url == theirs


@some
@given(places, keys, texts, st.integers(0, 10), st.integers(10, 5 << 30), st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), texts, max_size=3), moments, lives)  # fmt: skip
def test_post_policies_are_boto3s(
    place: Place, key: str, content_type: str, least: int, most: int, metadata: dict[str, str], now: datetime, life: int
) -> None:
    """A form's URL, fields, policy and signature are boto3's for the same conditions."""
    form = place.presigner(now).post_policy(
        key, life, content_type=content_type, min_size_bytes=least, max_size_bytes=most, metadata=metadata
    )
    fields = {
        "Content-Type": content_type,
        **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
        "success_action_status": "201",
    }
    conditions = [*({name: value} for name, value in fields.items()), ["content-length-range", least, most]]
    theirs = place.boto().generate_presigned_post("uploads", key, dict(fields), conditions, ExpiresIn=life)
    assert form.fields == theirs["fields"]
    assert form.url == theirs["url"]


@some
@given(keys)
def test_paths_are_encoded_once_and_reversibly(key: str) -> None:
    """Encoding a key is botocore's, and no two keys share a path."""
    assert encode_path(key) == percent_encode(key, safe="/~")
    assert encode_path(encode_path(key)) == percent_encode(percent_encode(key, safe="/~"), safe="/~")


@some
@given(credentials, regions, st.lists(moments, min_size=2, max_size=4), keys)
def test_cached_keys_never_outlive_their_day(mine: Credentials, region: str, times: list[datetime], key: str) -> None:
    """A signature does not depend on what was signed before it, on whichever day, with whichever key."""
    other = replace(mine, secret_access_key=mine.secret_access_key + "x")
    for first, second in pairwise(times):
        Moment(other, region, first).sign(key)
        Moment(mine, region, first).sign(key)
        warm = Moment(mine, region, second).sign(key)
        CLOCK.now = second
        request = AWSRequest(method="GET", url="http://x/")
        request.context["timestamp"] = second.strftime("%Y%m%dT%H%M%SZ")
        signer = S3SigV4Auth(BotoCredentials(mine.access_key_id, mine.secret_access_key), "s3", region)
        assert warm == signer.signature(signer.string_to_sign(request, key), request)
