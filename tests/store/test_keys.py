"""The gateway's three keys on real stores: each may do its own work and nothing else."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from gateway.cli.store import app as store_app
from gateway.dev import minio, seaweedfs
from gateway.dev.prepare import prepare_store
from gateway.dev.processes import StackError
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage.clock import utc_now
from gateway.storage.policies import KEY_NAMES, KeyName, StoreKeys
from gateway.storage.presign import Presigner
from gateway.storage.seaweedfs_keys import seaweedfs_identities
from gateway.storage.sigv4 import Credentials
from tests.conftest import boto3_client, missing


@dataclass
class Prepared:
    """A store after `prepare_store`, and a boto3 client for each of the gateway's keys and for the root key."""

    server: StoreServer
    clients: dict[str, Any]

    def signer(self, name: KeyName) -> Presigner:
        """Sign with one of the keys."""
        server = self.server
        return Presigner(server.endpoint, server.bucket, server.region, server.keys.of(name), "path", utc_now)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """Start the store that TEST_STORE names and prepare it as `gateway dev` does."""
    import asyncio

    name = os.environ.get("TEST_STORE", "seaweedfs")
    folder: Path = tmp_path_factory.mktemp("keys")
    try:
        server = minio.start(folder) if name == "minio" else seaweedfs.start(folder)
    except StackError as error:
        missing(str(error))
    try:
        settings = Settings(_env_file=None, **server.settings(), **server.admin_settings())
        for _ in range(2):
            asyncio.run(prepare_store(settings, embedded=True))
        clients = {key: boto3_client(server, server.keys.of(key)) for key in KEY_NAMES}
        clients["root"] = boto3_client(server)
        clients["root"].create_bucket(Bucket="other-bucket")
        clients["root"].put_object(Bucket="other-bucket", Key="uploads/secret", Body=b"secret")
        clients["root"].put_object(Bucket=server.bucket, Key="elsewhere/secret", Body=b"secret")
        yield Prepared(server, clients)
        for client in clients.values():
            client.close()
    finally:
        server.stop()


def _refused(call: Callable[..., Any], **given: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, caught.value


def test_i1_each_key_may_do_its_own_work_only(prepared: Prepared) -> None:
    """The gateway's key works below the prefix; the signing key may only put there, the download key only get."""
    bucket, clients = prepared.server.bucket, prepared.clients
    own, signing, download = (clients[name] for name in KEY_NAMES)
    key = f"uploads/{uuid.uuid4()}"
    upload = own.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = signing.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"bytes")
    assert [found["PartNumber"] for found in own.list_parts(Bucket=bucket, Key=key, UploadId=upload)["Parts"]] == [1]
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    _refused(download.complete_multipart_upload, Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=listed)
    own.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=listed)
    assert download.get_object(Bucket=bucket, Key=key)["Body"].read() == b"bytes"
    for client in (signing, download):
        _refused(client.list_objects_v2, Bucket=bucket)
        _refused(client.delete_object, Bucket=bucket, Key=key)
        _refused(client.put_object, Bucket=bucket, Key="elsewhere/x", Body=b"x")
        _refused(client.put_object, Bucket="other-bucket", Key="uploads/x", Body=b"x")
    for client in (own, download):
        _refused(client.get_object, Bucket=bucket, Key="elsewhere/secret")
        _refused(client.get_object, Bucket="other-bucket", Key="uploads/secret")
    _refused(signing.get_object, Bucket=bucket, Key=key)
    _refused(download.put_object, Bucket=bucket, Key=key, Body=b"other")
    own.delete_object(Bucket=bucket, Key=key)


