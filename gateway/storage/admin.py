"""Administer the store with aioboto3. These calls are rare, so a maintained library is better than our own code.

The key needs `s3:CreateBucket`, `s3:ListBucket` and `s3:PutBucketCORS`. aioboto3 takes half a second to import, so it
is imported when it is used and the request path never pays for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import aiohttp
from yarl import URL

from gateway.storage.address import BucketAddress
from gateway.storage.clock import utc_now
from gateway.storage.errors import StoreUnavailable
from gateway.storage.models import StoreConfig
from gateway.storage.presign import PartToSign, Presigner
from gateway.storage.wire import failure_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CORSRuleTypeDef

# A browser needs these for parts, POST uploads and downloads. Uppy reads ETag; gateway-upload.js does not.
CORS_METHODS = ("PUT", "POST", "GET", "HEAD")
CORS_EXPOSED = ("ETag", "Location", "x-amz-checksum-sha256")
CORS_RULE_ID = "upload-gateway"
CORS_MAX_AGE_SECONDS = 3600  # Chromium keeps a preflight for two hours at most
_NOWHERE = "preflight"
_PROBE_SECONDS = 60
_NOT_IMPLEMENTED = frozenset({"NotImplemented", "MethodNotAllowed", "NotSupported", "501"})
_EXISTS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

CorsResult = Literal["set", "not_implemented"]


@dataclass(frozen=True, slots=True)
class CorsProbe:
    """Hold the rights of a browser at `origin`; `detail` names the missing ones in words."""

    origin: str
    status: int
    allowed: bool
    detail: str


@asynccontextmanager
async def open_admin(config: StoreConfig) -> AsyncIterator[S3Client]:
    """Open an aioboto3 client of the store. Translates errors of the library and the network into the gateway's own."""
    import aioboto3  # noqa: PLC0415 - see above
    from botocore.config import Config  # noqa: PLC0415 - see above
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see above

    session = aioboto3.Session(
        aws_access_key_id=config.credentials.access_key_id,
        aws_secret_access_key=config.credentials.secret_access_key,
        aws_session_token=config.credentials.session_token,
        region_name=config.region,
    )
    settings: Any = Config(
        signature_version="s3v4",
        s3={"addressing_style": config.addressing_style},
        connect_timeout=config.timeout_seconds,
        read_timeout=config.timeout_seconds,
        retries={"total_max_attempts": config.max_attempts, "mode": "standard"},
        # The newer defaults add trailer checksums that third-party stores keep as part of the object.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        async with session.client("s3", endpoint_url=config.endpoint, config=settings) as client:
            yield client
    except ClientError as exc:
        raise translate(exc) from exc
    except BotoCoreError as exc:
        raise StoreUnavailable(operation="admin", message=type(exc).__name__) from exc


def translate(exc: Any) -> Exception:
    """Turn a botocore ClientError into the gateway's error for the same answer."""
    answer = exc.response
    words = answer.get("Error", {})
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(words.get("Code", ""))
    # botocore puts the status where an answer without a body has no code.
    code = "" if code.isdigit() else code
    return failure_of(exc.operation_name, status, code, str(words.get("Message", "")))


async def ensure_bucket(config: StoreConfig) -> bool:
    """Create the bucket if it is missing; return whether it was missing."""
    async with open_admin(config) as client:
        try:
            await client.head_bucket(Bucket=config.bucket)
        except client.exceptions.ClientError as exc:
            if exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                raise
        else:
            return False
        try:
            # AWS requires the region in every region except us-east-1, and refuses it there.
            where: Any = {} if config.region == "us-east-1" else {"LocationConstraint": config.region}
            await client.create_bucket(Bucket=config.bucket, **({"CreateBucketConfiguration": where} if where else {}))
        except client.exceptions.ClientError as exc:
            if exc.response.get("Error", {}).get("Code") not in _EXISTS:
                raise
            return False
        return True


async def keep_versions(config: StoreConfig) -> bool:
    """Let the bucket keep versions; return whether it did not before. The key needs `s3:PutBucketVersioning`."""
    async with open_admin(config) as client:
        if (await client.get_bucket_versioning(Bucket=config.bucket)).get("Status") == "Enabled":
            return False
        await client.put_bucket_versioning(Bucket=config.bucket, VersioningConfiguration={"Status": "Enabled"})
        return True


async def put_bucket_cors(config: StoreConfig, origins: Sequence[str]) -> CorsResult:
    """Let pages of these origins send parts and POST uploads, and read ETags.

    Returns `not_implemented` on stores that set CORS for the whole server only (MinIO: MINIO_API_CORS_ALLOW_ORIGIN).
    Ask `probe_cors` for the effect on a browser.
    """
    async with open_admin(config) as client:
        return await _put_rules(client, config.bucket, [_rule(origins)])


async def add_bucket_cors(config: StoreConfig, origins: Sequence[str]) -> CorsResult:
    """Add the gateway's CORS rule and keep all other rules. Its ID lets a later call replace it.

    A store applies the first matching rule, so the gateway's rule goes first: another rule might hide ETag. It exposes
    every header that the other rules expose, so their pages lose nothing. The key also needs `s3:GetBucketCORS`.
    """
    async with open_admin(config) as client:
        try:
            found = (await client.get_bucket_cors(Bucket=config.bucket))["CORSRules"]
        except client.exceptions.ClientError as exc:
            status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status not in (404, 501):
                raise
            found = []
        kept: list[CORSRuleTypeDef] = [_writable(rule) for rule in found if rule.get("ID") != CORS_RULE_ID]
        theirs = [name for rule in kept for name in rule.get("ExposeHeaders", ())]
        return await _put_rules(client, config.bucket, [_rule(origins, theirs), *kept])


def _rule(origins: Sequence[str], exposed_too: Sequence[str] = ()) -> CORSRuleTypeDef:
    exposed = {name.lower(): name for name in (*exposed_too, *CORS_EXPOSED)}
    return {
        "ID": CORS_RULE_ID,
        "AllowedOrigins": list(origins),
        "AllowedMethods": list(CORS_METHODS),
        "AllowedHeaders": ["*"],
        "ExposeHeaders": list(exposed.values()),
        "MaxAgeSeconds": CORS_MAX_AGE_SECONDS,
    }


def _writable(rule: Any) -> CORSRuleTypeDef:
    """Remove empty fields: a store lists them, but refuses them in PutBucketCors."""
    kept: Any = {name: value for name, value in rule.items() if value not in (None, "", [])}
    return cast("CORSRuleTypeDef", kept)


async def _put_rules(client: S3Client, bucket: str, rules: Sequence[CORSRuleTypeDef]) -> CorsResult:
    try:
        await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    except client.exceptions.ClientError as exc:
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 501 or exc.response.get("Error", {}).get("Code") in _NOT_IMPLEMENTED:
            return "not_implemented"
        raise
    return "set"


async def probe_cors(config: StoreConfig, origin: str, session: aiohttp.ClientSession) -> CorsProbe:
    """Send the preflights of a browser at *origin* for a part and a POST upload, and one part to an unknown upload.

    *config* must hold the endpoint that clients use. Raises StoreUnavailable when the store does not answer.
    """
    status, missing = await _preflight(config, origin, session, "PUT", "x-amz-checksum-sha256")
    if not missing:
        # A browser sends no preflight for a plain POST. A store whose rules omit it hides the answer from the page.
        if (await _preflight(config, origin, session, "POST", None))[1]:
            missing.append("POST uploads are not allowed")
        if not await _shows_etag(config, origin, session):
            missing.append("the header ETag is not exposed, which Uppy reads")
    return CorsProbe(origin, status, not missing, "; ".join(missing) or "a browser may send parts")


async def _preflight(
    config: StoreConfig, origin: str, session: aiohttp.ClientSession, method: str, header: str | None
) -> tuple[int, list[str]]:
    """Return the status of a preflight and a list, in words, of the rights that it denies."""
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    if header is not None:
        headers["Access-Control-Request-Headers"] = header
    address = BucketAddress.of(config.endpoint, config.bucket, config.addressing_style)
    url = f"{address.origin}{address.path(_NOWHERE)}?partNumber=1&uploadId={_NOWHERE}"
    async with _ask(config, session, "OPTIONS", url, headers) as answer:
        missing = []
        if not 200 <= answer.status < 300:
            missing.append(f"the preflight is answered {answer.status}")
        if answer.headers.get("Access-Control-Allow-Origin") not in (origin, "*"):
            missing.append("the origin is not allowed")
        if not {method, "*"} & _words(answer, "Access-Control-Allow-Methods", str.upper):
            missing.append(f"{method} is not allowed")
        if header is not None and not {header, "*"} & _words(answer, "Access-Control-Allow-Headers", str.lower):
            missing.append(f"the header {header} is not allowed")
        return answer.status, missing


async def _shows_etag(config: StoreConfig, origin: str, session: aiohttp.ClientSession) -> bool:
    """Say whether a page may read the ETag of a part. The request is a PUT, because rules differ by method.

    No upload has this id, so the answer is an error and nothing is written. Some stores send no CORS headers with
    errors; their answer proves nothing.
    """
    signer = Presigner(
        config.endpoint, config.bucket, config.region, config.credentials, config.addressing_style, utc_now
    )
    part = signer.part_urls(_NOWHERE, _NOWHERE, [PartToSign(1, 0)], _PROBE_SECONDS)[0]
    async with _ask(config, session, part.method, part.url, {**part.headers, "Origin": origin}) as answer:
        if "Access-Control-Allow-Origin" not in answer.headers:
            return True
        return bool({"etag", "*"} & _words(answer, "Access-Control-Expose-Headers", str.lower))


@asynccontextmanager
async def _ask(
    config: StoreConfig, session: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    timeout = aiohttp.ClientTimeout(total=config.timeout_seconds)
    data = b"" if method == "PUT" else None
    try:
        async with session.request(
            method, URL(url, encoded=True), data=data, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            yield answer
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise StoreUnavailable(operation="preflight", message=type(exc).__name__) from exc


def _words(answer: aiohttp.ClientResponse, name: str, fold: Any) -> set[str]:
    return {fold(word.strip()) for value in answer.headers.getall(name, []) for word in value.split(",")}


async def multipart_uploads_of(config: StoreConfig, key: str) -> list[str]:
    """Return the multipart upload ids of exactly this key. A lost answer to CreateMultipartUpload leaves some.

    Every store lists uploads by a whole key; MinIO lists none for a shorter prefix.
    """
    async with open_admin(config) as client:
        answer = await client.list_multipart_uploads(Bucket=config.bucket, Prefix=key, MaxUploads=1000)
        return [item["UploadId"] for item in answer.get("Uploads", []) if item.get("Key") == key]
