"""The client's commands as a user types them, against API, worker and store as processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.client import Client
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from tests.e2e.fault_proxy import FaultProxy
from tests.e2e.stack import Stack, client_environment, running_gateway
from tests.processes import make_mp3

MIB = 1024 * 1024
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
    """Run the gateway; it signs the proxy's address and plans the smallest parts."""
    settings = {
        "GATEWAY_S3_PUBLIC_ENDPOINT": proxy.url,
        "GATEWAY_MIN_PART_SIZE": str(5 * MIB),
        "GATEWAY_TOKEN_SECRET": "t" * 32,
    }
    with running_gateway(make_database(), store_server, tmp_path_factory.mktemp("gateway"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a real MP3 of one second."""
    return make_mp3(tmp_path_factory.mktemp("media") / "tone.mp3")


@pytest.fixture
def long_tone(tone: Path, tmp_path: Path) -> Path:
    """Make a real MP3 of four parts and a bit."""
    frames, size = tone.read_bytes(), 20 * MIB + 1234
    file = tmp_path / "long.mp3"
    file.write_bytes((frames * (size // len(frames) + 1))[:size])
    return file


class Shell:
    """Run `gateway …` as somebody with a home folder of their own."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.stack = stack
        self.home = home
        self.environment = client_environment(stack, home) | {"COLUMNS": "200", "TZ": "UTC"}

    def start(self, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env=self.environment,
        )

    def __call__(self, *arguments: str | Path, input: bytes | None = None) -> tuple[int, str, str]:  # noqa: A002
        process = self.start(*arguments, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        out, err = process.communicate(input, timeout=PATIENCE_SECONDS)
        text = out.decode(errors="replace"), err.decode()
        for secret in (self.stack.key, "X-Amz-", "Traceback"):
            assert secret not in "".join(text)
        return process.returncode, *text


@pytest.fixture
def gateway(stack: Stack, tmp_path: Path) -> Shell:
    """Give the command."""
    home = tmp_path / "home"
    home.mkdir()
    return Shell(stack, home)


@pytest.fixture(autouse=True)
def calm_network(proxy: FaultProxy) -> Iterator[None]:
    """End each test with a good network."""
    yield
    proxy.release()


def test_folders_keep_their_names_as_metadata(gateway: Shell, stack: Stack, tone: Path) -> None:
    """`-r` sends the files of a folder, without hidden ones, each with its path as metadata."""
    for name in ("talks/a.mp3", "talks/2026/b.mp3", "talks/.hidden.mp3", "talks/.git/c.mp3"):
        (gateway.home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tone, gateway.home / name)
    code, out, _ = gateway("upload", "-r", "talks", "--metadata", "x=1", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, sorted(line["file"] for line in lines)) == (0, ["talks/2026/b.mp3", "talks/a.mp3"])
    with Client(stack.url, stack.key) as client:
        kept = [dict(client.get(line["upload_id"]).metadata) for line in lines]
    assert sorted(metadata["path"] for metadata in kept) == ["talks/2026/b.mp3", "talks/a.mp3"]
    assert all(metadata["x"] == "1" for metadata in kept)
    code, _, err = gateway("upload", "talks")
    assert (code, "add -r" in err) == (2, True)


def test_standard_input(gateway: Shell, tone: Path) -> None:
    """`-` sends standard input under a name, from a pipe and from a file; without a name it is refused."""
    code, out, err = gateway("upload", "-", "--name", "piped.mp3", "--json", input=tone.read_bytes())
    line = json.loads(out)
    assert (code, line["state"], line["filename"], line["file"]) == (0, "ready", "piped.mp3", "-"), err
    with tone.open("rb") as file:
        process = gateway.start("upload", "-", "--name", "redirected.mp3", stdin=file.fileno())
        assert process.communicate(timeout=PATIENCE_SECONDS)[0].startswith(b"-: ready ")
    code, _, err = gateway("upload", "-", input=b"x")
    assert (code, "--name" in err) == (2, True)


def test_patterns(gateway: Shell, tone: Path) -> None:
    """A pattern that the shell left alone is expanded; one without a match is an error."""
    for name in ("a.mp3", "b.mp3", "c.wav"):
        shutil.copy(tone, gateway.home / name)
    code, out, _ = gateway("upload", "*.mp3")
    assert (code, sorted(line.split(":")[0] for line in out.splitlines())) == (0, ["a.mp3", "b.mp3"])
    code, _, err = gateway("upload", "*.ogg")
    assert (code, "no such file: *.ogg" in err) == (2, True)


def test_a_badly_encoded_name_does_not_end_a_batch(gateway: Shell, tone: Path) -> None:
    """A file name that is no UTF-8 is sent like the others, and shown readably, with and without --json."""
    shutil.copy(tone, gateway.home / "good.mp3")
    shutil.copy(tone, os.fsencode(gateway.home) + b"/b\xfcse.mp3")
    (gateway.home / "fake.mp3").write_text("no music")
    code, out, _ = gateway("upload", "-r", ".", "--json")
    lines = {line["file"]: line for line in map(json.loads, out.splitlines())}
    assert (code, {line.get("state") for line in lines.values()}) == (1, {"ready", "rejected"})
    assert lines["b\ufffdse.mp3"]["state"] == lines["good.mp3"]["state"] == "ready"
    code, out, _ = gateway("upload", b"b\xfcse.mp3".decode(errors="surrogateescape"))
    assert (code, out.startswith("b\ufffdse.mp3: ready")) == (0, True)


def test_list_show_fetch_and_abort(gateway: Shell, stack: Stack, tone: Path, tmp_path: Path) -> None:
    """`ls`, `status`, `get` and `rm` do what they say, for people and as JSON."""
    _, out, _ = gateway("upload", tone, "--json", "--name", "my tone.mp3")
    upload_id = json.loads(out)["upload_id"]
    code, out, _ = gateway("ls", "--state", "ready", "-n", "1")
    assert (code, upload_id in out, "my tone.mp3" in out) == (0, True, True)
    assert gateway("ls", "-q", "-n", "1")[1].strip() == upload_id
    assert json.loads(gateway("ls", "--json", "-n", "1")[1])["upload_id"] == upload_id
    assert gateway("ls", "--state", "nonsense")[0] == 2
    code, out, _ = gateway("status", upload_id)
    assert (code, "content_type       audio/mpeg" in out, "object_key" in out) == (0, True, True)
    assert gateway("status", upload_id, "-q")[1] == "ready\n"
    code, out, _ = gateway("get", upload_id, "--json")
    assert (code, json.loads(out)["path"]) == (0, "my tone.mp3")
    assert (gateway.home / "my tone.mp3").read_bytes() == tone.read_bytes()
    code, _, err = gateway("get", upload_id)
    assert (code, "exists" in err) == (4, True)
    assert gateway("get", upload_id, "-f", "-q")[1:] == ("", "")
    process = gateway.start("get", upload_id, "-o", "-")
    assert process.communicate(timeout=PATIENCE_SECONDS)[0] == tone.read_bytes()
    with Client(stack.url, stack.key) as client:
        unfinished = client.create("a.mp3", 5).upload_id
    code, _, err = gateway("get", unfinished)
    assert (code, stack.url in err) == (1, True)
    assert gateway("rm", unfinished)[:2] == (0, f"{unfinished}: aborted\n")
    assert gateway("status", unfinished, "-q")[:2] == (1, "aborted\n")
    code, _, err = gateway("rm", upload_id, "nonsense")
    assert (code, len(err.splitlines())) == (3, 2)


def test_tokens(gateway: Shell, tone: Path) -> None:
    """`token create` prints a token that uploads; `ls` counts its files; `revoke` ends it."""
    code, token, err = gateway("token", "create", "--expires", "30m", "--max-files", "3", "--metadata", "user=7")
    assert (code, len(token.splitlines())) == (0, 1)
    token_id = err.split()[1].rstrip(",")
    gateway.environment["GATEWAY_API_KEY"], key = token.strip(), gateway.environment["GATEWAY_API_KEY"]
    assert gateway("upload", tone, "-q")[0] == 0
    code, _, err = gateway("token", "ls")
    assert (code, "use an api key" in err.lower()) == (3, True)
    gateway.environment["GATEWAY_API_KEY"] = key
    listed = json.loads(gateway("token", "ls", "--json", "-n", "1")[1])
    assert (listed["token_id"], listed["file_count"], listed["metadata"]) == (token_id, 1, {"user": "7"})
    assert "1 of 3" in gateway("token", "ls")[1]
    assert gateway("token", "revoke", token_id)[0] == 0
    gateway.environment["GATEWAY_API_KEY"] = token.strip()
    assert gateway("upload", tone)[0] == 3
    assert gateway("token", "create", "--expires", "soon")[0] == 2


def test_a_closed_pipe_ends_quietly(gateway: Shell, tone: Path) -> None:
    """`gateway ls | head -1` ends without a traceback."""
    gateway("upload", tone, "-q")
    process = gateway.start("ls", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(PATIENCE_SECONDS)


def test_h25_a_folder_for_state_that_cannot_be_written_does_not_matter(gateway: Shell, tone: Path) -> None:
    """On a read-only or full disk files are sent; they only cannot be resumed."""
    (gateway.home / "state").write_text("a file where the folder should be")
    assert gateway("upload", tone)[0] == 0


def test_completion(gateway: Shell) -> None:
    """A shell completes commands and options."""
    program = Path(sys.executable).with_name("gateway")
    for words, expected in (("gateway up", "upload"), ("gateway upload --no-r", "--no-resume")):
        environment = {
            **gateway.environment,
            "_GATEWAY_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = subprocess.run([program], env=environment, capture_output=True, text=True)
        assert expected in done.stdout.split()


@pytest.mark.parametrize("ending", ["/", "/v1", "/v1/"])
def test_addresses_as_people_type_them(gateway: Shell, tone: Path, ending: str) -> None:
    """A URL that ends in a slash or `/v1` is understood."""
    assert gateway("upload", tone, "--url", gateway.stack.url + ending)[0] == 0


def test_waiting_names_the_address(gateway: Shell, tone: Path) -> None:
    """While the gateway does not answer, the command says for which address it waits, and at the end what to do."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    code, out, err = gateway("upload", "--url", url, "--tries", "2", tone)
    assert (code, out) == (3, "")
    waiting, failed = err.splitlines()
    assert waiting == f"tone.mp3: waiting for {url}" or waiting.endswith(f"waiting for {url}")
    assert f"{url}: the gateway does not answer" in failed
    assert "GATEWAY_URL" in failed
    assert gateway("upload", "-q", "--url", url, "--tries", "2", tone)[2].splitlines() == [failed]


def test_a_stop_says_how_to_go_on_and_the_next_command_where_it_resumed(
    gateway: Shell, stack: Stack, proxy: FaultProxy, long_tone: Path
) -> None:
    """Ctrl-C says "run the same command to go on"; it then says how many MiB were there. A touch does not matter."""
    proxy.hold_after(2)
    process = gateway.start("upload", "--parallel", "1", long_tone)
    _wait_for_parts(stack, process, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "run the same command to go on" in err.decode()) == (130, True)
    proxy.release()
    os.utime(long_tone, (1, 1))
    code, out, err = gateway("upload", "--parallel", "1", long_tone, "--json")
    assert (code, json.loads(out)["resumed_bytes"] >= 10 * MIB) == (0, True)
    process = gateway.start("upload", "--parallel", "1", "--no-resume", long_tone)
    process.communicate(timeout=PATIENCE_SECONDS)


def test_resumed_at_is_said(gateway: Shell, stack: Stack, proxy: FaultProxy, long_tone: Path) -> None:
    """The command that goes on says "resumed at 10 MiB"."""
    proxy.hold_after(2)
    process = gateway.start("upload", "--parallel", "1", long_tone)
    _wait_for_parts(stack, process, 2)
    process.kill()
    process.communicate()
    proxy.release()
    code, _, err = gateway("upload", "--parallel", "1", long_tone)
    # A part that stood still may have been sent whole before its sender died.
    assert code == 0
    assert any(f"long.mp3: resumed at {size} MiB" in err for size in (10, 15)), err


def test_h22_touch_while_uploading(gateway: Shell, stack: Stack, proxy: FaultProxy, long_tone: Path) -> None:
    """A file that is touched in mid-upload becomes ready; one whose sent bytes change ends with what changed."""
    proxy.hold_after(2)
    process = gateway.start("upload", "--parallel", "1", long_tone)
    _wait_for_parts(stack, process, 2)
    os.utime(long_tone)
    proxy.release()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, b": ready " in out) == (0, True), err
    proxy.hold_after(2)
    process = gateway.start("upload", "--parallel", "1", "--no-resume", long_tone)
    _wait_for_parts(stack, process, 2)
    with long_tone.open("r+b") as file:
        file.write(b"other")
    proxy.release()
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 4
    assert b"part 1, bytes 0 to 5242879, is no longer what was sent" in err


def _wait_for_parts(stack: Stack, process: subprocess.Popen[bytes], count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Client(stack.url, stack.key) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            for upload in client.list(state="uploading", limit=1).uploads:
                if len(client.list_parts(upload.upload_id)) >= count:
                    return
            time.sleep(0.1)
    raise AssertionError("the parts did not arrive")
