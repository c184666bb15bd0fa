"""Uppy 5 and 6 as they come from npm, in a real browser, against a real gateway and store on three origins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.bootstrap import presigner_of, utc_now
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage.clock import StoreClock
from tests.conftest import missing, store_settings
from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import HERE, Gateway, sha256_of, stored_sha256, until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

MIB = 1024 * 1024
MODES = {
    "6-companion": "companion",
    "6-signRequest": "signRequest",
    "5-endpoint": "endpoint",
    "5-headers": "headers",
}
HTML = """<!doctype html><meta charset="utf-8"><title>Uppy {version}</title>
<input type="file" id="file" multiple><script type="module" src="uppy{version}.js"></script>"""

SIZE = 12 * MIB
"""Three parts of at most 5 MiB."""


@pytest.fixture(scope="session")
def bundles(page_folder: Path) -> None:
    """Bundle each version of Uppy with the page's script."""
    for version in ("5", "6"):
        modules = HERE / f"uppy{version}" / "node_modules"
        if not (modules / ".bin" / "esbuild").exists():
            missing(f"Uppy {version} is not installed: npm ci in tests/e2e/browser/uppy{version}.")
        command = [modules / ".bin" / "esbuild", "uppy.js", "--bundle", "--format=esm", "--log-level=error"]
        subprocess.run(
            [*command, f"--outfile={page_folder / f'uppy{version}.js'}"],
            cwd=HERE,
            env={**os.environ, "NODE_PATH": str(modules)},
            check=True,
        )
        (page_folder / f"uppy{version}.html").write_text(HTML.format(version=version))


@dataclass
class Uploader:
    """One page with one Uppy, of one version in one mode."""

    page: Page
    origin: str
    gateway: Gateway
    mode: str
    puts: list[int] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Give Uppy's major version."""
        return self.mode[0]

    def open(self) -> None:
        """Open the page."""
        self.page.goto(f"{self.origin}/uppy{self.version}.html")
        until(lambda: self.page.evaluate("window.ready === true"))

    def begin(self, token: str, *, multipart: bool = True, retriever: bool = False) -> None:
        """Make an Uppy that uploads with *token*."""
        options = {
            "mode": MODES[self.mode],
            "endpoint": f"{self.gateway.address}/uppy/{token}",
            "gateway": self.gateway.address,
            "token": token,
            "multipart": multipart,
            "retriever": retriever,
        }
        self.page.evaluate("(options) => begin(options)", options)

    def send(self, *files: Path) -> None:
        """Choose files and start."""
        self.page.set_input_files("#file", [*files])
        self.page.evaluate("choose(document.getElementById('file')); void uppy.upload()")

    def seen(self) -> dict[str, Any]:
        """Give what Uppy told so far."""
        found: dict[str, Any] = self.page.evaluate("seen")
        return found

    def succeeded(self) -> dict[str, Any]:
        """Wait for the first success and give it."""
        until(lambda: self.seen()["success"] or self.seen()["errors"])
        assert self.seen()["errors"] == []
        found: dict[str, Any] = self.seen()["success"][0]
        return found

    def failed(self, times: int = 1) -> str:
        """Wait for an error and give its words."""
        until(lambda: len(self.seen()["errors"]) >= times or self.seen()["success"])
        assert self.seen()["success"] == []
        found: str = self.seen()["errors"][-1]
        return found

    def retry(self) -> None:
        """Press retry."""
        self.page.evaluate("seen.errors.length = 0; void uppy.retryAll()")

    def watch(self) -> None:
        """Note the number of each part that is sent to the store."""

        def note(request: Any) -> None:
            query = dict(parse_qsl(urlsplit(request.url).query))
            if request.method == "PUT" and "partNumber" in query:
                self.puts.append(int(query["partNumber"]))

        self.page.on("request", note)

    def hold_back(self, pattern: str) -> list[Route]:
        """Let requests to *pattern* wait, and give those that do."""
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        self.page.route(pattern, hold)
        return held

    def uploads(self, file: Path | None = None) -> list[dict[str, Any]]:
        """List the tenant's uploads, or those of one file, newest first."""
        with self.gateway.api() as api:
            found: list[dict[str, Any]] = api.get("/v1/uploads?limit=10").json()["uploads"]
        return [upload for upload in found if file is None or upload["filename"] == file.name]


