"""A web page, the gateway and the store on three origins, and a real Chromium before them."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tests.processes import Process

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
NPM_CHROMIUM = "import('@sparticuz/chromium').then(async m => process.stdout.write(await m.default.executablePath()))"


def find_chromium() -> str | None:
    """Find a Chromium: the one CHROMIUM names, one on PATH, or the npm package's."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if shutil.which("node") and (NODE_MODULES / "@sparticuz/chromium").exists():
        found = subprocess.run(["node", "-e", NPM_CHROMIUM], cwd=HERE, capture_output=True, text=True).stdout
        return found or None
    return None


class _Files(SimpleHTTPRequestHandler):
    """Serve one folder, JavaScript with its own type, and nothing on standard error."""

    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
    }

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Stay silent."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@contextmanager
def page_server(folder: Path) -> Iterator[str]:
    """Serve *folder* on an origin of its own, `http://localhost:PORT`: another site than 127.0.0.1."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its address, the environment it was started with and two tenants' API keys."""

    address: str
    environment: Mapping[str, str]
    key: str
    other_key: str
    log: list[str] = field(default_factory=list)

    def api(self, key: str | None = None) -> httpx.Client:
        """Give a client that speaks for the tenant of *key*."""
        return httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {key or self.key}"}, timeout=60, trust_env=False
        )

    def token(self, *, seconds: int = 3600, **limits: Any) -> str:
        """Get an upload token as a backend would."""
        with self.api() as api:
            answer = api.post("/v1/upload-tokens", json={"expires_in_seconds": seconds, **limits})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token


def until(true: Callable[[], bool], seconds: float = 60.0, every: float = 0.02) -> None:
    """Wait until *true* answers True; a page under a strict policy cannot be waited for from inside."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(every)


def run_once(environment: Mapping[str, str], cwd: Path, *arguments: str) -> str:
    """Run one `gateway …` command to its end and give what it printed."""
    with Process(*arguments, cwd=cwd, environment=environment) as process:
        assert process.ended() == 0, process.output
    return "\n".join(process.output)


@contextmanager
def running_gateway(environment: Mapping[str, str], cwd: Path) -> Iterator[Gateway]:
    """Run `gateway serve` and `gateway worker` on a migrated database and a bucket that is made here."""
    address = f"http://127.0.0.1:{environment['GATEWAY_PORT']}"
    run_once(environment, cwd, "store", "prepare")
    key, other_key = (run_once(environment, cwd, "keys", "create", tenant).split()[-1] for tenant in ("acme", "other"))
    with (
        Process("worker", cwd=cwd, environment=environment) as worker,
        Process("serve", cwd=cwd, environment=environment) as api,
    ):
        _wait_ready(address, api)
        yield Gateway(address, environment, key, other_key, api.output)
        assert (worker.ended_early(), api.ended_early()) == (None, None), (worker.output, api.output)


def _wait_ready(address: str, api: Process) -> None:
    with httpx.Client(timeout=5, trust_env=False) as client:
        for _ in range(600):
            try:
                if client.get(f"{address}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"not ready: {api.output}")


def sha256_of(path: Path) -> str:
    """Hash a file by pieces, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored_sha256(s3: Any, bucket: str, object_key: str) -> str:
    """Hash what the store really holds, read with boto3."""
    digest = hashlib.sha256()
    for piece in s3.get_object(Bucket=bucket, Key=object_key)["Body"].iter_chunks(1024 * 1024):
        digest.update(piece)
    return digest.hexdigest()
