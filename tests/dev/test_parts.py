"""The parts of the embedded stack start, keep what they hold and stop."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.processes import Child, StackError, first_error, free_ports, is_free, kept_ports, version_of
from gateway.dev.store import StoreServer, kept_credentials
from tests.conftest import boto3_client, missing


def test_postgres_keeps_its_data_and_port(tmp_path: Path) -> None:
    """A second start finds the tables of the first at the same address."""
    server = postgres.start(tmp_path)
    with psycopg.connect(server.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    again = postgres.start(tmp_path)
    try:
        assert again.url() == server.url()
        with psycopg.connect(again.url("postgres")) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        again.stop()


def test_postgres_starts_after_an_interrupted_first_start(tmp_path: Path) -> None:
    """Files that initdb did not finish are made again; a whole database without the mark of this release is kept."""
    (tmp_path / "password").write_text("of the interrupted start")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "PG_VERSION").write_text("18\n")
    server = postgres.start(tmp_path)
    server.stop()
    assert server.password != "of the interrupted start"
    (tmp_path / "complete").unlink()
    again = postgres.start(tmp_path)
    again.stop()
    assert again.password == server.password


def test_postgres_asks_for_the_password(tmp_path: Path) -> None:
    """Nobody on this machine gets in without the password, not even on 127.0.0.1."""
    server = postgres.start(tmp_path)
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://gateway:wrong@127.0.0.1:{server.port}/postgres")
    finally:
        server.stop()


def test_postgres_survives_a_kill_of_its_process(tmp_path: Path) -> None:
    """kill -9 of the server loses no committed row."""
    server = postgres.start(tmp_path)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    psutil.Process(server.child.pid).kill()
    server.stop()
    again = postgres.start(tmp_path)
    try:
        with psycopg.connect(again.url("postgres")) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        again.stop()


def _start_store(name: str, folder: Path) -> StoreServer:
    try:
        return seaweedfs.start(folder) if name == "seaweedfs" else minio.start(folder)
    except StackError as error:
        missing(str(error))


@pytest.mark.parametrize("name", ["seaweedfs", "minio"])
def test_store_keeps_objects_and_refuses_strangers(name: str, tmp_path: Path) -> None:
    """A second start finds the objects of the first, and an unsigned request never gets any."""
    server = _start_store(name, tmp_path)
    client = boto3_client(server)
    client.create_bucket(Bucket="uploads")
    client.put_object(Bucket="uploads", Key="uploads/kept", Body=b"bytes")
    server.stop()
    again = _start_store(name, tmp_path)
    try:
        assert again.endpoint == server.endpoint
        assert boto3_client(again).get_object(Bucket="uploads", Key="uploads/kept")["Body"].read() == b"bytes"
        connection = http.client.HTTPConnection(urlsplit(again.endpoint).netloc, timeout=5)
        connection.request("GET", "/uploads/uploads/kept")
        assert connection.getresponse().status == 403
        connection.close()
    finally:
        again.stop()


@pytest.mark.parametrize("name", ["seaweedfs", "minio"])
def test_store_listens_on_loopback_only(name: str, tmp_path: Path) -> None:
    """No port of a store can be reached from another machine."""
    server = _start_store(name, tmp_path)
    try:
        listening = [c for c in psutil.Process(server.child.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::1"}
    finally:
        server.stop()


def test_seaweedfs_serves_nothing_beside_s3(tmp_path: Path) -> None:
    """The filer, which would list and write without a signature, answers 404."""
    server = _start_store("seaweedfs", tmp_path)
    try:
        filer_port = (tmp_path / "ports").read_text().split()[seaweedfs.PORT_FLAGS.index("filer.port")]
        connection = http.client.HTTPConnection("127.0.0.1", int(filer_port), timeout=5)
        for method in ("GET", "PUT"):
            connection.request(method, "/buckets/uploads/x", body=b"" if method == "PUT" else None)
            response = connection.getresponse()
            response.read()
            assert response.status == 404
        connection.close()
    finally:
        server.stop()


def test_seaweedfs_is_ready_when_it_can_find_what_it_holds() -> None:
    """A store whose S3 answers while its master still waits for the volume server (up to 5 s) is not ready.

    Only a busy machine makes a real one do so (1 of 15 starts beside six busy processes), so small servers do it here.
    """
    answers = {"/": (403, "")}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 64  # `_ready` knocks at every port of the store at once, and here they are one

    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [server.server_port] * len(seaweedfs.PORT_FLAGS)
    try:
        for metrics, ready in (
            ("", False),
            ('SeaweedFS_master_received_heartbeats{type="error"} 1\n', False),
            ('SeaweedFS_master_received_heartbeats{type="ecShards"} 1\n', True),
        ):
            answers["/metrics"] = (200, metrics)
            assert seaweedfs._ready(ports) is ready
    finally:
        server.shutdown()
        server.server_close()


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    """The stored key of a store cannot be read by other users and is another one in every folder."""
    (tmp_path / "other").mkdir()
    first, second = kept_credentials(tmp_path), kept_credentials(tmp_path / "other")
    assert first != second
    assert kept_credentials(tmp_path) == first
    assert (tmp_path / "credentials").stat().st_mode & 0o077 == 0


def test_child_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent takes its children along (Linux: elsewhere the kernel offers no such thing)."""
    if sys.platform != "linux":
        pytest.skip("PR_SET_PDEATHSIG is Linux's")
    program = (
        "import sys, time; from pathlib import Path; from gateway.dev.processes import Child\n"
        f"child = Child('sleeper', ['/bin/sleep', '60'], Path({str(tmp_path / 'log')!r}))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    _wait_for_program(child, "sleep")
    parent.kill()
    parent.wait()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def _wait_for_program(process: psutil.Process, name: str) -> None:
    for _ in range(200):
        if process.name() == name:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {process.pid} is still {process.name()}")


def test_child_that_ignores_term_is_killed(tmp_path: Path) -> None:
    """A child deaf to TERM is gone after stop all the same, and stop may be called twice."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = Child("deaf", [sys.executable, "-c", code], tmp_path / "log")
    child.stop_signals = ((child.stop_signals[0][0], 0.2), child.stop_signals[1])
    child.start_until(lambda: child.last_line() == "deaf", 30)
    child.stop()
    child.stop()
    assert child.exit_code() == -9


def test_child_that_ends_early_says_why(tmp_path: Path) -> None:
    """The last line of a dead child's log is in the error."""
    child = Child("short", [sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "log")
    with pytest.raises(StackError, match="short ended with code 1: no such thing"):
        child.start_until(lambda: False, 30)


def test_child_that_ends_says_the_first_error_of_this_run(tmp_path: Path) -> None:
    """Lines after the error are consequences, and those of an earlier run are history."""
    words = [
        "2026-11-28 11:26:49.568 UTC [19191] LOG:  starting",
        "2026-11-28 11:26:49.569 UTC [19191] PANIC:  could not write to file: No space left on device",
        "2026-11-28 11:26:49.570 UTC [19191] FATAL:  the database system is in recovery mode",
        "2026-11-28 11:26:49.571 UTC [19191] LOG:  shutting down",
    ]
    (tmp_path / "log").write_text("PANIC:  of yesterday\n")
    child = Child(
        "short", [sys.executable, "-c", f"print({chr(10).join(words)!r}); raise SystemExit(3)"], tmp_path / "log"
    )
    with pytest.raises(StackError) as caught:
        child.start_until(lambda: False, 30)
    said = "PANIC:  could not write to file: No space left on device"
    assert str(caught.value) == f"short ended with code 3: {said} (log: {tmp_path / 'log'})"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["F1128 11:26:49.568 volume.go:1] disk is gone", "bye"], "volume.go:1] disk is gone"),
        (["INFO: up", "FATAL Unable to start: no disk", "error: later"], "FATAL Unable to start: no disk"),
        (["initdb: error: could not write", "initdb: removing data directory"], "could not write"),
        (
            ["FATAL:  could not extend file: wrote only 4096 of 8192 bytes"],
            "FATAL:  could not extend file: wrote only 4096 of 8192 bytes (the disk is full)",
        ),
        (["only words", "no error_count"], "no error_count"),
        ([], "no output"),
    ],
)
def test_the_reason_is_found_in_the_words_of_each_program(lines: list[str], reason: str) -> None:
    """PostgreSQL, SeaweedFS and MinIO write their errors differently."""
    assert first_error(lines) == reason


