"""Measure what receiving a form costs: `python -m tests.bench.stream`.

Every receiver takes the same form of BENCH_BYTES (1 GiB) from the same sender in turns, BENCH_ROUNDS (3) times; the
median counts. CPU is the receiver's own, user and system, without the store's. All write to the same disk and sync it.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.processes import make_mp3
from tests.receiving import MIB, Stack, cpu_seconds, free_port, running_gateway, running_server, running_stack

SIZE = int(os.environ.get("BENCH_BYTES", str(1024 * MIB)))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
BOUNDARY = "------------------------Uq5vYl2S7pZ0aQhT3nKc1d"
HERE = Path(__file__).parent

Receiver = tuple[psutil.Process, int, str, list[str]]


def make_form(folder: Path) -> Path:
    """Write the form once, so that sending it is one `sendfile`."""
    frames = make_mp3(folder / "tone.mp3").read_bytes()
    block = frames * (4 * MIB // len(frames))
    form = folder / "form"
    with form.open("wb") as file:
        file.write(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="tone.mp3"\r\n'.encode())
        file.write(b"Content-Type: audio/mpeg\r\n\r\n")
        left = SIZE
        while left > 0:
            left -= file.write(block[:left])
        file.write(f"\r\n--{BOUNDARY}--\r\n".encode())
    return form


def send(form: Path, port: int, path: str, headers: list[str]) -> None:
    """Send the form and check that it is taken."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {form.stat().st_size}",
        "Connection: close",
        *headers,
    ]
    with socket.create_connection(("127.0.0.1", port), 600) as connection, form.open("rb") as file:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        connection.sendfile(file)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 201"), answer[:500]


def gateways(stack: Stack, name: str) -> dict[str, Callable[[], object]]:
    """Give ways to run the gateway with each destination."""
    headers = [f"Authorization: Bearer {stack.key}"]

    @contextmanager
    def gateway(destination: str) -> Iterator[Receiver]:
        with running_gateway(stack, UPLOAD_STREAM_DESTINATION=destination) as (process, port):
            yield process, port, "/upload/stream", headers

    ways: dict[str, Callable[[], object]] = {f"gateway to the store ({name})": lambda: gateway("store")}
    if name == "seaweedfs":
        ways = {"gateway to disk": lambda: gateway("disk"), **ways}
    return ways


@contextmanager
def python_app(folder: Path, path: str) -> Iterator[Receiver]:
    """Run the apps to compare with; Starlette spools into TMPDIR, so that goes to the same disk."""
    port = free_port()
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.bench.stream_apps", str(folder), str(port)]
    with running_server(command, {"TMPDIR": str(spool)}, port, folder / "apps.log") as process:
        yield process, port, path, []


@contextmanager
def go_program(folder: Path) -> Iterator[Receiver]:
    """Build and run the Go program."""
    program = folder / "receive"
    subprocess.run(["go", "build", "-o", str(program), str(HERE / "stream_go" / "main.go")], check=True, cwd=folder)
    with subprocess.Popen([str(program), str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), int(process.stdout.readline()), "/", []
        finally:
            process.kill()


def main() -> None:
    """Print a table."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="bench-stream-")))
        folder.chmod(0o755)
        form = make_form(folder)
        ways: dict[str, Callable[[], object]] = {
            "FastAPI UploadFile, copied to its place": lambda: python_app(folder, "/upload-file"),
            "Starlette form parser, spooled only": lambda: python_app(folder, "/form"),
        }
        if shutil.which("go"):
            ways["Go net/http to disk"] = lambda: go_program(folder)
        for name in os.environ.get("BENCH_STORES", "seaweedfs").split(","):
            stack = parts.enter_context(running_stack(folder / name, name))
            ways |= gateways(stack, name)
        only = os.environ.get("BENCH_ONLY", "")
        ways = {name: way for name, way in ways.items() if only in name}
        print(
            f"{SIZE // MIB} MiB, {ROUNDS} rounds, Python {platform.python_version()}, {os.cpu_count()} cores",
            flush=True,
        )
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                with way() as (process, port, path, headers):  # type: ignore[attr-defined]
                    before, began = cpu_seconds(process), time.perf_counter()
                    send(form, port, path, headers)
                    seconds = time.perf_counter() - began
                    measured[name].append((seconds, cpu_seconds(process) - before))
                    if os.environ.get("BENCH_VERBOSE"):
                        print(name, f"{seconds:.1f} s", process.cpu_times(), flush=True)
                for kept in [*folder.glob("[gf]*.mp3"), *folder.glob("*/kept/*")]:
                    kept.unlink()
        for name, runs in measured.items():
            wall = statistics.median(seconds for seconds, _ in runs)
            cpu = statistics.median(seconds for _, seconds in runs) * 1024 * MIB / SIZE
            print(f"  {name:42} {SIZE / wall / 1e6:6.0f} MB/s {cpu:6.2f} s CPU/GiB")


if __name__ == "__main__":
    main()
