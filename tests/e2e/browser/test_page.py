"""The gateway's own upload page, used as a person does: with files, keys, a bad network and a screen reader's eyes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from gateway.bootstrap import presigner_of, utc_now
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage.clock import StoreClock
from gateway.storage.presign import PartToSign
from tests.conftest import store_settings
from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import Gateway, sha256_of, stored_sha256, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

MIB = 1024 * 1024
SLOW = 6 * MIB
"""Bytes a second at which an upload of some parts lasts long enough to be looked at."""


@pytest.fixture
def visit(page: Page, gateway: Gateway, store_server: StoreServer) -> Iterator[Callable[..., Page]]:
    """Give a function that opens the page with a token; afterwards nothing else was asked and nothing went wrong."""
    asked: set[str] = set()
    wrong: list[str] = []
    page.on("request", lambda request: asked.add(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)

    def open_page(token: str | None = None) -> Page:
        page.goto(f"{gateway.address}/#token={token or gateway.token(allow_download=True)}")
        until(lambda: "up to" in page.inner_text("#limits"))
        return page

    yield open_page
    origins = {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in asked if not url.startswith("blob:")}
    assert origins <= {gateway.address, store_server.endpoint}
    assert wrong == []


def slow_down(page: Page, bytes_per_second: int = SLOW) -> Any:
    """Give the tab a slow line."""
    session = page.context.new_cdp_session(page)
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    session.send("Network.emulateNetworkConditions", line)
    return session


def full_speed(session: Any) -> None:
    """Give the tab its line back."""
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", line)


def wait_for(page: Page, state: str, count: int = 1) -> None:
    """Wait until so many cards are in a state."""
    until(lambda: page.locator(f".card[data-state={state}]").count() == count)


def wait_for_parts(page: Page, count: int) -> None:
    """Wait until at least so many blocks are full."""
    script = (
        "[...document.querySelectorAll('.parts i')].filter((i) => i.style.getPropertyValue('--sent') === '100%').length"
    )
    until(lambda: page.evaluate(script) >= count)


def newest(gateway: Gateway) -> dict[str, Any]:
    """Give the newest upload as the backend sees it."""
    with gateway.api() as api:
        found: dict[str, Any] = api.get("/v1/uploads", params={"limit": 1}).json()["uploads"][0]
        return found


@pytest.mark.parametrize("size_bytes", [1000, 18 * MIB], ids=["one small part", "four parts"])
def test_file_is_ready_with_its_facts(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any, tmp_path: Path, size_bytes: int
) -> None:
    """A chosen file arrives byte for byte, shows what was found in it, and comes back the same by its download."""
    page, file = visit(), media(size_bytes)
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    facts = page.locator(".facts").inner_text()
    assert "WAV" in facts
    assert "PCM" in facts
    assert "can no longer be changed" in page.locator(".verdict").inner_text()
    assert stored_sha256(s3, BUCKET, newest(gateway)["object_key"]) == sha256_of(file)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == file.name
    download.value.save_as(tmp_path / "back.wav")
    assert sha256_of(tmp_path / "back.wav") == sha256_of(file)


@pytest.mark.any_store
def test_files_can_be_dropped(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]) -> None:
    """Files dropped anywhere on the page are uploaded, each on a card of its own."""
    page = visit()
    body = list(media(1000).read_bytes())
    script = """(body) => {
      const data = new DataTransfer();
      for (const name of ["one.wav", "two.wav", "three.wav"]) {
        data.items.add(new File([new Uint8Array(body)], name, { lastModified: 1 }));
      }
      const send = (type) => document.body.dispatchEvent(
        new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
      send("dragenter");
      const marked = document.body.classList.contains("dragging");
      send("drop");
      return marked && !document.body.classList.contains("dragging");
    }"""
    assert page.evaluate(script, body) is True
    wait_for(page, "ready", 3)


@pytest.mark.any_store
def test_empty_file_is_refused(visit: Callable[..., Page], tmp_path: Path) -> None:
    """An empty file is named as such."""
    empty = tmp_path / "silence.wav"
    empty.touch()
    page = visit()
    page.set_input_files("#files", empty)
    wait_for(page, "rejected")
    assert page.locator(".verdict").inner_text() == "The file is empty."


@pytest.mark.any_store
def test_wrong_type_is_refused_with_its_reason(visit: Callable[..., Page], tmp_path: Path) -> None:
    """A text called .mp4 and a name that is not taken end in one word and with the reason; nothing is created."""
    page = visit()
    for name in ("holiday.mp4", "holiday.html"):
        (tmp_path / name).write_text("<!doctype html><script>alert(1)</script>")
        page.set_input_files("#files", tmp_path / name)
    wait_for(page, "rejected", 2)
    assert page.locator(".card .state").all_inner_texts() == ["Not accepted", "Not accepted"]
    by_name, by_content = page.locator(".card .verdict").all_inner_texts()
    assert by_name == "Files .html are not accepted here."
    assert "web page" in by_content


@pytest.mark.any_store
def test_hostile_name_is_only_text(visit: Callable[..., Page], media: Callable[[int], Path], tmp_path: Path) -> None:
    """A file name that is markup is shown as it is."""
    file = tmp_path / "<img src=x onerror=alert(1)>.wav"
    file.write_bytes(media(1000).read_bytes())
    page = visit()
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    assert page.locator(".name").text_content() == file.name
    assert page.locator(".name img").count() == 0


def test_cancel_removes_what_was_sent(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """A cancelled upload leaves no parts, and begun again it is a new one, ready with the same bytes."""
    page, file = visit(), media(30 * MIB)
    session = slow_down(page)
    page.set_input_files("#files", file)
    wait_for_parts(page, 1)
    page.get_by_role("button", name="Cancel").click()
    wait_for(page, "aborted")
    until(lambda: newest(gateway)["state"] == "aborted")
    found = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=newest(gateway)["object_key"])
    assert found.get("Uploads", []) == []
    cancelled = newest(gateway)["upload_id"]
    full_speed(session)
    page.get_by_role("button", name="Try again").click()
    wait_for(page, "ready")
    assert newest(gateway)["upload_id"] != cancelled
    assert stored_sha256(s3, BUCKET, newest(gateway)["object_key"]) == sha256_of(file)


def test_failed_complete_can_be_tried_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """When complete fails for good the card says so, and trying again sends no part twice."""
    page, file = visit(), media(12 * MIB)
    problem = {"code": "conflict", "detail": "Something is in the way", "status": 409}
    page.route("**/complete", lambda route: route.fulfill(status=409, json=problem))
    page.set_input_files("#files", file)
    wait_for(page, "failed")
    assert page.locator(".verdict").inner_text() == "Something is in the way."
    page.unroute("**/complete")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    page.get_by_role("button", name="Try again").click()
    wait_for(page, "ready")
    assert sent == []
    assert stored_sha256(s3, BUCKET, newest(gateway)["object_key"]) == sha256_of(file)


def test_reload_and_resume(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any) -> None:
    """After a reload the page names what is not finished, and the same file goes on where it stopped."""
    token = gateway.token()
    page, file = visit(token), media(30 * MIB)
    slow_down(page)
    page.set_input_files("#files", file)
    wait_for_parts(page, 2)
    first = newest(gateway)
    page.reload()
    assert file.name in page.locator("#unfinished").inner_text()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    assert newest(gateway)["upload_id"] == first["upload_id"]
    assert len(sent) <= first["part_count"] - 2
    assert stored_sha256(s3, BUCKET, first["object_key"]) == sha256_of(file)
    assert page.locator("#unfinished").is_hidden()


def test_expired_url_is_replaced(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any, store_server: StoreServer
) -> None:
    """A URL that has expired before its part was sent is replaced without a word."""
    page, file = visit(), media(6 * MIB)
    settings = Settings(_env_file=None, **{**store_settings(store_server), "s3_bucket": BUCKET})
    presigner = presigner_of(settings, StoreClock(utc_now))
    expired: list[str] = []

    def expire(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        if not expired:
            key = newest(gateway)["object_key"]
            [held] = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key)["Uploads"]
            asked, part = json.loads(route.request.post_data or "{}")["parts"][0], body["parts"][0]
            wanted = [PartToSign(part["part_number"], part["size_bytes"], asked["checksum_sha256"])]
            long_ago = utc_now() - timedelta(hours=1)
            [old] = presigner.part_urls(key, held["UploadId"], wanted, 60, signed_at=long_ago)
            part |= {"url": old.url, "headers": old.headers}
            expired.append(old.url)
        route.fulfill(response=answer, json=body)

    page.route("**/parts/sign", expire)
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    assert len(expired) == 1
    assert stored_sha256(s3, BUCKET, newest(gateway)["object_key"]) == sha256_of(file)


def test_token_of_another_user_is_refused(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """Somebody else with the same file at the same browser sends it anew: the first one's upload is not found."""
    page, file = visit(gateway.token(metadata={"user_id": "ada"})), media(30 * MIB)
    slow_down(page)
    page.set_input_files("#files", file)
    wait_for_parts(page, 2)
    first = newest(gateway)
    page.goto("about:blank")
    visit(gateway.token(metadata={"user_id": "eve"}))
    told: list[Any] = []
    page.on("response", lambda answer: told.append(answer) if first["upload_id"] in answer.url else None)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    second = newest(gateway)
    assert (second["upload_id"] != first["upload_id"], second["metadata"]["user_id"]) == (True, "eve")
    assert stored_sha256(s3, BUCKET, second["object_key"]) == sha256_of(file)
    # Asked once whether the upload is this visitor's, and told nothing about it; no byte goes to it.
    assert [answer.status for answer in told] == [404]
    assert len(sent) == second["part_count"]
    assert not any(first["object_key"] in url for url in sent)
    with gateway.api() as api:
        left = api.get(f"/v1/uploads/{first['upload_id']}").json()
    assert (left["state"], left["metadata"]["user_id"]) == ("uploading", "ada")


@pytest.mark.any_store
def test_refused_token_is_asked_for_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """A token that the gateway does not know is asked for again on the page; the upload then goes on by itself."""
    page = visit("eyJhbGciOiJIUzI1NiJ9.e30.c29tZWJvZHk")
    page.set_input_files("#files", media(1000))
    page.get_by_label("Upload token").fill(gateway.token())
    assert "not valid" in page.locator("#ask-why").inner_text()
    page.get_by_role("button", name="Continue").click()
    wait_for(page, "ready")


@pytest.mark.any_store
def test_token_stays_in_the_tab(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]) -> None:
    """The token of a link is taken out of the address, kept in no lasting storage, and is in no log."""
    token = gateway.token()
    page = visit(token)
    assert page.url == f"{gateway.address}/"
    page.set_input_files("#files", media(1000))
    wait_for(page, "ready")
    assert token not in json.dumps(page.evaluate("({ ...localStorage })"))
    assert page.evaluate("document.cookie") == ""
    assert not any(token in line for line in gateway.log)


