"""Measure a file through the upload page beside curl, which PUTs the same parts to the same store.

Chromium hashes each part and gets it signed before it sends it; curl is given checksums and URLs beforehand and only
sends. Both keep four parts under way. Rounds take turns, so that a machine whose speed changes changes it for both.

Where nothing but the machine is the limit, browser and store share its cores: with --mbit both send through a link of
that rate, as clients of a store elsewhere do.

    python -m tests.bench.browser [--mib 1024] [--rounds 3] [--store seaweedfs|minio] [--mbit 400]

Needs Chromium and curl.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from gateway.database import migrate
from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.processes import free_ports
from tests.e2e.browser.harness import Gateway, find_chromium, running_gateway, until
from tests.e2e.browser.test_page_big import make_wav
from tests.link import Link

MIB = 1024 * 1024
PARALLEL = 4


@contextmanager
def serving(store_name: str, folder: Path, mbit: float) -> Iterator[Gateway]:
    """Run database, store, API and worker, with the page switched on; *mbit* is the rate to the store, 0 for any."""
    with ExitStack() as parts:
        database = postgres.start(folder / "postgres")
        parts.callback(database.stop)
        with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE gateway"))
        migrate.upgrade(database.url("gateway"))
        port = free_ports(1)[0]
        origin = f"http://127.0.0.1:{port}"
        if store_name == "minio":
            store = minio.start(folder / "store", allowed_origins=[origin])
        else:
            store = seaweedfs.start(folder / "store")
        parts.callback(store.stop)
        public = store.endpoint
        if mbit:
            link = Link(store.endpoint, mbit * 1e6 / 8)
            parts.callback(link.close)
            public = link.url
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_S3_PUBLIC_ENDPOINT": public,
            "GATEWAY_DATABASE_URL": database.url("gateway"),
            "GATEWAY_S3_ENDPOINT": store.endpoint,
            "GATEWAY_S3_BUCKET": "bench",
            "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
            "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
            "GATEWAY_UNSAFE_STORE": "warn",
            "GATEWAY_ALLOWED_ORIGINS": origin,
            "GATEWAY_TOKEN_SECRET": secrets.token_urlsafe(32),
            "GATEWAY_UPLOAD_PAGE": "token",
            "GATEWAY_LOG_LEVEL": "warning",
        }
        yield parts.enter_context(running_gateway(environment, folder))


def through_the_page(browser: Any, gateway: Gateway, file: Path) -> tuple[float, str]:
    """Send *file* with the page; return the seconds from the first part to the last, and the upload's key."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{gateway.address}/#token={gateway.token()}")
    until(lambda: "up to" in page.inner_text("#limits"))
    page.set_input_files("#files", file)
    until(lambda: page.locator(".card[data-state=uploading]").count() == 1)
    start = time.perf_counter()
    until(lambda: page.locator(".card:is([data-state=checking], [data-state=ready])").count() == 1, 900, every=0.1)
    seconds = time.perf_counter() - start
    until(lambda: page.locator(".card[data-state=ready]").count() == 1, 120)
    context.close()
    with gateway.api() as api:
        upload_id = api.get("/v1/uploads", params={"limit": 1}).json()["uploads"][0]["upload_id"]
    return seconds, upload_id


def through_curl(gateway: Gateway, file: Path, folder: Path) -> tuple[float, str]:
    """PUT the same parts with curl; everything that is not sending is done before."""
    with gateway.api() as api:
        wanted = {"filename": file.name, "size_bytes": file.stat().st_size, "part_checksums": "sha256"}
        upload = api.post("/v1/uploads", json=wanted).json()
        checksums = list(cut(file, upload["part_size_bytes"], folder))
        numbered = [{"part_number": n, "checksum_sha256": value} for n, value in enumerate(checksums, 1)]
        path = f"/v1/uploads/{upload['upload_id']}"
        signed = api.post(f"{path}/parts/sign", json={"parts": numbered}).json()["parts"]
        config = folder / "curl"
        config.write_text("\nnext\n".join(curl_lines(part, folder) for part in signed))
        command = ["curl", "--no-progress-meter", "-Z", "--parallel-max", str(PARALLEL), "--fail", "-K", str(config)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        assert api.post(f"{path}/complete").json()["state"] == "ready"
    return seconds, upload["upload_id"]


def cut(file: Path, part_size: int, folder: Path) -> Iterator[str]:
    """Cut *file* into parts beside it and give the checksum of each."""
    with file.open("rb") as source:
        for number in range(1, -(-file.stat().st_size // part_size) + 1):
            part = source.read(part_size)
            (folder / f"part-{number}").write_bytes(part)
            yield base64.b64encode(hashlib.sha256(part).digest()).decode()


def curl_lines(part: dict[str, Any], folder: Path) -> str:
    """Write one transfer for curl."""
    headers = [f'header = "{name}: {value}"' for name, value in part["headers"].items()]
    file = folder / f"part-{part['part_number']}"
    return "\n".join([f'url = "{part["url"]}"', f'upload-file = "{file}"', 'header = "Expect:"', "fail", *headers])


def measure(browser: Any, gateway: Gateway, file: Path, rounds: int, folder: Path) -> None:
    """Take turns and print each round and the medians."""
    mib = file.stat().st_size / MIB
    speeds: dict[str, list[float]] = {"page": [], "curl": []}
    through_curl(gateway, file, folder)  # the first upload makes the store's volumes
    for number in range(1, rounds + 1):
        turns = {
            "page": lambda: through_the_page(browser, gateway, file),
            "curl": lambda: through_curl(gateway, file, folder),
        }
        for name, turn in turns.items():
            seconds, _ = turn()
            speeds[name].append(mib / seconds)
            print(f"round {number}  {name}  {mib / seconds:6.0f} MiB/s", flush=True)
    page, curl = (statistics.median(speeds[name]) for name in ("page", "curl"))
    print(f"median   page {page:.0f} MiB/s, curl {curl:.0f} MiB/s: {100 * page / curl:.0f} %")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mbit", type=float, default=0.0, help="rate of the link to the store; 0: no limit")
    parser.add_argument("--store", choices=["seaweedfs", "minio"], default="seaweedfs")
    options = parser.parse_args()
    program = find_chromium()
    if program is None or shutil.which("curl") is None:
        print("Chromium and curl are needed.")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        file = make_wav(folder / "long.wav", options.mib * MIB)
        with serving(options.store, folder, options.mbit) as gateway:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            link = f"{options.mbit:.0f} Mbit/s" if options.mbit else "no link"
            print(f"{options.mib} MiB, {PARALLEL} parts at a time, {options.store}, {link}, {os.cpu_count()} cores")
            measure(browser, gateway, file, options.rounds, folder)
            browser.close()


if __name__ == "__main__":
    main()
