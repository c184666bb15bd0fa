"""`gateway upload` as a user runs it, against API, worker and store as processes of their own and a bad network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.client import AsyncClient, Client
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.e2e.fault_proxy import FaultProxy
from tests.e2e.stack import Stack, client_environment, running_gateway
from tests.processes import make_mp3

MIB = 1024 * 1024
PART_SIZE = 5 * MIB
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def proxy(store_server: StoreServer) -> Iterator[FaultProxy]:
    """Put a bad network before the store."""
    proxy = FaultProxy(store_server.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str],
    store_server: StoreServer,
    proxy: FaultProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Run the gateway; it signs the proxy's address, and plans the smallest parts there are."""
    settings = {"GATEWAY_S3_PUBLIC_ENDPOINT": proxy.url, "GATEWAY_MIN_PART_SIZE": str(PART_SIZE)}
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway"), settings) as running:
        yield running


@pytest.fixture(autouse=True)
def calm_network(proxy: FaultProxy) -> Iterator[None]:
    """Begin and end each test with a good network."""
    yield
    proxy.release()
    proxy.cut_after_bytes.clear()
    proxy.expire_requests = 0


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a real MP3 of one second."""
    return make_mp3(tmp_path_factory.mktemp("media") / "tone.mp3")


@pytest.fixture
def long_tone(tone: Path, tmp_path: Path) -> Path:
    """Make a real MP3 of four parts and a bit; frames follow frames, so it stays one."""
    frames = tone.read_bytes()
    file = tmp_path / "long tone ü.mp3"
    file.write_bytes((frames * (4 * PART_SIZE // len(frames) + 2))[: 4 * PART_SIZE + 1234])
    return file


@dataclass
class Command:
    """Run `gateway upload` as somebody with a home folder of their own."""

    stack: Stack
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start it and return the process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "upload", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=client_environment(self.stack, self.home) | self.environment,
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for its end; return exit code, stdout and stderr, in which no secret may be."""
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        for secret in (self.stack.key, "X-Amz-", "Traceback"):
            assert secret not in out + err
        return process.returncode, out, err

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        return self.finish(self.start(*arguments))

    def json(self, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        """Run it with --json and read its lines."""
        code, out, _ = self("--json", *arguments)
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def command(stack: Stack, tmp_path: Path) -> Iterator[Command]:
    """Give the command to run; what a failed test left running must not send its parts into the next one."""
    home = tmp_path / "home"
    home.mkdir()
    command = Command(stack, home)
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for_a_part(stack: Stack, process: subprocess.Popen[str], known: set[str]) -> str:
    """Wait until the store holds a part of a new upload and return its id."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Client(stack.url, stack.key) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            for upload in client.list(limit=5).uploads:
                if (
                    upload.upload_id not in known
                    and upload.state == "uploading"
                    and client.list_parts(upload.upload_id)
                ):
                    return upload.upload_id
            time.sleep(0.1)
    raise AssertionError("no part arrived")


def upload_ids(stack: Stack) -> set[str]:
    """Return the ids of every upload there is."""
    with Client(stack.url, stack.key) as client:
        return {upload.upload_id for upload in client.list(limit=1000).uploads}


def test_files_become_ready(command: Command, tone: Path, long_tone: Path) -> None:
    """Several files, small and of many parts, become ready with one command, and each is said in a line."""
    code, out, _ = command(tone, long_tone, tone)
    assert code == 0
    lines = sorted(out.splitlines())
    assert [line.split(": ")[1].split()[0] for line in lines] == ["ready", "ready"]
    assert {line.split(": ")[0] for line in lines} == {str(tone), str(long_tone)}


def test_json_has_one_object_a_file(command: Command, stack: Stack, tone: Path, long_tone: Path) -> None:
    """--json prints an object a line for each file, and the gateway agrees with it."""
    code, lines = command.json("--metadata", "talk=42", "--content-type", "audio/mpeg", tone, long_tone)
    assert code == 0
    assert {line["file"] for line in lines} == {str(tone), str(long_tone)}
    with Client(stack.url, stack.key) as client:
        for line in lines:
            upload = client.get(line["upload_id"])
            assert (line["state"], line["size_bytes"]) == ("ready", Path(line["file"]).stat().st_size)
            assert (upload.state, upload.metadata) == ("ready", {"talk": "42"})
            fetched = httpx.get(client.download_url(upload.upload_id).url)
            assert fetched.content == Path(line["file"]).read_bytes()


def test_without_checksums(command: Command, long_tone: Path) -> None:
    """--no-checksums sends the parts with the addresses of the first answer."""
    code, lines = command.json("--no-checksums", "--parallel", "2", long_tone)
    assert (code, lines[0]["state"]) == (0, "ready")


def test_a_rejected_file(command: Command, tone: Path, tmp_path: Path) -> None:
    """A text that calls itself MP3 is rejected with a reason, the other file is ready, and the exit code is 1."""
    fake = tmp_path / "fake.mp3"
    fake.write_text("This is no music at all.\n" * 100)
    code, lines = command.json(fake, tone)
    by_file = {line["file"]: line for line in lines}
    assert code == 1
    assert by_file[str(fake)]["state"] == "rejected"
    assert by_file[str(fake)]["rejection"]["code"]
    assert by_file[str(tone)]["state"] == "ready"
    code, out, err = command(fake)
    assert (code, out) == (1, "")
    assert f"{fake}: rejected" in err


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [("tool.exe", b"MZ", "extension_not_allowed"), ("empty.mp3", b"", None), ("one.mp3", b"x", None)],
)
def test_refused_files(command: Command, tmp_path: Path, name: str, content: bytes, word: str | None) -> None:
    """A file that is not accepted, empty, or one byte long ends with exit code 1 and the reason."""
    file = tmp_path / name
    file.write_bytes(content)
    code, (line,) = command.json(file)
    assert code == 1
    assert line.get("state") == "rejected" or line["error"]["code"] == (word or line["error"]["code"])


@pytest.mark.parametrize(("name", "content"), [("film.mp4", b"<html><body>"), ("tool.exe", b"MZ")])
def test_inspect_says_what_upload_says(
    command: Command, stack: Stack, tone: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    """A wrong file of 5 GiB is refused before anything is created, in the words that `gateway inspect` has for it."""
    file = tmp_path / name
    file.write_bytes(content)
    os.truncate(file, 5 << 30)
    before = upload_ids(stack)
    code, (line,) = command.json(file)
    assert (code, upload_ids(stack)) == (1, before)
    refused = line.get("rejection") or line["error"]
    arguments = [sys.executable, "-m", "gateway", "inspect", "--json", str(file), str(tone)]
    done = subprocess.run(arguments, env=client_environment(stack, command.home), capture_output=True, text=True)
    wrong, right = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, right["accepted"], right["rejection"]) == (1, True, None)
    assert wrong["rejection"]["code"] == refused["code"]
    assert wrong["rejection"]["detail"].removesuffix(".") in refused["detail"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.mp3"],
        [],
        ["--metadata", "novalue", "tone.mp3"],
        ["--parallel", "0", "tone.mp3"],
        ["--url", "ftp://x", "tone.mp3"],
        ["--key", "", "tone.mp3"],
        ["--what", "tone.mp3"],
    ],
)
def test_wrong_commands(command: Command, tone: Path, arguments: list[str]) -> None:
    """What cannot be done as it is asked for ends with exit code 2 and says why, before anything is sent."""
    (command.home / "tone.mp3").write_bytes(tone.read_bytes())
    before = upload_ids(command.stack)
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert upload_ids(command.stack) == before


def test_a_gateway_that_is_not_there(command: Command, tone: Path) -> None:
    """Nothing listening there: exit code 3, and with -q one line."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    code, out, err = command("-q", "--url", url, "--tries", "2", tone)
    assert (code, out, len(err.splitlines())) == (3, "", 1)
    assert "does not answer" in err


def test_a_wrong_key(command: Command, tone: Path) -> None:
    """A key the gateway does not know: exit code 3 with its code."""
    command.environment["GATEWAY_API_KEY"] = "wrong"
    code, (line,) = command.json(tone)
    assert (code, line["error"]["code"]) == (3, "unauthenticated")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_the_same_command_goes_on(
    command: Command, stack: Stack, proxy: FaultProxy, long_tone: Path, number: signal.Signals, code: int
) -> None:
    """Interrupted, terminated or killed in the middle, the same command goes on with the same upload."""
    known = upload_ids(stack)
    proxy.hold_after(1)
    process = command.start("--parallel", "1", long_tone)
    upload_id = wait_for_a_part(stack, process, known)
    process.send_signal(number)
    assert command.finish(process)[0] == code
    proxy.release()
    proxy.requests = 0
    done, (line,) = command.json("--parallel", "1", long_tone)
    assert (done, line["upload_id"], line["state"]) == (0, upload_id, "ready")
    # A part that stood still may have been sent whole before its sender died.
    assert proxy.requests in {3, 4}
    assert not list((command.home / "state").rglob("*.json"))


def test_it_begins_anew_when_the_upload_was_aborted(
    command: Command, stack: Stack, proxy: FaultProxy, long_tone: Path
) -> None:
    """When the upload is gone at the gateway, the same command makes a new one."""
    known = upload_ids(stack)
    proxy.hold_after(1)
    process = command.start("--parallel", "1", long_tone)
    upload_id = wait_for_a_part(stack, process, known)
    process.send_signal(signal.SIGINT)
    command.finish(process)
    with Client(stack.url, stack.key) as client:
        client.abort(upload_id)
    proxy.release()
    done, (line,) = command.json(long_tone)
    assert (done, line["state"]) == (0, "ready")
    assert line["upload_id"] != upload_id


def test_connections_that_break(command: Command, proxy: FaultProxy, long_tone: Path) -> None:
    """Connections reset in the middle of parts cost those parts another try and nothing else."""
    proxy.cut_after_bytes.extend([1, MIB, 3 * MIB])
    code, lines = command.json(long_tone)
    assert (code, lines[0]["state"]) == (0, "ready")
    assert proxy.cut_after_bytes == []


@pytest.mark.parametrize("checksums", [[], ["--no-checksums"]])
def test_addresses_the_store_finds_expired(
    command: Command, proxy: FaultProxy, long_tone: Path, checksums: list[str]
) -> None:
    """The store refuses an address with 403, and the part goes with a new one."""
    proxy.expire_requests, proxy.requests = 1, 0
    code, lines = command.json(*checksums, "--parallel", "1", long_tone)
    assert (code, lines[0]["state"]) == (0, "ready")
    assert proxy.requests == 6


def test_a_file_that_changes(command: Command, stack: Stack, proxy: FaultProxy, long_tone: Path) -> None:
    """A file written to while it is sent: exit code 4, a clear line, and the upload is aborted."""
    known = upload_ids(stack)
    proxy.hold_after(1)
    process = command.start("--parallel", "1", long_tone)
    upload_id = wait_for_a_part(stack, process, known)
    with long_tone.open("ab") as file:
        file.write(b"more")
    proxy.release()
    code, _, err = command.finish(process)
    assert (code, "was changed" in err) == (4, True)
    with Client(stack.url, stack.key) as client:
        assert client.get(upload_id).state == "aborted"


def test_the_same_file_twice_at_once(command: Command, stack: Stack, proxy: FaultProxy, long_tone: Path) -> None:
    """A second process for the same file says that the first is at it (exit code 4), and the first goes on."""
    known = upload_ids(stack)
    proxy.hold_after(1)
    first = command.start("--parallel", "1", long_tone)
    wait_for_a_part(stack, first, known)
    code, (line,) = command.json("--parallel", "1", long_tone)
    proxy.release()
    assert (code, line["error"]["code"]) == (4, "already_uploading")
    assert command.finish(first)[0] == 0


def test_bars_on_a_terminal(command: Command, tone: Path, long_tone: Path) -> None:
    """On a terminal bars are drawn to stderr, and stdout is left to --json."""
    primary, secondary = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "upload", "--json", str(tone), str(long_tone)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=secondary,
        env=client_environment(command.stack, command.home) | {"TERM": "xterm", "COLUMNS": "120"},
    ) as process:
        os.close(secondary)
        drawn = b""
        while True:
            try:
                data = os.read(primary, 65536)
            except OSError:
                break
            if not data:
                break
            drawn += data
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(primary)
    assert len(lines) == 2
    assert "MiB" in drawn.decode()
    assert "tone.mp3" in drawn.decode()


def test_g4_file_names_cannot_steer_the_terminal(command: Command, tone: Path, tmp_path: Path) -> None:
    """Control characters in a file name reach neither terminal nor log as such, and the file still becomes ready."""
    file = tmp_path / "a\x1b[31m\u202e\nb.mp3"
    file.write_bytes(tone.read_bytes())
    code, out, err = command(file)
    assert (code, len(out.splitlines())) == (0, 1)
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err


async def test_the_sdk_from_asyncio(stack: Stack, long_tone: Path, tmp_path: Path) -> None:
    """The asynchronous client sends the same file to ready."""
    async with AsyncClient(stack.url, stack.key, state_folder=tmp_path / "state") as client:
        upload = await client.upload(long_tone, part_size_bytes=6 * MIB)
        assert (upload.state, upload.part_count) == ("ready", 4)
        assert (await client.get(upload.upload_id)).content_type == "audio/mpeg"


def test_the_sdk_with_a_file_object(stack: Stack, tone: Path) -> None:
    """The synchronous client sends an open file to ready."""
    with Client(stack.url, stack.key) as client, tone.open("rb") as file:
        assert client.upload(file).state == "ready"
