"""Put boto3 and aioboto3 behind the same methods as S3Store, so that one contract can be asked of all three."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.domain.parts import StoredPart
from gateway.storage.admin import open_admin, translate
from gateway.storage.errors import NoSuchBucket, NoSuchKey, StoreError
from gateway.storage.models import Assembled, CompletedPart, ObjectHead, StoreConfig, lasting
from gateway.storage.s3 import S3Store


@dataclass
class BotoStore:
    """Answer like S3Store through a botocore client; subclasses say how a call is made."""

    bucket: str
    client: Any

    async def _call(self, operation: str, **given: Any) -> Any:
        raise NotImplementedError

    async def _read(self, body: Any) -> bytes:
        raise NotImplementedError

    async def _ask(self, operation: str, **given: Any) -> Any:
        present = {name: value for name, value in given.items() if value is not None}
        try:
            return await self._call(operation, Bucket=self.bucket, **present)
        except ClientError as exc:
            raise translate(exc) from exc

    async def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        checksum_algorithm: Literal["SHA256"] | None = None,
        content_disposition: str | None = None,
    ) -> str:
        answer = await self._ask(
            "create_multipart_upload",
            Key=key,
            ContentType=content_type,
            Metadata=dict(metadata or {}),
            ChecksumAlgorithm=checksum_algorithm,
            ContentDisposition=content_disposition,
        )
        return str(answer["UploadId"])

    async def upload_part(
        self,
        key: str,
        multipart_upload_id: str,
        part_number: int,
        body: bytes,
        *,
        size_bytes: int,
        checksum_sha256: str | None = None,
    ) -> str:
        answer = await self._ask(
            "upload_part",
            Key=key,
            UploadId=multipart_upload_id,
            PartNumber=part_number,
            Body=io.BytesIO(body),
            ContentLength=size_bytes,
            ChecksumSHA256=checksum_sha256,
        )
        return str(answer["ETag"]).strip('"')

    async def list_parts(self, key: str, multipart_upload_id: str) -> list[StoredPart]:
        newest: dict[int, StoredPart] = {}
        marker: int | None = None
        while True:
            page = await self._ask("list_parts", Key=key, UploadId=multipart_upload_id, PartNumberMarker=marker)
            for item in page.get("Parts", []):
                part = StoredPart(
                    item["PartNumber"],
                    item["Size"],
                    item["ETag"].strip('"'),
                    item.get("ChecksumSHA256"),
                    item["LastModified"],
                )
                seen = newest.get(part.part_number)
                if seen is None or seen.last_modified <= part.last_modified:
                    newest[part.part_number] = part
            if not page["IsTruncated"]:
                return [newest[number] for number in sorted(newest)]
            # One back: the other copy of the page's last part may be on the next page.
            marker = max(newest) - 1

    async def complete_multipart_upload(
        self, key: str, multipart_upload_id: str, parts: Sequence[CompletedPart], *, if_none_match: bool = False
    ) -> Assembled:
        listed = [
            {"PartNumber": part.part_number, "ETag": f'"{part.etag}"'}
            | ({} if part.checksum_sha256 is None else {"ChecksumSHA256": part.checksum_sha256})
            for part in parts
        ]
        answer = await self._ask(
            "complete_multipart_upload",
            Key=key,
            UploadId=multipart_upload_id,
            MultipartUpload={"Parts": listed},
            IfNoneMatch="*" if if_none_match else None,
        )
        return Assembled(answer["ETag"].strip('"'), lasting(answer.get("VersionId")))

    async def abort_multipart_upload(self, key: str, multipart_upload_id: str) -> None:
        await self._ask("abort_multipart_upload", Key=key, UploadId=multipart_upload_id)

    async def head_object(self, key: str, *, if_match: str | None = None, version_id: str | None = None) -> ObjectHead:
        answer = await self._ask("head_object", Key=key, IfMatch=_quoted(if_match), VersionId=version_id)
        return ObjectHead(
            answer["ContentLength"],
            answer["ETag"].strip('"'),
            answer["ContentType"],
            answer["Metadata"],
            answer["LastModified"],
            answer.get("VersionId"),
        )

    async def get_object_range(
        self, key: str, start: int, length: int, *, if_match: str | None, version_id: str | None = None
    ) -> bytes:
        wanted = f"bytes={start}-{start + length - 1}"
        answer = await self._ask("get_object", Key=key, Range=wanted, IfMatch=_quoted(if_match), VersionId=version_id)
        body = await self._read(answer["Body"])
        if len(body) != length:
            raise StoreError(operation="GetObject", message="not the requested range")
        return body

    async def delete_object(self, key: str, *, version_id: str | None = None) -> None:
        await self._ask("delete_object", Key=key, VersionId=version_id)

    async def put_object(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_none_match: bool = False,
    ) -> str:
        answer = await self._ask(
            "put_object",
            Key=key,
            Body=body,
            ContentType=content_type,
            Metadata=dict(metadata or {}),
            IfNoneMatch="*" if if_none_match else None,
        )
        return str(answer["ETag"]).strip('"')

    async def head_bucket(self) -> None:
        try:
            await self._ask("head_bucket")
        except NoSuchKey as exc:
            raise NoSuchBucket(operation="HeadBucket") from exc


class Boto3Store(BotoStore):
    """Call boto3 in a thread."""

    async def _call(self, operation: str, **given: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, operation), **given)

    async def _read(self, body: Any) -> bytes:
        with body:
            return bytes(await asyncio.to_thread(body.read))


class Aioboto3Store(BotoStore):
    """Call aioboto3."""

    async def _call(self, operation: str, **given: Any) -> Any:
        return await getattr(self.client, operation)(**given)

    async def _read(self, body: Any) -> bytes:
        async with body:
            return bytes(await body.read())


AnyStore = S3Store | Boto3Store | Aioboto3Store


def _quoted(etag: str | None) -> str | None:
    return None if etag is None else f'"{etag}"'


async def open_aioboto3(config: StoreConfig, stack: AsyncExitStack) -> Aioboto3Store:
    """Open the aioboto3 adapter until *stack* closes."""
    return Aioboto3Store(config.bucket, await stack.enter_async_context(open_admin(config)))


def open_boto3(config: StoreConfig, stack: AsyncExitStack) -> Boto3Store:
    """Open the boto3 adapter until *stack* closes."""
    client = boto3.Session().client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region,
        aws_access_key_id=config.credentials.access_key_id,
        aws_secret_access_key=config.credentials.secret_access_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": config.addressing_style},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    stack.callback(client.close)
    return Boto3Store(config.bucket, client)
