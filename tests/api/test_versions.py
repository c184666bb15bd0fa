"""A bucket that keeps versions keeps none of what was refused."""

from __future__ import annotations

import uuid
from typing import Any

from tests.api.conftest import Api, OpenApi, mp3_bytes


async def test_refused_content_is_in_no_version(open_api: OpenApi, boto3_s3: Any) -> None:
    """What was rejected cannot be read by its version either; what is ready stays."""
    bucket = f"versions-{uuid.uuid4()}"
    boto3_s3.create_bucket(Bucket=bucket)
    boto3_s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    api: Api = await open_api(s3_bucket=bucket)
    assert (await api.ready(b"MZ no media"))["state"] == "rejected"
    ready = await api.ready(mp3_bytes())
    held = boto3_s3.list_object_versions(Bucket=bucket)["Versions"]
    # The API tries at start whether this store takes a forged write; MinIO does.
    assert [found["Key"] for found in held if "/canary-" not in found["Key"]] == [ready["object_key"]]
    answer = boto3_s3.list_object_versions(Bucket=bucket)
    for found in [*answer["Versions"], *answer.get("DeleteMarkers", [])]:
        boto3_s3.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
    boto3_s3.delete_bucket(Bucket=bucket)