@pytest.fixture(params=[*MODES])
def uploader(request: pytest.FixtureRequest, page: Page, page_origin: str, gateway: Gateway, bundles: None) -> Uploader:
    """Give an uploader of each version and mode on its page."""
    made = Uploader(page, page_origin, gateway, request.param)
    made.open()
    made.watch()
    return made


def named(file: Path, name: str) -> Path:
    """Give *file* another name."""
    renamed = file.with_name(name)
    file.rename(renamed)
    return renamed


def test_several_parts(uploader: Uploader, media: Callable[[int], Path], s3: Any) -> None:
    """A file of three parts, with a name in Unicode, is ready with the same bytes, under the name it had."""
    file = named(media(SIZE), f"Ünïcödé 音 & 🎵 {uploader.mode}.wav")
    uploader.begin(uploader.gateway.token(metadata={"user_id": "7"}))
    uploader.send(file)
    done = uploader.succeeded()
    upload = uploader.uploads()[0]
    assert (upload["state"], upload["filename"], upload["metadata"]["user_id"]) == ("ready", file.name, "7")
    assert sorted(uploader.puts) == [1, 2, 3]
    assert done["url"] == f"{uploader.gateway.address}/v1/uploads/{upload['upload_id']}"
    assert done["key"] == upload["object_key"]
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def test_form(uploader: Uploader, media: Callable[[int], Path], s3: Any) -> None:
    """A file in one request, which nobody announces, becomes ready by itself, with the same bytes."""
    file = media(2 * MIB)
    uploader.begin(uploader.gateway.token(), multipart=False)
    uploader.send(file)
    uploader.succeeded()
    assert uploader.puts == []
    # Listing asks the store nothing: it is the worker that finds the file.
    until(lambda: uploader.uploads()[0]["state"] == "ready")
    upload = uploader.uploads()[0]
    assert upload["filename"] == file.name
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def test_form_with_the_wrong_content(uploader: Uploader, tmp_path: Path) -> None:
    """Uppy takes a form for done before anyone has looked: the refusal is the upload's state, with its reason."""
    file = tmp_path / "letter.wav"
    file.write_bytes(b"just a letter " * 5000)
    uploader.begin(uploader.gateway.token(), multipart=False)
    uploader.send(file)
    uploader.succeeded()
    until(lambda: uploader.uploads()[0]["state"] == "rejected")
    assert uploader.uploads()[0]["rejection"]["code"] == "type_not_recognised"


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "form"])
def test_empty_file(uploader: Uploader, tmp_path: Path, multipart: bool) -> None:
    """An empty file is an error in Uppy at once, whichever way it is sent."""
    file = tmp_path / "empty.wav"
    file.touch()
    uploader.begin(uploader.gateway.token(), multipart=multipart)
    uploader.send(file)
    assert uploader.failed()
    assert not [upload for upload in uploader.uploads() if upload["state"] == "ready" and upload["size_bytes"] == 0]


def test_cancel(uploader: Uploader, media: Callable[[int], Path], s3: Any) -> None:
    """Cancelling between two parts aborts the upload, and the store keeps none of its parts."""
    uploader.begin(uploader.gateway.token())
    uploader.hold_back("**/*partNumber=3&*")
    uploader.send(media(SIZE))
    until(lambda: uploader.seen()["parts"] >= 2)
    uploader.page.evaluate("uppy.cancelAll()")
    until(lambda: uploader.uploads()[0]["state"] == "aborted")
    key = uploader.uploads()[0]["object_key"]
    until(lambda: s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key).get("Uploads", []) == [])