def test_i1_the_signing_key_copies_nothing_into_a_part(prepared: Prepared) -> None:
    """With an unsigned copy source on a part URL the store answers 403: the signing key may read nothing."""
    bucket, own, root = prepared.server.bucket, prepared.clients["gateway"], prepared.clients["root"]
    key, victim = (f"uploads/{uuid.uuid4()}" for _ in range(2))
    root.put_object(Bucket=bucket, Key=victim, Body=b"victim")
    upload = own.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    url = prepared.signer("signing").upload_part_of_any_size(key, upload, 1, 60).url
    for source in (
        f"/{bucket}/{victim}",
        f"{bucket}/{victim}",
        f"/{bucket}/elsewhere/secret",
        "/other-bucket/uploads/secret",
    ):
        assert httpx.put(url, headers={"X-Amz-Copy-Source": source}).status_code == 403
    assert "Parts" not in own.list_parts(Bucket=bucket, Key=key, UploadId=upload)
    own.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    if prepared.server.name == "minio":
        # The same request, signed by a key that may read, succeeds: the right is the difference.
        upload = root.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        signer = Presigner(prepared.server.endpoint, bucket, "us-east-1", prepared.server.credentials, "path", utc_now)
        url = signer.upload_part_of_any_size(key, upload, 1, 60).url
        assert httpx.put(url, headers={"X-Amz-Copy-Source": f"/{bucket}/{victim}"}).status_code == 200
        root.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


@pytest.mark.parametrize(("folder", "status"), [("uploads/forms", {201}), ("elsewhere", {403})])
def test_post_uploads_work_with_the_signing_key(prepared: Prepared, folder: str, status: set[int]) -> None:
    """A POST upload signed by the put-only key is stored below the prefix, and nowhere else."""
    form = prepared.signer("signing").post_policy(
        f"{folder}/{uuid.uuid4()}", 60, content_type="audio/mpeg", max_size_bytes=100
    )
    answer = httpx.post(form.url, data=form.fields, files={"file": ("a.mp3", b"bytes", "audio/mpeg")})
    assert answer.status_code in status, answer.text


def test_no_gateway_setting_holds_the_root_key(prepared: Prepared) -> None:
    """What `gateway dev` gives to its processes names three keys, none of them the root key."""
    given = prepared.server.settings()
    ids = [given[f"s3_{name}access_key_id"] for name in ("", "signing_", "download_")]
    assert len({*ids, prepared.server.access_key_id}) == 4
    assert prepared.server.secret_access_key not in given.values()


def test_prepare_refuses_one_key_for_two_purposes(prepared: Prepared) -> None:
    """On MinIO the four ids must differ and all be set; the sentence says so. Other stores are told to use policies."""
    import asyncio

    given = {**prepared.server.settings(), **prepared.server.admin_settings()}
    same = {**given, "s3_signing_access_key_id": given["s3_access_key_id"]}
    unset = {name: value for name, value in given.items() if "download" not in name}
    for chosen, sentence in ((same, "four different ids"), (unset, "GATEWAY_S3_DOWNLOAD_")):
        settings = Settings(_env_file=None, **chosen)
        if prepared.server.name == "minio":
            with pytest.raises(StackError, match=sentence):
                asyncio.run(prepare_store(settings, embedded=False))
        else:
            warnings = asyncio.run(prepare_store(settings, embedded=False)).warnings
            assert "gateway store policies" in warnings[0]


def test_policies_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway store policies` prints one policy for each key; SeaweedFS's form needs the keys and says so."""
    monkeypatch.setenv("GATEWAY_S3_BUCKET", "media")
    printed = json.loads(CliRunner().invoke(store_app, ["policies"]).output)
    assert list(printed) == list(KEY_NAMES)
    assert printed["signing"]["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::media/uploads/*"]}
    ]
    result = CliRunner().invoke(store_app, ["policies", "--seaweedfs"])
    assert (result.exit_code, "GATEWAY_S3_SIGNING_ACCESS_KEY_ID" in result.output) == (1, True)
    for name in ("SIGNING", "DOWNLOAD"):
        monkeypatch.setenv(f"GATEWAY_S3_{name}_ACCESS_KEY_ID", name)
        monkeypatch.setenv(f"GATEWAY_S3_{name}_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("GATEWAY_S3_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("GATEWAY_S3_SECRET_ACCESS_KEY", "secret")
    own, signing, download = (Credentials(name, "secret") for name in ("own", "SIGNING", "DOWNLOAD"))
    expected = seaweedfs_identities(StoreKeys(own, signing, download), "media", "uploads")
    assert json.loads(CliRunner().invoke(store_app, ["policies", "--seaweedfs"]).output) == expected
