"""In a bucket that keeps versions: what was refused is in none, and what is ready is the one that was checked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from gateway.storage.s3 import S3Store
from gateway.storage.transport import Call
from tests.api.conftest import Api, OpenApi, mp3_bytes
from tests.api.uploaders import SECRET, issue

OTHER = b"<script>alert(1)</script>"


@pytest.fixture
def versioning(request: pytest.FixtureRequest) -> str | None:
    """Say what becomes of versions in the bucket; None is a bucket that never kept any."""
    return getattr(request, "param", "Enabled")


@pytest.fixture
def bucket(versioning: str | None, boto3_s3: Any) -> Iterator[str]:
    """Make a bucket, and empty it of every version."""
    name = f"versions-{uuid.uuid4()}"
    boto3_s3.create_bucket(Bucket=name)
    if versioning is not None:
        for status in dict.fromkeys(("Enabled", versioning)):
            boto3_s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
    yield name
    answer = boto3_s3.list_object_versions(Bucket=name)
    for found in [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]:
        boto3_s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    boto3_s3.delete_bucket(Bucket=name)


@pytest.fixture
async def api(open_api: OpenApi, bucket: str) -> Api:
    """Serve on that bucket, with upload tokens."""
    started: Api = await open_api(s3_bucket=bucket, token_secret=SecretStr(SECRET))
    return started


async def _link(api: Api, upload: dict[str, Any]) -> str:
    path = f"/v1/uploads/{upload['upload_id']}/download"
    answer = await api.call("GET", path, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


async def _refused(api: Api, upload: dict[str, Any]) -> tuple[int, str]:
    answer = await api.call("GET", f"/v1/uploads/{upload['upload_id']}/download")
    return answer.status_code, answer.json()["code"]


async def _got(api: Api, url: str) -> bytes:
    answer = await api.store.get(url)
    assert answer.status_code == 200, answer.text
    return answer.content


async def _write(api: Api, key: str, pairs: Sequence[tuple[str, str]] = (), *, etag: str | None = None) -> None:
    """Write other bytes with the store's own key; MinIO stores them with the ETag that it is told."""
    headers = {"content-type": "text/html"} | ({} if etag is None else {"x-minio-source-etag": etag})
    await api.gateway.store._transport.call(Call("PutObject", "PUT", key, list(pairs), headers, OTHER, len(OTHER)))


async def _by_form(api: Api, body: bytes) -> dict[str, Any]:
    """Send *body* as a browser form and give its final state."""
    token = (await issue(api))["token"]
    query = {"filename": "tone.mp3", "type": "audio/mpeg"}
    form = (await api.client.get(f"/uppy/{token}/s3/params", params=query)).json()
    files = {"file": ("tone.mp3", body, "audio/mpeg")}
    assert (await api.store.post(form["url"], data=form["fields"], files=files)).status_code == 201
    upload = await api.arrived(form["uploadId"])
    assert upload["state"] == "ready", upload
    return upload


async def _with_lost_answer(api: Api, body: bytes, s3: Any) -> dict[str, Any]:
    """Have the store assemble *body* without the gateway hearing of it, and complete it then."""
    created = await api.create(body)
    etags = await api.put(created, body)
    row = await api.gateway.database.fetch_one(
        "SELECT multipart_upload_id FROM uploads WHERE id = %(id)s", {"id": created["upload_id"]}
    )
    assert row is not None
    s3.complete_multipart_upload(
        Bucket=api.settings.s3_bucket,
        Key=created["object_key"],
        UploadId=row["multipart_upload_id"],
        MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]},
    )
    upload: dict[str, Any] = (await api.complete(created)).json()
    assert upload["state"] == "ready", upload
    return upload


async def test_refused_content_is_in_no_version(api: Api, bucket: str, boto3_s3: Any) -> None:
    """What was rejected cannot be read by its version either; what is ready stays."""
    assert (await api.ready(b"MZ no media"))["state"] == "rejected"
    ready = await api.ready(mp3_bytes())
    held = boto3_s3.list_object_versions(Bucket=bucket)["Versions"]
    # The API tries at start whether this store takes a forged write; MinIO does.
    kept = [(found["Key"], found["VersionId"]) for found in held if "/canary-" not in found["Key"]]
    assert kept == [(ready["object_key"], ready["version_id"])]


async def test_answer_and_event_name_bucket_and_version(api: Api, bucket: str) -> None:
    """Who reads the store itself finds the checked bytes by bucket, key and version; before the check there is none."""
    ready = await api.ready(mp3_bytes())
    assert (ready["bucket"], bool(ready["version_id"])) == (bucket, True)
    row = await api.gateway.database.fetch_one(
        "SELECT data FROM events WHERE upload_id = %(id)s AND type = 'ready'", {"id": ready["upload_id"]}
    )
    assert row is not None
    for name in ("bucket", "object_key", "version_id", "etag"):
        assert row["data"][name] == ready[name], name
    created = await api.create(mp3_bytes())
    assert (created["bucket"], created["version_id"]) == (bucket, None)


