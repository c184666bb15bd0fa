"""The probes on real stores: each finds what the store does, and says how to cure it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.bootstrap import probe_targets_of, store_config_of
from gateway.dev import minio, seaweedfs
from gateway.dev.prepare import prepare_store
from gateway.dev.processes import StackError, free_ports
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.startup.check_store import EXPOSED, check_store, report
from gateway.storage.errors import StoreUnavailable, StoreUnsafe
from gateway.storage.s3 import open_store
from gateway.storage.store_checks import ProbeResult, StoreChecks
from tests.conftest import boto3_client, missing
from tests.store.probing import probe, root_settings

NAMES = [
    "signed_part",
    "signed_download",
    "copy_source",
    "unsigned_headers",
    "forged_write",
    "half_part",
    "part_checksum",
    "conditional_complete",
    "post_upload",
    "cors",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """Run the store that TEST_STORE names, prepared as in `gateway dev`, with a second bucket without versions."""
    name = os.environ.get("TEST_STORE", "seaweedfs")
    folder: Path = tmp_path_factory.mktemp("probes")
    try:
        started = minio.start(folder) if name == "minio" else seaweedfs.start(folder)
    except StackError as error:
        missing(str(error))
    try:
        asyncio.run(
            prepare_store(Settings(_env_file=None, **started.settings(), **started.admin_settings()), embedded=True)
        )
        client = boto3_client(started)
        client.create_bucket(Bucket="unversioned")
        client.close()
        yield started
    finally:
        started.stop()


async def test_i5_every_probe_has_an_answer_and_leaves_nothing(server: StoreServer) -> None:
    """With three keys no probe is unknown, none finds exposed files, and neither object nor upload is left."""
    results = await probe(server)
    assert list(results) == NAMES
    assert {name for name, result in results.items() if result.status == "unknown"} == set()
    assert {name for name, result in results.items() if result.exposes_files} == set()
    bad = {name for name, result in results.items() if result.status == "bad"}
    assert bad == ({"forged_write", "unsigned_headers"} if server.name == "minio" else set())
    assert all(result.cure for result in results.values() if result.status == "bad")
    client = boto3_client(server)
    listed = client.list_objects_v2(Bucket=server.bucket).get("Contents", [])
    assert [item["Key"] for item in listed if "probe-" in item["Key"]] == []
    client.close()


async def test_i1_one_key_for_everything_is_found(server: StoreServer) -> None:
    """With the root key in all three places the copy probe steals a file on MinIO; SeaweedFS refuses it."""
    result = (await probe(server, **root_settings(server)))["copy_source"]
    stolen = server.name == "minio"
    assert (result.status, result.exposes_files) == (("bad", True) if stolen else ("ok", False)), result


async def test_i3_a_forged_write_exposes_files_only_where_no_version_protects_them(server: StoreServer) -> None:
    """MinIO takes the forged write; in a bucket without versions the checked file is replaced, and that is found."""
    result = (await probe(server, **root_settings(server), s3_bucket="unversioned"))["forged_write"]
    replaced = server.name == "minio"
    assert (result.status, result.exposes_files) == (("bad", True) if replaced else ("ok", False)), result


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"s3_signing_secret_access_key": "wrong-secret-of-the-key"}, "signed_part"),
        ({"s3_download_secret_access_key": "wrong-secret-of-the-key"}, "signed_download"),
        ({"s3_public_endpoint": "{endpoint}/wrong-path"}, "signed_part"),
    ],
)
async def test_a_wrong_public_address_or_key_is_found(server: StoreServer, changed: dict[str, str], name: str) -> None:
    """What would be 403 on every part of every client is one line at start."""
    filled = {key: value.format(endpoint=server.endpoint) for key, value in changed.items()}
    result = (await probe(server, **filled))[name]
    assert (result.status, bool(result.cure)) == ("bad", True), result


async def test_a_public_address_out_of_reach_is_no_verdict(server: StoreServer) -> None:
    """Where the gateway cannot reach the public address, its probes are unknown, and nothing is refused."""
    results = await probe(server, s3_public_endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    unknown = {name for name, result in results.items() if result.status == "unknown"}
    assert {"signed_part", "copy_source", "forged_write", "half_part"} <= unknown
    assert results["conditional_complete"].status == "ok"


async def test_a_store_that_is_away_is_probed_later(server: StoreServer) -> None:
    """Without an answer uploads do not wait, and the probes go on until the store is there."""
    port = free_ports(1)[0]
    with pytest.raises(StoreUnavailable):
        await probe(server, s3_endpoint=f"http://127.0.0.1:{port}")
    settings = Settings(_env_file=None, **{**server.settings(), "s3_endpoint": f"http://127.0.0.1:{port}"})
    checks = StoreChecks()
    checks.begin()
    async with open_store(store_config_of(settings)) as store:
        task = asyncio.create_task(check_store(probe_targets_of(settings, store), checks))
        await asyncio.wait_for(checks.require_safe(), 60)
        assert (checks.results, task.done()) == ((), False)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


EXPOSING = ProbeResult("copy_source", "a copy", "bad", "it was copied.", "Use three keys.", exposes_files=True)


@pytest.mark.parametrize("unsafe_store", ["refuse", "warn"])
async def test_i1_an_exposed_store_refuses_uploads_unless_told_to_warn(
    unsafe_store: str, caplog: pytest.LogCaptureFixture
) -> None:
    """GATEWAY_UNSAFE_STORE decides between 503 `store_unsafe` and an error in the log; both name cure and choice."""
    checks = StoreChecks(unsafe_store)  # type: ignore[arg-type]
    checks.begin()
    waiting = asyncio.create_task(checks.require_safe())
    await asyncio.sleep(0)
    assert not waiting.done(), "an upload waits for the first results"
    checks.finish((EXPOSING,))
    if unsafe_store == "refuse":
        with pytest.raises(StoreUnsafe):
            await waiting
    else:
        await waiting
    with caplog.at_level(logging.ERROR):
        report(checks.results, refuses=checks.refuses_uploads)
    assert caplog.messages[0].startswith(f"{EXPOSED}: copy_source: it was copied. Use three keys.")
    assert ("Uploads are refused." in caplog.text) == (unsafe_store == "refuse")