def test_child_whose_program_cannot_run_is_named(tmp_path: Path) -> None:
    """A broken program is a line with its path, not a traceback of the launcher."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"no program")
    broken.chmod(0o755)
    child = Child("broken", [str(broken)], tmp_path / "log")
    with pytest.raises(StackError, match=f"cannot run {broken}: Exec format error"):
        child.start_until(lambda: False, 30)


def test_versions_are_read_from_programs(tmp_path: Path) -> None:
    """A program without a version, or that is missing, gives none."""
    assert version_of(["/bin/echo", "version 8000GB 4.48 linux"]) == " 4.48"
    assert version_of(["/bin/echo", "minio version RELEASE.2025-09-07T16-13-09Z (commit-id=1)"]).startswith(" RELEASE.")
    assert version_of(["/bin/echo", "minio version DEVELOPMENT.GOGET"]) == ""
    assert version_of([str(tmp_path / "missing")]) == ""


def test_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    """A child that is not ready in time is stopped and named."""
    child = Child("slow", ["/bin/sleep", "60"], tmp_path / "log")
    with pytest.raises(StackError, match="slow was not ready"):
        child.start_until(lambda: False, 0.1)
    assert child.exit_code() is not None


def test_child_gets_no_secret_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees its own environment and a few harmless names, nothing else of ours."""
    monkeypatch.setenv("GATEWAY_S3_SECRET_ACCESS_KEY", "of somebody else")
    code = "import os; print(sorted(n for n in os.environ if n.startswith(('GATEWAY', 'GIVEN'))))"
    child = Child("env", [sys.executable, "-c", code], tmp_path / "log", environment={"GIVEN": "1"})
    child.start_until(lambda: child.last_line() == "['GIVEN']", 30)
    child.stop()


