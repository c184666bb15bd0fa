"""The programs and the page in the documentation, run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.dev.processes import accepts, free_ports
from tests.conftest import missing
from tests.e2e.browser.harness import NODE_MODULES, Gateway, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STOP_SECONDS = 20


def blocks(page: str, language: str) -> list[str]:
    """Give the code blocks of one language on a page of the documentation."""
    return [body for name, body in BLOCK.findall((DOCS / page).read_text()) if name == language]


def program(name: str, folder: Path) -> Path:
    """Write the program that names itself *name* in its first line."""
    marks = (f"# {name}\n", f"// {name}\n")
    [body] = [
        body for language in ("python", "js") for body in blocks("backend.md", language) if body.startswith(marks)
    ]
    path = folder / name
    path.write_text(body)
    return path


@contextmanager
def running(command: Sequence[str], folder: Path, gateway: Gateway, port: int) -> Iterator[httpx.Client]:
    """Run a backend until it listens, and give a client of it."""
    environment = {"GATEWAY_URL": gateway.address, "GATEWAY_KEY": gateway.key, "PORT": str(port)}
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 60
        while not accepts(port):
            assert process.poll() is None, "the program ended"
            assert time.monotonic() < deadline, "the program does not listen"
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(params=["fastapi_app.py", "django_app.py", "express_app.js"])
def backend(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> Iterator[httpx.Client]:
    """Run each of the three backends of the page."""
    name: str = request.param
    path, [port] = program(name, tmp_path), free_ports(1)
    if name.startswith("fastapi"):
        command = [sys.executable, "-m", "uvicorn", f"{path.stem}:app", "--port", str(port), "--log-level", "warning"]
    elif name.startswith("django"):
        command = [sys.executable, str(path), "runserver", "--noreload", f"127.0.0.1:{port}"]
    else:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / "express").exists():
            missing("Node or express is not installed: npm ci in tests/e2e/browser")
        (tmp_path / "node_modules").symlink_to(NODE_MODULES)
        (tmp_path / "package.json").write_text('{"type": "module"}')
        command = [node, str(path)]
    with running(command, tmp_path, gateway, port) as client:
        yield client


def test_backend_gives_tokens_and_believes_the_gateway(
    backend: httpx.Client, gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """A user's ready upload is taken; one that is not ready, another user's and an unknown one are not."""
    body = media(1000).read_bytes()
    token = backend.post("/upload-token", headers={"X-User": "ada"}).json()["token"]
    with gateway.api(token) as api:
        created = api.post("/v1/uploads", json={"filename": "talk.wav", "size_bytes": len(body)}).json()
        wanted = {"upload_id": created["upload_id"]}
        early = backend.post("/recordings", json=wanted, headers={"X-User": "ada"})
        assert early.status_code == 409, early.text
        [part] = created["parts"]
        httpx.put(part["url"], content=body, headers=part["headers"], trust_env=False).raise_for_status()
        assert api.post(f"/v1/uploads/{created['upload_id']}/complete").json()["state"] == "ready"
    assert backend.post("/recordings", json=wanted, headers={"X-User": "eve"}).status_code == 404
    unknown = {"upload_id": "01980000-0000-7000-8000-000000000000"}
    assert backend.post("/recordings", json=unknown, headers={"X-User": "ada"}).status_code == 404
    taken = backend.post("/recordings", json=wanted, headers={"X-User": "ada"})
    assert taken.status_code == 201, taken.text
    assert taken.json()["object_key"] == created["object_key"]


def test_page_of_the_documentation_uploads(
    page: Page, page_folder: Path, page_origin: str, gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """The page in "Use it from plain JavaScript" brings a file to ready, on an origin of its own."""
    [html] = blocks("javascript.md", "html")
    (page_folder / "example.html").write_text(html.replace("https://uploads.example.com", gateway.address))
    page.route("**/upload-token", lambda route: route.fulfill(json={"token": gateway.token()}))
    page.goto(f"{page_origin}/example.html")
    page.set_input_files("#file", media(6 * 1024 * 1024))
    until(lambda: page.inner_text("#state").startswith("ready: "))
    assert page.evaluate("document.getElementById('bar').value") == 1


def test_types_are_those_of_the_module() -> None:
    """What an application in TypeScript writes type-checks, and its mistakes do not."""
    compiler = NODE_MODULES / ".bin/tsc"
    if not compiler.exists():
        missing("TypeScript is not installed: npm ci in tests/e2e/browser")
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    found = subprocess.run(
        [str(compiler), *options, "--lib", "es2023,dom", str(Path(__file__).with_name("types_test.ts"))],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout
