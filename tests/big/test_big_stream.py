"""Forms of gigabytes through the gateway itself: nothing of them stays in its memory, and every byte arrives."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.dev.store import StoreServer
from tests.big.conftest import BIG_SIZE
from tests.big.movie import make_movie
from tests.conftest import boto3_client, missing
from tests.e2e.stack import Stack, running_gateway
from tests.receiving import Memory

pytestmark = pytest.mark.big

MIB = 1024 * 1024
ONE_MIB = 64
"""What one form may add to the gateway's memory."""
TEN_MIB = 512
"""What ten at once may take in all."""


@pytest.fixture(params=["store", "disk"])
def streaming(
    request: pytest.FixtureRequest, make_database: Callable[[], str], store_server: StoreServer, big_folder: Path
) -> Iterator[Stack]:
    """Run a gateway that keeps forms in the store or on disk; what it kept is removed afterwards."""
    kept = big_folder / "kept"
    settings = {"UPLOAD_STREAM_DESTINATION": request.param, "UPLOAD_DIR": str(kept)}
    with running_gateway(make_database(), store_server, big_folder, settings) as running:
        yield running
    shutil.rmtree(kept, ignore_errors=True)
    client = boto3_client(store_server)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=store_server.bucket):
        for found in page.get("Contents", []):
            client.delete_object(Bucket=store_server.bucket, Key=found["Key"])


def curl(stack: Stack, file: Path, *fields: str) -> list[str]:
    """Give curl's command line for a form."""
    program = shutil.which("curl") or missing("curl is not installed")
    form = [part for field in (*fields, f"file=@{file};type=video/quicktime") for part in ("-F", field)]
    headers = ["-H", f"Authorization: Bearer {stack.key}"]
    return [program, "-sS", "-w", "\\n%{http_code}", *headers, *form, f"{stack.url}/upload/stream"]


def answer_of(output: bytes) -> dict[str, Any]:
    """Read curl's output; check that the file is ready."""
    text, _, status = output.decode().rpartition("\n")
    assert status == "201", output
    told: dict[str, Any] = json.loads(text)
    assert told["state"] == "ready"
    return told


def sha256_of(file: Path) -> str:
    """Hash a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_kept(store: StoreServer, told: dict[str, Any]) -> str:
    """Hash what store or disk hold, past the gateway."""
    if "path" in told:
        return sha256_of(Path(told["path"]))
    body = boto3_client(store).get_object(Bucket=store.bucket, Key=told["object_key"])["Body"]
    digest = hashlib.sha256()
    for piece in body.iter_chunks(MIB):
        digest.update(piece)
    return digest.hexdigest()


def test_f8_a_form_of_the_largest_size_stays_out_of_memory(
    streaming: Stack, store_server: StoreServer, movie: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A form of 5 GiB by curl becomes ready with the same SHA-256, and the gateway grows by less than 64 MiB."""
    expected = sha256_of(movie)
    process = psutil.Process(streaming.api.pid)
    began, before = time.monotonic(), sum(process.cpu_times()[:2])
    with Memory(process) as memory:
        done = subprocess.run(curl(streaming, movie, f"sha256={expected}"), capture_output=True, check=True)
    seconds, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - before
    told = answer_of(done.stdout)
    with capsys.disabled():
        place = "disk" if "path" in told else store_server.name
        print(f"\n{BIG_SIZE / MIB:.0f} MiB to {place}: {seconds:.1f} s, {BIG_SIZE / seconds / 1e6:.0f} MB/s, ", end="")
        print(f"{cpu * 1024 * MIB / BIG_SIZE:.2f} s CPU/GiB, +{memory.growth / MIB:.0f} MiB; MiB: {memory.drawn()}")
    assert memory.growth < ONE_MIB * MIB
    assert told["size_bytes"] == BIG_SIZE
    assert sha256_kept(store_server, told) == expected


def test_f8_ten_forms_at_once_stay_within_bounds(
    streaming: Stack, store_server: StoreServer, big_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten forms of 1 GiB at once all become ready, and the gateway takes less than 512 MiB for all of them together."""
    file = make_movie(big_folder / "one.mov", BIG_SIZE // 5)
    expected = sha256_of(file)
    began = time.monotonic()
    with Memory(psutil.Process(streaming.api.pid)) as memory:
        clients = [subprocess.Popen(curl(streaming, file), stdout=subprocess.PIPE) for _ in range(10)]
        outputs = [client.communicate()[0] for client in clients]
    seconds = time.monotonic() - began
    told = [answer_of(output) for output in outputs]
    with capsys.disabled():
        place = "disk" if "path" in told[0] else store_server.name
        print(f"\n10 x {BIG_SIZE // 5 / MIB:.0f} MiB to {place}: {seconds:.1f} s, ", end="")
        print(f"{2 * BIG_SIZE / seconds / 1e6:.0f} MB/s, at most {max(memory.curve) / MIB:.0f} MiB: {memory.drawn()}")
    assert max(memory.curve) < TEN_MIB * MIB
    assert {sha256_kept(store_server, one) for one in told} == {expected}
    file.unlink()