def test_ports_stay_unless_taken(tmp_path: Path) -> None:
    """A second start uses the same ports; one that is taken by now makes new ones."""
    file = tmp_path / "ports"
    first = kept_ports(file, 3)
    assert kept_ports(file, 3) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first[1]))
        other.listen()
        assert not is_free(first[1])
        assert first[1] not in kept_ports(file, 3)


def test_free_ports_differ_and_stay_below(tmp_path: Path) -> None:
    """Ports handed out together are different and under the bound."""
    ports = free_ports(10, below=55_536)
    assert len(set(ports)) == 10
    assert max(ports) < 55_536
    with pytest.raises(StackError, match="no 1 free"):
        free_ports(1, below=1)


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a program is missing, one line says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GOPATH", str(tmp_path))
    monkeypatch.delenv("GOBIN", raising=False)
    monkeypatch.setattr("gateway.dev.seaweedfs.sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr("gateway.dev.postgres.find_spec", lambda name: None)
    with pytest.raises(StackError, match="make minio"):
        minio.start(tmp_path)
    with pytest.raises(StackError, match="No SeaweedFS"):
        seaweedfs.start(tmp_path)
    with pytest.raises(StackError, match="No PostgreSQL"):
        postgres.start(tmp_path)


def test_minio_is_found_where_go_installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`go install` puts programs in GOBIN or GOPATH/bin, which need not be on PATH."""
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("GOPATH", str(tmp_path))
    monkeypatch.delenv("GOBIN", raising=False)
    program = tmp_path / "bin" / "minio"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert minio.find_binary() == program