def test_pause_and_go_on(uploader: Uploader, media: Callable[[int], Path], s3: Any) -> None:
    """A pause between two parts stops the rest, and going on sends what is missing."""
    file = media(SIZE)
    uploader.begin(uploader.gateway.token())
    held = uploader.hold_back("**/*partNumber=3&*")
    uploader.send(file)
    until(lambda: uploader.seen()["parts"] >= 2 and bool(held))
    uploader.page.evaluate("uppy.pauseAll()")
    uploader.page.unroute("**/*partNumber=3&*")
    uploader.page.evaluate("uppy.resumeAll()")
    uploader.succeeded()
    assert stored_sha256(s3, BUCKET, uploader.uploads()[0]["object_key"]) == sha256_of(file)


def complete_of(uploader: Uploader) -> str:
    """Give the pattern of the request that completes an upload."""
    return "**/s3xml/*-*" if uploader.mode == "6-signRequest" else "**/complete?*"


# The states of a file's uploads after retry, newest first. Uppy 6 lists the parts and completes the same upload again;
# Uppy 5 aborts it and starts over, and what was completed before its answer was lost stays ready.
AFTER_RETRY = {
    ("6", "request"): ["ready"],
    ("6", "answer"): ["ready"],
    ("5", "request"): ["ready", "aborted"],
    ("5", "answer"): ["ready", "ready"],
}


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_failed_complete_then_retry(uploader: Uploader, media: Callable[[int], Path], s3: Any, lost: str) -> None:
    """When complete, or the answer to it, is lost, retry ends with the file ready and whole; once with Uppy 6."""
    file = media(SIZE)
    uploader.begin(uploader.gateway.token())
    failing = [True]

    def fail(route: Route) -> None:
        if route.request.method != "POST" or not failing:
            route.continue_()
            return
        if lost == "answer":
            assert route.fetch().status == 200
        route.abort("connectionreset")

    uploader.page.route(complete_of(uploader), fail)
    uploader.send(file)
    uploader.failed()
    failing.clear()
    uploader.retry()
    done = uploader.succeeded()
    expected = AFTER_RETRY[uploader.version, lost]
    # Uppy 5 does not wait for its abort.
    until(lambda: [upload["state"] for upload in uploader.uploads(file)] == expected)
    uploads = uploader.uploads(file)
    assert done["key"] == uploads[0]["object_key"]
    assert sorted(uploader.puts) == sorted([1, 2, 3] * len(expected))
    for upload in uploads:
        if upload["state"] == "ready":
            assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def interrupted(uploader: Uploader, file: Path, token: str) -> str:
    """Upload two of three parts, with what is needed to go on kept in the browser, and give the upload's id."""
    uploader.begin(token, retriever=True)
    uploader.hold_back("**/*partNumber=3&*")
    uploader.send(file)
    until(lambda: uploader.seen()["parts"] >= 2)
    # Golden Retriever writes its state down once in half a second.
    until(lambda: uploader.page.evaluate("remembered()"))
    upload_id: str = uploader.uploads()[0]["upload_id"]
    uploader.page.reload()
    until(lambda: uploader.page.evaluate("window.ready === true"))
    uploader.page.unroute("**/*partNumber=3&*")
    uploader.puts.clear()
    return upload_id


def test_reload_and_resume(uploader: Uploader, media: Callable[[int], Path], s3: Any) -> None:
    """After a reload Golden Retriever goes on: the two parts that the store holds are not sent again."""
    file, token = media(SIZE), uploader.gateway.token()
    upload_id = interrupted(uploader, file, token)
    uploader.begin(token, retriever=True)
    until(lambda: uploader.seen()["restored"])
    uploader.page.evaluate("uppy.emit('restore-confirmed')")
    uploader.succeeded()
    upload = uploader.uploads()[0]
    assert (upload["upload_id"], upload["state"], uploader.puts) == (upload_id, "ready", [3])
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


def test_token_of_another_user_is_refused(uploader: Uploader, media: Callable[[int], Path]) -> None:
    """Somebody else at the same browser cannot go on with the upload: it is not found, and stays as it is."""
    upload_id = interrupted(uploader, media(SIZE), uploader.gateway.token())
    uploader.begin(uploader.gateway.token(), retriever=True)
    until(lambda: uploader.seen()["restored"])
    uploader.page.evaluate("uppy.emit('restore-confirmed')")
    assert uploader.failed()
    assert [u["state"] for u in uploader.uploads() if u["upload_id"] == upload_id] == ["uploading"]
    assert uploader.puts == []


