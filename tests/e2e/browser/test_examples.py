"""The programs and the page in the documentation, run as they are printed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.dev.processes import free_ports
from tests.conftest import missing
from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import NODE_MODULES, Gateway, sha256_of, stored_sha256, until
from tests.e2e.browser.snippets import EXAMPLE_ADDRESS, blocks, running

if TYPE_CHECKING:
    from playwright.sync_api import Page


def program(name: str, folder: Path, page: str = "backend.md") -> Path:
    """Write the program that names itself *name* in its first line."""
    marks = (f"# {name}\n", f"// {name}\n")
    [body] = [body for language in ("python", "js") for body in blocks(page, language) if body.startswith(marks)]
    path = folder / name
    path.write_text(body)
    return path


def node_for(folder: Path, *packages: str) -> str:
    """Let programs in *folder* use the tests' packages, and give Node."""
    node = shutil.which("node")
    if node is None or not all((NODE_MODULES / name).exists() for name in packages):
        missing(f"Node or one of {', '.join(packages)} is not installed: npm ci in tests/e2e/browser")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "package.json").write_text('{"type": "module"}')
    return node


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
        command = [node_for(tmp_path, "express"), str(path)]
    with running(command, tmp_path, gateway, port) as client:
        yield client


def test_backend_gives_tokens_and_believes_the_gateway(
    backend: httpx.Client, gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """A user's ready upload is taken, byte for byte; one not ready, another user's and an unknown one are not."""
    file = media(1000)
    body = file.read_bytes()
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
    assert stored_sha256(s3, BUCKET, taken.json()["object_key"]) == sha256_of(file)


def test_express_receiver_of_webhooks_keeps_each_ready_upload_once(
    gateway: Gateway, media: Callable[[int], Path], tmp_path: Path
) -> None:
    """It takes what the gateway signed, a ready upload once however often it is told, and nothing from anybody else."""
    path, [port], output = program("webhook_receiver.js", tmp_path, "webhooks.md"), free_ports(1), tmp_path / "printed"
    body = media(1000).read_bytes()
    token = gateway.token(metadata={"user_id": "7"})
    with gateway.api() as api, gateway.api(token) as user:
        made = api.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{port}/webhooks/uploads"}).json()
        where, secret = f"/v1/webhooks/{made['webhook_id']}", {"WEBHOOK_SECRET": made["secret"]}
        command = [node_for(tmp_path, "express", "standardwebhooks"), str(path)]
        with running(command, tmp_path, gateway, port, secret, output) as receiver:
            assert api.post(f"{where}/test").json() == {"delivered": True, "status": 204, "error": None}
            created = user.post("/v1/uploads", json={"filename": "talk.wav", "size_bytes": len(body)}).json()
            [part] = created["parts"]
            httpx.put(part["url"], content=body, headers=part["headers"], trust_env=False).raise_for_status()
            ready = user.post(f"/v1/uploads/{created['upload_id']}/complete").json()

            def delivered() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = api.get(f"{where}/deliveries?state=delivered").json()["deliveries"]
                return found

            until(lambda: bool(delivered()))
            [delivery] = delivered()
            api.post(f"{where}/deliveries/{delivery['delivery_id']}/resend").raise_for_status()
            until(lambda: bool(delivered()))
            assert delivered()[0]["last_attempt_at"] > delivery["last_attempt_at"]
            forged = {"type": "upload.ready", "data": {**ready, "upload_id": "forged"}}
            assert receiver.post("/webhooks/uploads", json=forged).status_code == 401
        api.delete(where).raise_for_status()
    assert output.read_text().splitlines() == [f"ready: {ready['upload_id']} {ready['object_key']} 7"]


def test_page_of_the_documentation_uploads(
    page: Page, page_folder: Path, page_origin: str, gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """The page in "Use it from plain JavaScript" brings a file to ready, on an origin of its own, byte for byte."""
    file = media(6 * 1024 * 1024)
    [html] = blocks("javascript.md", "html")
    (page_folder / "example.html").write_text(html.replace(EXAMPLE_ADDRESS, gateway.address))
    page.route("**/upload-token", lambda route: route.fulfill(json={"token": gateway.token()}))
    page.goto(f"{page_origin}/example.html")
    page.set_input_files("#file", file)
    until(lambda: page.inner_text("#state").startswith("ready: "))
    assert page.evaluate("document.getElementById('bar').value") == 1
    with gateway.api() as api:
        upload = api.get(f"/v1/uploads/{page.inner_text('#state').removeprefix('ready: ')}").json()
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def test_page_watches_an_upload(page: Page, gateway: Gateway, media: Callable[[int], Path]) -> None:
    """The function of "Watch uploads" tells a page of the gateway's origin each event up to the last one."""
    body = media(1000).read_bytes()
    [function] = blocks("watching.md", "js")
    start = "const start = (id, key) => watchUpload(id, `Bearer ${key}`, (name) => names.push(name))"
    # A page of an application behind the gateway's own address: the function's addresses have no host.
    html = f"<!doctype html><script>{function}\nconst names = []\n{start}</script>"
    page.route(f"{gateway.address}/watch", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{gateway.address}/watch")
    with gateway.api() as api:
        created = api.post("/v1/uploads", json={"filename": "talk.wav", "size_bytes": len(body)}).json()
        page.evaluate("([id, key]) => start(id, key)", [created["upload_id"], gateway.key])
        [part] = created["parts"]
        httpx.put(part["url"], content=body, headers=part["headers"], trust_env=False).raise_for_status()
        api.post(f"/v1/uploads/{created['upload_id']}/complete").raise_for_status()
    until(lambda: page.evaluate("names.includes('ready')"))
    assert [name for name in page.evaluate("names") if name != "progress"] == ["completing", "validating", "ready"]


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
