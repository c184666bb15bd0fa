"""The largest file the gateway takes, sent as a user sends it; and what becomes of those who lie about a size."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import pytest
from botocore.exceptions import ClientError

from gateway.client import Client, PartsMismatch, Upload
from gateway.dev.store import StoreServer
from tests.big.conftest import BIG_SIZE
from tests.big.memory import PeakMemory
from tests.conftest import boto3_client
from tests.e2e.stack import Stack, client_environment

pytestmark = pytest.mark.big

MIB = 1024 * 1024
GATEWAY_MIB = 150
CLIENT_MIB = 200


def send(stack: Stack, folder: Path, file: Path) -> tuple[int, dict[str, Any], float, dict[str, float]]:
    """Run `gateway upload`; return exit code, what it printed, seconds, and peak memory by process."""
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "upload", "--json", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=folder,
        env=client_environment(stack, folder),
    ) as process:
        pids = {"client": process.pid, "api": stack.api.pid, "worker": stack.worker.pid}
        with PeakMemory(pids) as memory:
            out, _ = process.communicate(timeout=3000)
        return process.returncode, json.loads(out), time.monotonic() - started, memory.peak_mib


def object_exists(store: StoreServer, key: str) -> bool:
    """Ask the store, past the gateway, whether there is an object."""
    try:
        boto3_client(store).head_object(Bucket=store.bucket, Key=key)
    except ClientError as exc:
        if exc.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True


def open_uploads(store: StoreServer, key: str) -> list[str]:
    """Ask the store, past the gateway, for unfinished uploads of exactly this key."""
    listed = boto3_client(store).list_multipart_uploads(Bucket=store.bucket, Prefix=key)
    return [found["UploadId"] for found in listed.get("Uploads", []) if found["Key"] == key]


def object_key(stack: Stack, upload: Upload) -> str:
    """Return the object key of an upload."""
    shown = httpx.get(f"{stack.url}/v1/uploads/{upload.upload_id}", headers=stack.headers).json()
    return str(shown["object_key"])


def test_the_largest_file_becomes_ready(
    stack: Stack, store_server: StoreServer, movie: Path, big_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valid movie of exactly MAX_FILE_SIZE goes through the CLI to ready, whole, in little memory on either side."""
    probe = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", movie], capture_output=True, text=True)
    assert "pcm_s16be" in probe.stderr
    code, line, seconds, memory = send(stack, big_folder, movie)
    with capsys.disabled():
        used = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items())
        print(f"\n{BIG_SIZE / MIB:.0f} MiB on {store_server.name}: {seconds:.1f} s, "
              f"{BIG_SIZE / MIB / seconds:.0f} MiB/s; peak memory: {used}")  # fmt: skip
    assert (code, line["state"], line["size_bytes"]) == (0, "ready", BIG_SIZE)
    with Client(stack.url, stack.key) as client:
        assert client.get(line["upload_id"]).content_type == "video/quicktime"
        _compare_some(client.download_url(line["upload_id"]).url, movie)
    assert memory["api"] < GATEWAY_MIB
    assert memory["worker"] < GATEWAY_MIB
    assert memory["client"] < CLIENT_MIB


def _compare_some(url: str, movie: Path) -> None:
    """Compare head, tail and 200 places between, each with the number of a chunk in it, with the file."""
    draw = random.Random(BIG_SIZE)
    places = [0, BIG_SIZE - 2 * MIB, *(draw.randrange(0, BIG_SIZE - MIB) for _ in range(200))]
    with httpx.Client(timeout=60) as store, movie.open("rb") as file:
        for place in places:
            # Over a chunk's beginning, where the file is not silent.
            start = max(0, place)
            fetched = store.get(url, headers={"Range": f"bytes={start}-{start + MIB - 1}"})
            assert fetched.status_code == 206
            file.seek(start)
            assert fetched.content == file.read(MIB)


def test_one_byte_more_is_refused(stack: Stack, movie: Path, big_folder: Path) -> None:
    """One byte over MAX_FILE_SIZE is 413 at create, before any byte is sent."""
    with movie.open("r+b") as file:
        file.truncate(BIG_SIZE + 1)
    try:
        code, line, _, _ = send(stack, big_folder, movie)
    finally:
        with movie.open("r+b") as file:
            file.truncate(BIG_SIZE)
    assert (code, line["error"]["code"]) == (1, "file_too_large")
    body = {"filename": "movie.mov", "size_bytes": BIG_SIZE + 1}
    assert httpx.post(f"{stack.url}/v1/uploads", json=body, headers=stack.headers).status_code == 413


def test_sending_more_than_declared(small_stack: Stack, store_server: StoreServer) -> None:
    """A PUT of one byte more than declared is refused by the store, and nothing of it can be completed."""
    with Client(small_stack.url, small_stack.key) as client:
        upload = client.create("small.mov", 20 * MIB)
        key = object_key(small_stack, upload)
        for part in upload.parts:
            headers = {name: value for name, value in part.headers.items() if name.lower() != "content-length"}
            try:
                answer = httpx.put(part.url, content=bytes(part.size_bytes + 1), headers=headers, timeout=60)
            except httpx.TransportError:
                continue
            assert 400 <= answer.status_code < 500
        assert client.list_parts(upload.upload_id) == ()
        with pytest.raises(PartsMismatch) as caught:
            client.complete(upload.upload_id)
        assert caught.value.fields["missing"] == [1, 2]
        client.abort(upload.upload_id)
    assert not object_exists(store_server, key)
    assert open_uploads(store_server, key) == []


def test_sending_less_than_declared(small_stack: Stack, store_server: StoreServer) -> None:
    """A file shorter than declared is never completed: the store refuses short parts, the gateway names what misses."""
    with Client(small_stack.url, small_stack.key) as client:
        upload = client.create("small.mov", 20 * MIB)
        key = object_key(small_stack, upload)
        first, last = upload.parts
        assert httpx.put(first.url, content=bytes(first.size_bytes), headers=dict(first.headers)).status_code == 200
        short = {name: value for name, value in last.headers.items() if name.lower() != "content-length"}
        answer = httpx.put(last.url, content=bytes(last.size_bytes - 1), headers=short)
        assert 400 <= answer.status_code < 500
        with pytest.raises(PartsMismatch) as caught:
            client.complete(upload.upload_id)
        assert caught.value.fields["missing"] == [2]
        client.abort(upload.upload_id)
        assert client.get(upload.upload_id).state == "aborted"
    assert not object_exists(store_server, key)
    assert open_uploads(store_server, key) == []


def test_parts_over_the_limit_end_in_rejected(small_stack: Stack, store_server: StoreServer) -> None:
    """Parts that got past every signature and are together over the limit end in rejected, with the object gone.

    Only who holds the store's own key can do that; the gateway looks all the same, before anything is assembled.
    """
    with Client(small_stack.url, small_stack.key) as client:
        upload = client.create("small.mov", 20 * MIB)
        key = object_key(small_stack, upload)
        (multipart_upload_id,) = open_uploads(store_server, key)
        store = boto3_client(store_server)
        for number, size in ((1, 16 * MIB), (2, 17 * MIB)):
            store.upload_part(
                Bucket=store_server.bucket,
                Key=key,
                UploadId=multipart_upload_id,
                PartNumber=number,
                Body=bytes(size),
            )
        done = client.complete(upload.upload_id)
        rejected = done if done.is_final else client.wait(upload.upload_id, 60)
        assert rejected.state == "rejected"
        assert rejected.rejection is not None
        assert rejected.rejection.code == "file_too_large"
    _wait_until_gone(store_server, key)


def _wait_until_gone(store: StoreServer, key: str) -> None:
    for _ in range(300):
        if not object_exists(store, key) and not open_uploads(store, key):
            return
        time.sleep(0.2)
    raise AssertionError("the store still holds it")
