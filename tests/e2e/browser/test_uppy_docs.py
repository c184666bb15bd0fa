"""What "Use it with Uppy" prints, run as it is printed: only addresses are put in."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.dev.processes import free_ports
from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import HERE, Gateway, sha256_of, stored_sha256, until
from tests.e2e.browser.snippets import DOCS, EXAMPLE_ADDRESS, blocks, bundle, running

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

MIB = 1024 * 1024
SIZE = 36 * MIB
"""Several parts in every example: one asks for 16 MiB a part, the others leave Uppy its 5 MiB."""

SNIPPETS = {
    "uppy6-companion": ("uppy6", "Uppy 6", 0),
    "uppy6-signRequest": ("uppy6", "Uppy 6", 1),
    "uppy5-endpoint": ("uppy5", "Uppy 5", 0),
    "uppy5-headers": ("uppy5", "Uppy 5", 1),
}
# What the page's route takes from the application that it stands in.
AROUND_THE_ROUTE = """import os
from types import SimpleNamespace
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI

app = FastAPI()
GATEWAY_API_KEY = os.environ["GATEWAY_API_KEY"]
SignedInUser = Annotated[SimpleNamespace, Depends(lambda: SimpleNamespace(id="ada"))]


"""
# What an application does with its Uppy, and what a test reads.
DRIVER = """import {{ uppy }} from './{name}-snippet.js'

const seen = {{ success: [], errors: [] }}
uppy.on('upload-success', (file, {{ uploadURL }}) => seen.success.push(uploadURL))
uppy.on('upload-error', (file, error) => seen.errors.push(String(error)))
document.getElementById('file').onchange = ({{ target }}) => {{
  for (const file of target.files) uppy.addFile({{ name: file.name, type: file.type, data: file }})
  void uppy.upload()
}}
Object.assign(window, {{ seen, uppy }})
"""
REACT_DRIVER = """import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Uploads } from './react-snippet.jsx'

const { endpoint } = await (await fetch('/upload-token', { method: 'POST' })).json()
window.seen = []
const onReady = (name, url) => window.seen.push({ name, url })
createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Uploads endpoint={endpoint} onReady={onReady} />
  </StrictMode>,
)
"""


@pytest.fixture
def backend(page: Page, gateway: Gateway, tmp_path: Path) -> Iterator[None]:
    """Answer `/upload-token` with the route that the page prints for a backend."""
    [printed] = blocks("uppy.md", "python")
    program = AROUND_THE_ROUTE + printed.replace(EXAMPLE_ADDRESS, gateway.address)
    (tmp_path / "backend.py").write_text(program)
    [port] = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "backend:app", "--port", str(port), "--log-level", "warning"]
    with running(command, tmp_path, gateway, port) as client:

        def answer(route: Route) -> None:
            found = client.post("/upload-token")
            route.fulfill(status=found.status_code, json=found.json())

        page.route("**/upload-token", answer)
        yield


def parts_of(page: Page) -> list[str]:
    """Note each part that is sent."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    return sent


def uploads_of(gateway: Gateway, file: Path) -> list[dict[str, Any]]:
    """Give the uploads of one file, newest first."""
    with gateway.api() as api:
        found = api.get("/v1/uploads?limit=10").json()["uploads"]
    return [upload for upload in found if upload["filename"] == file.name]


def check(gateway: Gateway, s3: Any, file: Path, address: str) -> None:
    """Hold what is stored against the file, and the address that Uppy was told against the upload's."""
    [upload] = uploads_of(gateway, file)
    assert (upload["state"], upload["metadata"]["user_id"]) == ("ready", "ada")
    assert address == f"{gateway.address}/v1/uploads/{upload['upload_id']}"
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def open_snippet(page: Page, name: str, gateway: Gateway, origin: str, folders: tuple[Path, Path]) -> None:
    """Bundle a snippet with a driver of its Uppy, and open the page."""
    packages, section, index = SNIPPETS[name]
    work, served = folders
    snippet = blocks("uppy.md", "js", section)[index].replace(EXAMPLE_ADDRESS, gateway.address)
    (work / f"{name}-snippet.js").write_text(snippet)
    (work / f"{name}.js").write_text(DRIVER.format(name=name))
    bundle(work / f"{name}.js", packages, served)
    page.goto(f"{origin}/{name}.html")
    until(lambda: page.evaluate("Boolean(window.uppy)"))


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_uploads(
    page: Page,
    page_origin: str,
    page_folder: Path,
    gateway: Gateway,
    backend: None,
    media: Callable[[int], Path],
    s3: Any,
    tmp_path: Path,
    name: str,
) -> None:
    """Each printed Uppy brings a file of several parts to ready, with the same bytes."""
    file, sent = media(SIZE), parts_of(page)
    open_snippet(page, name, gateway, page_origin, (tmp_path, page_folder))
    page.set_input_files("#file", file)
    until(lambda: page.evaluate("seen.success.length + seen.errors.length") > 0)
    assert page.evaluate("seen.errors") == []
    assert len(sent) >= 3
    check(gateway, s3, file, page.evaluate("seen.success[0]"))


