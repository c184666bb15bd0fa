"""What the upload page does when people do things twice, in another order, or with less than all rights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browser.harness import Gateway, until
from tests.e2e.browser.test_page import MIB, full_speed, newest, slow_down, visit, wait_for, wait_for_parts

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["visit"]
pytestmark = pytest.mark.any_store


def test_same_file_twice_is_one_card(
    visit: Callable[..., Page],
    media: Callable[[int], Path],
) -> None:
    """A file that is on its way is not begun again: cancelling one would cancel the other."""
    page, file = visit(), media(18 * MIB)
    session = slow_down(page)
    page.set_input_files("#files", file)
    wait_for_parts(page, 1)
    page.set_input_files("#files", file)
    assert page.locator(".card").count() == 1
    assert "in the list already" in page.locator("#news").inner_text()
    full_speed(session)
    wait_for(page, "ready")
    page.set_input_files("#files", file)
    wait_for(page, "ready", 2)


def test_link_opened_in_the_same_tab_brings_its_token(
    visit: Callable[..., Page],
    gateway: Gateway,
    media: Callable[[int], Path],
) -> None:
    """A new link in a tab that asks for a token answers it, and leaves the address at once."""
    page = visit("made-up")
    page.set_input_files("#files", media(1000))
    until(lambda: page.locator("#ask").is_visible())
    page.evaluate("(token) => { location.hash = `token=${token}`; }", gateway.token())
    wait_for(page, "ready")
    assert page.url == f"{gateway.address}/"
    assert not page.locator("#ask").is_visible()


def test_refused_download_is_said_as_what_it_is(
    visit: Callable[..., Page],
    gateway: Gateway,
    media: Callable[[int], Path],
) -> None:
    """A download that the gateway refuses looks and sounds like a refusal, not like the verdict."""
    page = visit()
    page.set_input_files("#files", media(1000))
    wait_for(page, "ready")
    page.route("**/download", lambda route: route.fulfill(status=403, json={"code": "forbidden", "detail": "Not you"}))
    page.get_by_role("button", name="Download").click()
    until(lambda: page.locator(".verdict.bad").inner_text() == "This token does not allow that.")
    assert "This token does not allow that." in page.locator("#news").inner_text()


def test_trouble_is_forgotten_once_it_is_over(
    visit: Callable[..., Page],
    media: Callable[[int], Path],
) -> None:
    """The note of a failed try goes away when the next part is stored."""
    page = visit()
    failed: list[str] = []

    def fail_once(route: object) -> None:
        if failed:
            route.continue_()  # type: ignore[attr-defined]  # Playwright's own type is imported for checking only
        else:
            failed.append("once")
            route.abort()  # type: ignore[attr-defined]  # as above

    page.route("**/*partNumber=*", fail_once)
    session = slow_down(page)
    page.set_input_files("#files", media(30 * MIB))
    until(lambda: "connection broke while" in page.locator(".verdict").inner_text())
    until(lambda: page.evaluate("document.querySelector('.card[data-state=uploading] .verdict').hidden"))
    full_speed(session)
    wait_for(page, "ready")


def test_files_start_in_the_order_they_were_chosen(
    visit: Callable[..., Page],
    media: Callable[[int], Path],
) -> None:
    """Two at a time are sent, the first chosen first, and the list shows them in that order."""
    page = visit()
    session = slow_down(page)
    files = [media(6 * MIB + number) for number in range(4)]
    page.set_input_files("#files", files)
    wait_for(page, "uploading", 2)
    assert page.locator(".card .name").all_inner_texts() == [file.name for file in files]
    states = [card.get_attribute("data-state") for card in page.locator(".card").all()]
    assert states == ["uploading", "uploading", "new", "new"]
    assert "Finished: 0 of 4" in page.locator("#overall").inner_text()
    full_speed(session)
    wait_for(page, "ready", 4)


def test_trying_again_is_offered_where_it_can_help(
    visit: Callable[..., Page],
    tmp_path: Path,
) -> None:
    """A file that no second try makes better can only be removed."""
    page = visit()
    for name, content in (("empty.wav", b""), ("page.html", b"<html>")):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#files", tmp_path / name)
    wait_for(page, "rejected", 2)
    assert not page.get_by_role("button", name="Try again").first.is_visible()
    assert page.get_by_role("button", name="Remove from list").count() == 2


def begin(page: Page, files: list[Path]) -> list[str]:
    """Begin uploads and leave them: give their names as the page lists them after a reload."""
    session = slow_down(page, 1 * MIB)
    page.set_input_files("#files", files)
    wait_for(page, "uploading", len(files))
    full_speed(session)
    page.reload()
    until(lambda: page.locator("#unfinished li").count() == len(files))
    return page.locator("#unfinished .file").all_inner_texts()


def test_unfinished_upload_can_be_taken_off_the_list(
    visit: Callable[..., Page],
    gateway: Gateway,
    media: Callable[[int], Path],
) -> None:
    """By keys alone: each goes off the list and out of this browser, and stays in the store until it expires."""
    page, files = visit(), [media(18 * MIB), media(19 * MIB)]
    first, second = begin(page, files)
    button = page.get_by_role("button", name=f"Remove from list: {first}")
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#unfinished .file").all_inner_texts() == [second]
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Remove from list: {second}"
    assert f"{first} is off the list" in page.locator("#news").inner_text()
    assert first not in page.evaluate("JSON.stringify({ ...localStorage })")
    page.keyboard.press("Space")
    assert page.locator("#unfinished").is_hidden()
    assert page.evaluate("document.activeElement.id") == "choose"
    page.reload()
    assert page.locator("#unfinished").is_hidden()
    with gateway.api() as api:
        states = [upload["state"] for upload in api.get("/v1/uploads", params={"limit": 2}).json()["uploads"]]
    assert states == ["uploading", "uploading"]
    before = newest(gateway)["upload_id"]
    page.set_input_files("#files", files[0])
    wait_for(page, "ready")
    assert newest(gateway)["upload_id"] > before


def test_unfinished_uploads_of_another_token_are_not_shown(
    visit: Callable[..., Page],
    gateway: Gateway,
    media: Callable[[int], Path],
) -> None:
    """The next person at the same computer sees no name of the last one's, who finds them again with the same token."""
    mine, other = gateway.token(), gateway.token()
    page, file = visit(mine), media(18 * MIB)
    begin(page, [file])
    begun = newest(gateway)["upload_id"]
    assert mine not in page.evaluate("JSON.stringify({ ...localStorage })")
    page.evaluate("(token) => { location.hash = `token=${token}`; }", other)
    until(lambda: page.locator("#unfinished").is_hidden())
    page.evaluate("sessionStorage.clear()")
    page.reload()
    assert page.locator("#unfinished").is_hidden()
    page.evaluate("(token) => { location.hash = `token=${token}`; }", mine)
    until(lambda: page.locator("#unfinished .file").all_inner_texts() == [file.name])
    page.set_input_files("#files", file)
    wait_for(page, "ready")
    assert newest(gateway)["upload_id"] == begun


def test_list_of_unfinished_uploads_follows_other_tabs(
    visit: Callable[..., Page],
    context: BrowserContext,
    gateway: Gateway,
    media: Callable[[int], Path],
) -> None:
    """What one tab takes off is gone in the other, whose focus stays where it is."""
    token = gateway.token()
    page = visit(token)
    first, second = begin(page, [media(18 * MIB), media(19 * MIB)])
    other = context.new_page()
    other.goto(f"{gateway.address}/#token={token}")
    until(lambda: other.locator("#unfinished li").count() == 2)
    other.get_by_role("button", name=f"Remove from list: {second}").focus()
    page.get_by_role("button", name=f"Remove from list: {first}").click()
    until(lambda: other.locator("#unfinished .file").all_inner_texts() == [second])
    assert other.evaluate("document.activeElement.getAttribute('aria-label')") == f"Remove from list: {second}"
