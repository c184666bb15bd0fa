"""Every Python and shell block of docs/client.md is run as it is written, and its lists are complete."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway.client as package
from gateway.cli.client_options import Exit
from gateway.cli.upload import app
from gateway.client import AsyncClient, Client, RemoteFile
from gateway.client.sync.upload_tokens import UploadTokens
from gateway.client.sync.webhooks import Webhooks
from gateway.dev.store import StoreServer
from tests.docs_blocks import blocks_of
from tests.e2e.stack import Stack, client_environment, running_gateway
from tests.processes import make_mp3

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
BLOCKS = [(block.language, block.text) for block in blocks_of("docs/client.md") if block.language in ("python", "sh")]
PYTHON = "\n".join(text for language, text in BLOCKS if language == "python")
SETTINGS = {
    "GATEWAY_TOKEN_SECRET": "t" * 32,
    "GATEWAY_WEBHOOK_SECRET": "w" * 32,
    "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
}


@pytest.fixture(scope="module")
def stack(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the gateway."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(make_database(), store_server, folder, SETTINGS) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the files that the examples name."""
    make_mp3(tmp_path / "interview.mp3")
    (tmp_path / "recordings" / "monday").mkdir(parents=True)
    for name in ("recordings/a.mp3", "recordings/monday/b.mp3"):
        shutil.copy(tmp_path / "interview.mp3", tmp_path / name)
    return tmp_path


@contextlib.contextmanager
def other_uploads(stack: Stack, folder: Path) -> Iterator[None]:
    """Send file after file from another program: whoever watches the tenant sees them."""
    stop = threading.Event()

    def send() -> None:
        with Client(stack.url, stack.key, state_folder=folder / "other") as client:
            while not stop.is_set():
                client.upload((folder / "interview.mp3").read_bytes(), filename="other.mp3")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(("language", "example"), BLOCKS, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(BLOCKS)])
def test_examples_run(stack: Stack, folder: Path, language: str, example: str) -> None:
    """Each block runs against a real gateway once it has a real address and key, and prints nothing but results."""
    program = example.replace("https://uploads.example.com", stack.url).replace("gw_…", stack.key)
    command = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
    environment = client_environment(stack, folder)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    others = other_uploads(stack, folder) if ".events()" in example else contextlib.nullcontext()
    with others:
        done = subprocess.run(
            [*command, program], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout or "def receive" in example or "close()" in example
    assert stack.key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [(Client, ""), (UploadTokens, "upload_tokens."), (Webhooks, "webhooks."), (RemoteFile, "file.")],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_method_has_an_example(kind: type, prefix: str) -> None:
    """A method nobody showed is a method nobody finds: each is called in a block that the test above runs."""
    public = [name for name, value in inspect.getmembers(kind) if callable(value) and not name.startswith("_")]
    assert len(public) > 0
    assert [name for name in public if f".{prefix}{name}(".replace(".file.", "file.") not in PYTHON] == []


def test_both_clients_have_the_same_methods() -> None:
    """Whatever the synchronous client can do the asynchronous one can do, with the same arguments."""
    for name, value in inspect.getmembers(Client):
        if callable(value) and not name.startswith("_"):
            other = getattr(AsyncClient, "aclose" if name == "close" else name)
            assert list(inspect.signature(value).parameters) == list(inspect.signature(other).parameters), name


def test_every_option_is_described() -> None:
    """The page has every option of `gateway upload`."""
    shown = CliRunner().invoke(app, ["--help"]).output
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    table = PAGE.split("| option of `upload`")[1].split("### Exit codes")[0]
    assert options == set(re.findall(r"`(--[a-z-]+)", table))


def test_every_exit_code_is_described() -> None:
    """The page and the help text have every exit code."""
    table = PAGE.split("### Exit codes")[1].split("### `--json`")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [code.value for code in Exit]
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split()).split("Exit codes: ")[1]
    assert all(f"{code.value} " in shown for code in Exit)


def test_every_error_is_described() -> None:
    """The page has every error class of the package."""
    for name in package.__all__:
        with contextlib.suppress(TypeError):
            if issubclass(getattr(package, name), Exception):
                assert re.search(rf"\b{name}\b", PAGE.split("### Errors")[1])


def test_tree_of_errors_is_theirs() -> None:
    """The tree of the page is the tree of the classes."""
    [tree] = [block for block in blocks_of("docs/client.md") if block.text.startswith("ClientError\n")]
    parents: list[str] = []
    for line in tree.text.splitlines():
        name = re.search(r"[A-Za-z]\w+", line)
        assert name is not None
        depth = name.start() // 4
        above = tuple(getattr(package, parent) for parent in reversed(parents[:depth]))
        assert getattr(package, name[0]).__mro__[1 : depth + 1] == above, name[0]
        parents = [*parents[:depth], name[0]]