def test_expired_part_url(uploader: Uploader, media: Callable[[int], Path], s3: Any, store_server: StoreServer) -> None:
    """The store refuses an expired URL; Uppy 5 then signs the part anew by itself, Uppy 6 once retry is pressed.

    Either way the upload goes on: no part that the store holds is sent twice.
    """
    file = media(SIZE)
    refused: list[int] = []
    settings = Settings(_env_file=None, **{**store_settings(store_server), "s3_bucket": BUCKET})
    presigner = presigner_of(settings, StoreClock(lambda: utc_now() - timedelta(hours=1)))
    expired: list[str] = []

    def expire(route: Route) -> None:
        answer = route.fetch()
        asked = route.request.post_data_json if route.request.method == "POST" else {"partNumber": 2}
        if expired or asked.get("partNumber") != 2:
            route.fulfill(response=answer)
            return
        query = dict(parse_qsl(urlsplit(answer.json()["url"]).query))
        key = urlsplit(answer.json()["url"]).path.removeprefix(f"/{BUCKET}/")
        expired.append(presigner.upload_part_of_any_size(key, query["uploadId"], 2, 60).url)
        route.fulfill(response=answer, json={**answer.json(), "url": expired[0]})

    sign = "**/uppy/sign" if uploader.mode == "6-signRequest" else "**/s3/multipart/*/2?*"
    uploader.page.route(sign, expire)
    uploader.page.on("response", lambda answer: refused.append(answer.status) if answer.url in expired else None)
    uploader.begin(uploader.gateway.token())
    uploader.send(file)
    if uploader.version == "6":
        words = "firewall" if uploader.mode == "6-companion" else "403"
        assert words in uploader.failed()
        uploader.retry()
    uploader.succeeded()
    assert refused == [403]
    [upload] = uploader.uploads(file)
    assert sorted(uploader.puts) == [1, 2, 2, 3]
    assert stored_sha256(s3, BUCKET, upload["object_key"]) == sha256_of(file)


WORDS = {
    "6-companion": ("Unsupported Media Type", "Bad Request"),
    "6-signRequest": ("does not begin like any format", "Files .exe are not accepted here."),
    "5-endpoint": ("does not begin like any format", "Files .exe are not accepted here."),
    "5-headers": ("does not begin like any format", "Files .exe are not accepted here."),
}


def test_refused_content_is_said_to_a_person(uploader: Uploader, tmp_path: Path) -> None:
    """What the gateway refuses is an error in Uppy that says what is wrong, as far as Uppy shows what it is told."""
    letter, program = tmp_path / "letter.wav", tmp_path / "setup.exe"
    for file in (letter, program):
        file.write_bytes(b"just a letter " * 5000)
    content, extension = WORDS[uploader.mode]
    uploader.begin(uploader.gateway.token())
    uploader.send(letter)
    assert content in uploader.failed()
    # Again is the same: nothing is half done.
    uploader.retry()
    assert content in uploader.failed()
    assert uploader.uploads()[0]["state"] == "rejected"
    uploader.page.evaluate("uppy.clear(); seen.errors.length = 0")
    uploader.send(program)
    assert extension in uploader.failed()


def test_what_is_too_large_is_refused(uploader: Uploader, media: Callable[[int], Path]) -> None:
    """Uppy names no size: over the token's limit the upload ends while parts still come, with an error."""
    uploader.begin(uploader.gateway.token(max_size_bytes=6 * MIB))
    uploader.send(media(SIZE))
    assert uploader.failed()
    until(lambda: uploader.uploads()[0]["state"] in ("rejected", "aborted"))


def test_a_page_of_another_origin_is_refused(uploader: Uploader, media: Callable[[int], Path]) -> None:
    """A token made for another page's origin does nothing here."""
    before = len(uploader.uploads())
    uploader.begin(uploader.gateway.token(allowed_origins=["https://app.example.com"]))
    uploader.send(media(MIB))
    assert uploader.failed()
    assert len(uploader.uploads()) == before
