"""What the upload page does when people do things twice, in another order, or with less than all rights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.browser.harness import Gateway, until
from tests.e2e.browser.test_page import MIB, full_speed, slow_down, visit, wait_for, wait_for_parts

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["visit"]


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
    until(lambda: page.locator(".verdict.bad").inner_text() == "Not you.")
    assert "Not you." in page.locator("#news").inner_text()


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
    until(lambda: "connection to the store broke" in page.locator(".verdict").inner_text())
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
    wait_for(page, "failed", 2)
    assert not page.get_by_role("button", name="Try again").first.is_visible()
    assert page.get_by_role("button", name="Remove from list").count() == 2
