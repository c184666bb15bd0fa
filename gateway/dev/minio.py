"""Run a real MinIO on 127.0.0.1, from a `minio` program on this machine."""

from __future__ import annotations

import http.client
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.dev.processes import Child, StackError, kept_ports, version_of
from gateway.dev.store import StoreServer, kept_credentials, kept_keys

# The last version on Go's module proxy. MinIO no longer publishes binaries or images.
MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
INSTALL_HINT = f"go install {MODULE}"


def find_binary() -> Path | None:
    """Find `minio` on PATH or in the folders that `go install` uses."""
    go_path = os.environ.get("GOPATH") or str(Path.home() / "go")
    folders = [os.environ.get("GOBIN", ""), *(str(Path(entry) / "bin") for entry in go_path.split(os.pathsep))]
    found = shutil.which("minio") or shutil.which("minio", path=os.pathsep.join(filter(None, folders)))
    return Path(found) if found else None


def start(
    folder: Path, *, allowed_origins: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> StoreServer:
    """Do what `launch` does, and wait until MinIO answers.

    Raises:
        StackError: No binary, or the store does not start.
    """
    server = launch(folder, allowed_origins=allowed_origins, environment=environment)
    server.wait()
    return server


def launch(
    folder: Path, *, allowed_origins: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> StoreServer:
    """Start MinIO on the data in *folder* without waiting for it. `prepare_store` makes the bucket and the keys.

    *allowed_origins* are the web origins that may use the store. MinIO reads them only at start (PutBucketCors
    answers 501); without them it allows every origin. *environment* adds MinIO's own settings.

    Raises:
        StackError: No binary.
    """
    program = find_binary()
    if program is None:
        raise StackError(f"No MinIO on PATH or in Go's bin folder: make minio (runs {INSTALL_HINT}, about 8 minutes).")
    folder = folder.resolve()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    credentials = kept_credentials(folder)
    port, console_port = kept_ports(folder / "ports", 2)
    child = Child(
        name="MinIO",
        command=[
            *(str(program), "server", str(data), "--quiet"),
            *("--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console_port}"),
        ],
        log=folder / "minio.log",
        environment={
            "MINIO_ROOT_USER": credentials.access_key_id,
            "MINIO_ROOT_PASSWORD": credentials.secret_access_key,
            "MINIO_API_CORS_ALLOW_ORIGIN": ",".join(allowed_origins) or "http://127.0.0.1",
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            **(environment or {}),
        },
    )
    child.start()
    return StoreServer(
        "minio",
        child,
        f"http://127.0.0.1:{port}",
        credentials,
        kept_keys(folder),
        is_ready=lambda: _ready(port),
    )


def version() -> str:
    """Return the version of MinIO with a blank before it; empty for one that `go install` built, which has none."""
    program = find_binary()
    return version_of([str(program), "--version"]) if program else ""


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/minio/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