def test_two_uploads_of_one_file_can_be_told(
    page: Page,
    page_origin: str,
    page_folder: Path,
    gateway: Gateway,
    backend: None,
    media: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    """What Uppy 5 uploads twice, as the answer to complete was lost, has one file_id; another file has another."""
    file, other = media(6 * MIB), media(1000)
    open_snippet(page, "uppy5-endpoint", gateway, page_origin, (tmp_path, page_folder))

    def lose(route: Route) -> None:
        assert route.fetch().status == 200
        route.abort("connectionreset")

    page.route("**/complete?*", lose)
    page.set_input_files("#file", file)
    until(lambda: page.evaluate("seen.errors.length") == 1)
    page.unroute("**/complete?*")
    page.evaluate("void uppy.retryAll()")
    until(lambda: page.evaluate("seen.success.length") == 1)
    second, first = uploads_of(gateway, file)
    assert (first["state"], second["state"]) == ("ready", "ready")
    assert page.evaluate("seen.success[0]").endswith(second["upload_id"])
    assert first["metadata"]["file_id"] == second["metadata"]["file_id"]
    page.set_input_files("#file", other)
    until(lambda: bool(uploads_of(gateway, other)))
    assert uploads_of(gateway, other)[0]["metadata"]["file_id"] != first["metadata"]["file_id"]


def test_react_example_uploads(
    page: Page,
    page_origin: str,
    page_folder: Path,
    gateway: Gateway,
    backend: None,
    media: Callable[[int], Path],
    s3: Any,
    tmp_path: Path,
) -> None:
    """The React component, in strict mode, brings a file of several parts to ready and tells its address once."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    [snippet] = blocks("uppy.md", "jsx", "React")
    (tmp_path / "react-snippet.jsx").write_text(snippet)
    (tmp_path / "react.jsx").write_text(REACT_DRIVER)
    bundle(tmp_path / "react.jsx", "react", page_folder)
    file, sent = media(SIZE), parts_of(page)
    page.goto(f"{page_origin}/react.html")
    page.locator(".uppy-Dashboard-input").first.set_input_files(file)
    page.get_by_role("button", name="Upload 1 file").click()
    until(lambda: page.evaluate("seen.length") > 0)
    page.get_by_text("Complete", exact=True).wait_for()
    assert [item["name"] for item in page.evaluate("seen")] == [file.name]
    assert len(sent) >= 3
    check(gateway, s3, file, page.evaluate("seen[0].url"))
    # The styles that the example imports are there: the Dashboard's own height and no list of bare inputs.
    assert page.locator(".uppy-Dashboard-inner").bounding_box()["height"] > 400
    assert wrong == []


def test_versions_are_those_that_are_tested() -> None:
    """The versions that the page names are the ones that the tests install."""
    text = (DOCS / "uppy.md").read_text()

    def installed(folder: str, package: str) -> str:
        version: str = json.loads((HERE / folder / "package.json").read_text())["dependencies"][package]
        return version

    versions = [installed(folder, "@uppy/aws-s3") for folder in ("uppy6", "uppy5")]
    assert re.findall(r"`@uppy/aws-s3` ([\d.]+) and ([\d.]+),", text) == [tuple(versions)]
    assert installed("react", "@uppy/aws-s3") == versions[0]
    react = installed("react", "react").partition(".")[0]
    assert re.findall(r"`@uppy/react` ([\d.]+) and React (\d+)\.", text) == [(installed("react", "@uppy/react"), react)]
