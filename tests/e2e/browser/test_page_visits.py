"""What the upload page takes, refuses at once, and still knows after a reload."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser.harness import Gateway, until
from tests.e2e.browser.test_page import MIB, newest, slow_down, visit, wait_for, wait_for_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["visit"]
pytestmark = pytest.mark.any_store


def test_wrong_file_of_2_gib_is_refused_before_it_is_sent(
    visit: Callable[..., Page], gateway: Gateway, tmp_path: Path
) -> None:
    """The card shows the reason, and the gateway was asked one question and nothing else of the file."""
    file = tmp_path / "holiday.mp4"
    file.write_text("<!doctype html><script>alert(1)</script>")
    os.truncate(file, 2 * 1024 * MIB)
    token = gateway.token()
    page = visit(token)
    asked: list[tuple[str, int]] = []
    page.on("request", lambda request: asked.append((request.url, len(request.post_data_buffer or b""))))
    page.set_input_files("#files", file)
    wait_for(page, "rejected")
    assert "web page" in page.locator(".verdict").inner_text()
    assert page.locator(".state").inner_text() == "Not accepted"
    [(url, size)] = [(url, size) for url, size in asked if not url.startswith("blob:")]
    assert url == f"{gateway.address}/v1/inspect"
    assert size < 150_000
    with gateway.api(token) as api:
        assert api.get("/v1/uploads").json()["uploads"] == []


def test_finished_files_stay_until_they_are_cleared(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], tmp_path: Path
) -> None:
    """A reload shows them again, with their remarks; cleared ones stay away. Another token sees none of them."""
    wrong_name = tmp_path / "talk.mp3"
    wrong_name.write_bytes(media(1000).read_bytes())
    token = gateway.token(allow_download=True)
    page = visit(token)
    page.set_input_files("#files", [wrong_name, media(1000)])
    wait_for(page, "ready", 2)
    remark = page.locator(".remark:visible")
    assert remark.inner_text() == (
        "The name does not fit the content: this is WAV. The file is accepted. A fitting name is talk.wav."
    )
    page.reload()
    wait_for(page, "ready", 2)
    assert "talk.wav" in remark.inner_text()
    with page.expect_download():
        page.get_by_role("button", name="Download: talk.mp3").click()
    page.evaluate("(token) => { location.hash = `token=${token}`; }", gateway.token())
    until(lambda: page.locator(".card").count() == 0)
    page.evaluate("(token) => { location.hash = `token=${token}`; }", token)
    wait_for(page, "ready", 2)
    page.get_by_role("button", name="Clear finished").click()
    assert page.locator(".card").count() == 0
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_response(re.compile(r"/v1/uploads\?")):
        page.reload()
    page.set_input_files("#files", media(1000))
    wait_for(page, "ready")
    assert page.locator(".card").count() == 1


def test_leaving_in_mid_upload_asks_and_what_is_there_is_shown(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """A person who leaves is asked; the list of unfinished files then says how much is there. Ended, nothing asks."""
    page = visit()
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss() if len(asked) == 1 else dialog.accept()

    page.on("dialog", answer)
    slow_down(page, 4 * MIB)
    page.set_input_files("#files", media(30 * MIB))
    page.locator("h1").click()  # browsers ask only where a person has used the page
    wait_for_parts(page, 2)
    page.evaluate("setTimeout(() => location.reload())")
    until(lambda: page.evaluate("true") and asked == ["beforeunload"])
    assert page.locator(".card[data-state=uploading]").count() == 1
    page.reload()
    assert asked == ["beforeunload"] * 2
    with gateway.api() as api:
        parts = api.get(f"/v1/uploads/{newest(gateway)['upload_id']}/parts").json()["parts"]
    megabytes = round(sum(part["size_bytes"] for part in parts) / 1e6)
    until(
        lambda: page.locator("#unfinished .size").inner_text().replace("\xa0", " ") == f"{megabytes} MB of 31 MB sent"
    )
    page.get_by_role("button", name="Remove from list").click()
    page.reload()
    assert len(asked) == 2


def test_wrong_token_is_refused_when_it_is_entered(visit: Callable[..., Page], gateway: Gateway, page: Page) -> None:
    """Before a file is chosen the page asks the gateway, and shows why it is refused."""
    visit("made-up")
    until(lambda: "not valid" in page.locator("#ask-why").inner_text())
    for wrong in ("also made up", "ключ"):
        page.get_by_label("Upload token").fill(wrong)
        page.evaluate("document.querySelector('#ask').classList.remove('wrong')")
        page.get_by_role("button", name="Continue").click()
        until(lambda: page.locator("#ask.wrong").is_visible())
        assert page.evaluate("sessionStorage.token") is None
    page.get_by_label("Upload token").fill(gateway.token())
    page.get_by_role("button", name="Continue").click()
    until(lambda: page.locator("#ask").is_hidden())


def drop(page: Page, path: Path) -> None:
    """Drop a file or folder as the mouse does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_folders_are_dropped_and_files_pasted(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], tmp_path: Path
) -> None:
    """Every recording of a folder arrives with its path; other files are left out, and counted."""
    body = media(1000).read_bytes()
    for name in ("day/one.wav", "day/two/one.wav", "day/.DS_Store", "day/two/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    token = gateway.token()
    page = visit(token)
    drop(page, tmp_path / "day")
    wait_for(page, "ready", 2)
    assert page.locator("#dropped").inner_text() == "Files of other kinds in the folder, left out: 2"
    script = """(body) => {
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([new Uint8Array(body)], "pasted.wav", { lastModified: 1 }));
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }"""
    page.evaluate(script, list(body))
    wait_for(page, "ready", 3)
    with gateway.api(token) as api:
        uploads = api.get("/v1/uploads").json()["uploads"]
    assert sorted(upload["metadata"].get("path", "") for upload in uploads) == ["", "day/one.wav", "day/two/one.wav"]


def test_long_names_are_cut_in_their_middle(visit: Callable[..., Page], tmp_path: Path) -> None:
    """The end of a name stays, a name as a whole is read out, and no letter of several characters is torn."""
    page = visit()
    page.set_viewport_size({"width": 360, "height": 740})
    name = "An interview of one hour about everything, with a family 👨‍👩‍👧‍👦234567.html"
    (tmp_path / name).write_text("")
    page.set_input_files("#files", tmp_path / name)
    wait_for(page, "rejected")
    heading = page.get_by_role("heading", name=name, exact=True)
    assert heading.text_content() == name
    start, end = heading.locator("span").all()
    assert start.evaluate("(span) => span.scrollWidth > span.clientWidth")
    assert end.evaluate("(span) => span.scrollWidth <= span.clientWidth")
    assert end.inner_text() == "👨‍👩‍👧‍👦234567.html"


def test_page_without_its_dictionary_is_english(browser: Browser, gateway: Gateway) -> None:
    """Where the words of the visitor's language cannot be loaded, all of the page is English, its numbers too."""
    context = browser.new_context(locale="fr-FR")
    try:
        page = context.new_page()
        page.goto(gateway.address)
        until(lambda: "5,4\xa0Go" in page.inner_text("#limits").replace("\u202f", "\xa0"))
        assert page.evaluate("document.documentElement.lang") == "fr"
        page.route("**/words.fr.js", lambda route: route.abort())
        page.reload()
        until(lambda: "up to 5.4\xa0GB" in page.inner_text("#limits"))
        assert page.evaluate("document.documentElement.lang") == "en"
    finally:
        context.close()