@pytest.mark.parametrize("way", ["parts", "form", "lost answer"])
async def test_a1_a13_downloads_are_of_the_version_that_was_checked(api: Api, boto3_s3: Any, way: str) -> None:
    """Neither a later write, of the same ETag even, nor a delete marker reaches who downloads, then or afterwards."""
    body = mp3_bytes()
    if way == "parts":
        upload = await api.ready(body)
    else:
        upload = await (_by_form(api, body) if way == "form" else _with_lost_answer(api, body, boto3_s3))
    key, before = upload["object_key"], await _link(api, upload)
    await _write(api, key, etag=upload["etag"])
    assert await api.gateway.store.get_object_range(key, 0, len(OTHER), if_match=None) == OTHER
    assert await _got(api, before) == await _got(api, await _link(api, upload)) == body
    await api.gateway.store.delete_object(key)
    assert (await api.store.get(before.split("?")[0])).status_code in (403, 404)
    assert await _got(api, before) == await _got(api, await _link(api, upload)) == body


async def test_a13_what_is_written_right_after_the_assembly_is_not_what_is_checked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged write of the same ETag before the check's first look is neither checked nor given out."""
    assemble = S3Store.complete_multipart_upload

    async def then_forged(self: S3Store, key: str, *args: Any, **options: Any) -> Any:
        made = await assemble(self, key, *args, **options)
        await _write(api, key, etag=made.etag)
        return made

    monkeypatch.setattr(S3Store, "complete_multipart_upload", then_forged)
    upload = await api.ready(mp3_bytes())
    assert upload["state"] == "ready"
    assert await api.gateway.store.get_object_range(upload["object_key"], 0, len(OTHER), if_match=None) == OTHER
    assert await _got(api, await _link(api, upload)) == mp3_bytes()


async def test_refused_content_is_in_no_version_though_a_delete_marker_hides_it(
    api: Api, bucket: str, boto3_s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that was assembled is looked at, and removed, by its id when the key alone leads nowhere."""
    assemble = S3Store.complete_multipart_upload

    async def then_hidden(self: S3Store, key: str, *args: Any, **options: Any) -> Any:
        made = await assemble(self, key, *args, **options)
        await self.delete_object(key)
        return made

    monkeypatch.setattr(S3Store, "complete_multipart_upload", then_hidden)
    refused = await api.ready(b"MZ no media")
    assert (refused["state"], refused["rejection"]["code"]) == ("rejected", "type_not_recognised")
    assert "Versions" not in boto3_s3.list_object_versions(Bucket=bucket, Prefix=refused["object_key"])


async def test_a1_a_version_keeps_when_the_bucket_keeps_no_more(api: Api, bucket: str, boto3_s3: Any) -> None:
    """Suspending versioning takes nothing from what was ready before."""
    upload = await api.ready(mp3_bytes())
    boto3_s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    await _write(api, upload["object_key"])
    assert await _got(api, await _link(api, upload)) == mp3_bytes()


@pytest.mark.parametrize("versioning", [None, "Suspended"], indirect=True)
async def test_a1_without_lasting_versions_the_etag_decides(api: Api) -> None:
    """A `null` version is written over in place: it is not recorded, and what changed is not given out."""
    upload = await api.ready(mp3_bytes())
    assert "versionId" not in await _link(api, upload)
    await _write(api, upload["object_key"])
    assert await _refused(api, upload) == (409, "object_changed")


async def test_a1_a_version_that_is_gone_is_not_replaced_by_the_next(api: Api, bucket: str, boto3_s3: Any) -> None:
    """Where the version that was checked was removed, what lies there instead is not given out."""
    upload = await api.ready(mp3_bytes())
    key = upload["object_key"]
    checked = boto3_s3.head_object(Bucket=bucket, Key=key)["VersionId"]
    await _write(api, key)
    boto3_s3.delete_object(Bucket=bucket, Key=key, VersionId=checked)
    assert await _refused(api, upload) == (409, "object_changed")


async def test_a13_a_version_that_is_written_over_is_not_given_out(api: Api, bucket: str, boto3_s3: Any) -> None:
    """MinIO lets a PUT that names a version write into it: the ETag is compared all the same."""
    upload = await api.ready(mp3_bytes())
    key = upload["object_key"]
    checked = boto3_s3.head_object(Bucket=bucket, Key=key)["VersionId"]
    await _write(api, key, [("versionId", checked)])
    held = boto3_s3.get_object(Bucket=bucket, Key=key, VersionId=checked)["Body"].read()
    if held == OTHER:
        assert await _refused(api, upload) == (409, "object_changed")
    else:
        assert await _got(api, await _link(api, upload)) == held == mp3_bytes()


async def test_a_download_that_names_a_version_is_still_saved_and_never_run(api: Api) -> None:
    """Its type and file name are signed as ever."""
    link = await _link(api, await api.ready(mp3_bytes(), "Ünï.mp3"))
    assert "versionId=" in link
    answer = await api.store.get(link)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "audio/mpeg"
    version = parse_qs(urlsplit(link).query)["versionId"][0]
    another = version.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    for changed in (link.replace(f"versionId={version}", f"versionId={another}"), f"{link}&versionId={another}"):
        assert (await api.store.get(changed)).status_code == 403