@pytest.mark.any_store
def test_keyboard_is_enough(visit: Callable[..., Page], media: Callable[[int], Path]) -> None:
    """Choosing, pausing, resuming and removing work by keys alone, and the focus is never lost."""
    page = visit()
    choosers: list[Any] = []
    # Listening early: the browser is told to hand over its file chooser without waiting for its answer.
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 - a builtin cannot be marked by Playwright
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    session = slow_down(page)
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("true") and len(choosers) == 1)
    choosers[0].set_files(media(30 * MIB))
    wait_for(page, "uploading")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.do") == "pause"
    page.keyboard.press("Enter")
    wait_for(page, "paused")
    assert page.evaluate("document.activeElement.dataset.do") == "resume"
    assert "Paused" in page.locator("#news").inner_text()
    full_speed(session)
    page.keyboard.press("Space")
    wait_for(page, "ready")
    assert "Ready" in page.locator("#news").inner_text()
    page.get_by_role("button", name="Remove from list").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "choose"


def test_offline_is_said_and_waited_out(
    visit: Callable[..., Page], context: BrowserContext, gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """Without a network the page says so, and goes on by itself when it is back."""
    page, file = visit(), media(30 * MIB)
    session = slow_down(page)
    page.set_input_files("#files", file)
    wait_for_parts(page, 1)
    full_speed(session)
    session.detach()
    context.set_offline(True)
    wait_for(page, "offline")
    assert page.locator("#offline").is_visible()
    context.set_offline(False)
    wait_for(page, "ready")
    assert page.locator("#offline").is_hidden()
    assert stored_sha256(s3, BUCKET, newest(gateway)["object_key"]) == sha256_of(file)
