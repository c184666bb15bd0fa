"""The upload page in every state, as it looks and as assistive technology reads it, light and dark, wide and narrow."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import missing
from tests.e2e.browser.harness import NODE_MODULES, Gateway, until
from tests.e2e.browser.test_page import full_speed, slow_down, wait_for, wait_for_parts

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

MIB = 1024 * 1024
LONG_NAME = "Interview with Dr. Margarethe Köhler-Sørensen on the history of broadcasting, part 3 of 7 (remastered).wav"
UNBROKEN_NAME = "2026-11-25T13-12-19Z_studio-b_take-0007_channel-left_48000Hz_24bit_normalised_final_final.wav"
LOOKS = {
    "light": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "light", "locale": "de-DE"},
    "dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark", "locale": "ar"},
    "phone": {
        "viewport": {"width": 360, "height": 740},
        "color_scheme": "light",
        "locale": "ar",
        "has_touch": True,
        "is_mobile": True,
    },
    "phone-dark": {
        "viewport": {"width": 360, "height": 740},
        "color_scheme": "dark",
        "locale": "de-DE",
        "has_touch": True,
        "is_mobile": True,
    },
}
"""Every state is looked at in German and from right to left in Arabic, each on a wide and on a narrow screen."""


def press(page: Page, button: str) -> None:
    """Press the first button of this kind, in whatever language."""
    page.locator(f"[data-do={button}]:visible").first.click()


def held(page: Page, pattern: str, method: str) -> Callable[..., None]:
    """Hold requests back, and give a function that answers them, or lets them go, and holds no more."""
    waiting: list[Route] = []
    page.route(pattern, lambda route: waiting.append(route) if route.request.method == method else route.continue_())

    def let_go(**answer: Any) -> None:
        for route in waiting:
            route.fulfill(**answer) if answer else route.continue_()
        page.unroute(pattern)

    return let_go


def one_upload(page: Page, media: Callable[[int], Path]) -> Iterator[str]:
    """Go from nothing to a cancelled upload."""
    yield "empty"
    session = slow_down(page)
    let_go = held(page, "**/v1/uploads", "POST")
    page.set_input_files("#files", media(40 * MIB))
    wait_for(page, "preparing")
    yield "preparing"
    let_go()
    wait_for_parts(page, 2)
    yield "uploading"
    press(page, "pause")
    wait_for(page, "paused")
    yield "paused"
    press(page, "resume")
    wait_for(page, "uploading")
    full_speed(session)
    session.detach()
    page.context.set_offline(True)
    wait_for(page, "offline")
    yield "offline"
    press(page, "cancel")
    page.context.set_offline(False)
    wait_for(page, "aborted")
    yield "cancelled"


def queue(page: Page, media: Callable[[int], Path], folder: Path) -> Iterator[str]:
    """Let two files wait for two others, one of which then is paused."""
    session = slow_down(page, 3 * MIB)
    long, unbroken = folder / LONG_NAME, folder / UNBROKEN_NAME
    for file in (long, unbroken):
        media(30 * MIB).rename(file)
    page.set_input_files("#files", [media(6 * MIB), media(20 * MIB), long, unbroken])
    wait_for(page, "uploading", 2)
    wait_for(page, "new", 2)
    wait_for_parts(page, 1)
    yield "waiting"
    press(page, "pause")
    wait_for(page, "paused")
    wait_for(page, "uploading", 2)
    wait_for(page, "new", 1)
    yield "waiting-and-paused"
    full_speed(session)
    press(page, "resume")
    wait_for(page, "ready", 4)
    yield "ready-four"
    page.set_input_files("#files", [media(1000) for _ in range(6)])
    wait_for(page, "ready", 10)
    yield "ready-ten"
    page.reload()
    wait_for(page, "ready", 10)
    yield "ready-after-a-reload"


def ends(page: Page, media: Callable[[int], Path], folder: Path) -> Iterator[str]:
    """Go through checking and failing to ready, then refuse two files, before and after they are sent."""
    let_go = held(page, "**/complete", "POST")
    page.set_input_files("#files", media(18 * MIB))
    wait_for(page, "checking")
    yield "checking"
    # Retries of what may pass would last for a minute: this is final.
    problem = {
        "code": "conflict",
        "detail": "The upload was completed elsewhere with other parts",
        "status": 409,
    }
    let_go(status=409, json=problem)
    wait_for(page, "failed")
    yield "failed"
    press(page, "again")
    wait_for(page, "ready")
    yield "ready"
    (folder / "holiday.mp3").write_bytes(media(1 * MIB).read_bytes()[: MIB // 2])
    page.set_input_files("#files", folder / "holiday.mp3")
    wait_for(page, "ready", 2)
    yield "ready-with-another-name-and-cut"
    (folder / "holiday.mp4").write_text("<!doctype html><script>alert(1)</script>")
    (folder / "holiday.html").write_text("<!doctype html>")
    page.set_input_files("#files", [folder / "holiday.mp4", folder / "holiday.html"])
    wait_for(page, "rejected", 2)
    yield "rejected"


def before_a_file(page: Page) -> Iterator[str]:
    """Come back to uploads that are not finished, with no token and with a wrong one."""
    claims = page.evaluate("sessionStorage.token.split('.')[1]")
    owner = json.loads(urlsafe_b64decode(claims + "=="))["jti"]
    for name in (LONG_NAME, "talk.wav", UNBROKEN_NAME):
        entry = {
            "upload_id": name,
            "filename": name,
            "sizeBytes": 3e9,
            "expiresAt": "2999-01-01T00:00:00Z",
            "owner": owner,
        }
        remember = "([name, entry]) => localStorage.setItem(`gateway-upload:${name}`, JSON.stringify(entry))"
        page.evaluate(remember, [name, entry])
    page.route("**/parts", lambda route: route.fulfill(json={"parts": [{"size_bytes": 12e8}]}))
    page.reload()
    until(lambda: page.locator("#unfinished").is_visible())
    until(lambda: "1" in page.locator("#unfinished .size").last.inner_text())
    yield "unfinished"
    page.evaluate("(localStorage.clear(), sessionStorage.clear())")
    page.reload()
    until(lambda: page.locator("#ask").is_visible())
    yield "token"
    page.locator("#token").fill("wrong")
    page.locator("#ask button").click()
    until(lambda: page.locator("#ask.wrong").is_visible())
    yield "token-refused"


def take_picture(page: Page, path: Path) -> None:
    """Take the whole page on a screen as tall as it is: `full_page` makes Chromium forget that a phone has no mouse."""
    screen = page.viewport_size
    assert screen
    for _ in range(2):  # margins grow with the screen
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": screen["width"], "height": max(height, screen["height"])})
    page.screenshot(path=path)
    page.set_viewport_size(screen)


def look_at(page: Page, axe: str, state: str) -> None:
    """Let axe-core judge the page, and measure what it does not."""
    page.evaluate(axe)
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(item["id"], item["nodes"][0]["html"]) for item in found] == [], state
    assert page.viewport_size
    # Not innerWidth: a phone's grows with a page that is too wide.
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], state
    buttons = page.locator("button:visible, input:visible, summary:visible")
    heights = [box["height"] for box in (each.bounding_box() for each in buttons.all()) if box]
    assert min(heights) >= 40, state


@pytest.mark.any_store
@pytest.mark.parametrize("look", LOOKS)
def test_every_state_is_accessible(
    browser: Any, gateway: Gateway, media: Callable[[int], Path], tmp_path: Path, look: str, pytestconfig: Any
) -> None:
    """In every state axe-core finds nothing, nothing is wider than the screen, and touch targets are large enough."""
    axe = NODE_MODULES / "axe-core/axe.min.js"
    if not axe.exists():
        missing("axe-core is not installed: npm ci in tests/e2e/browser")
    pictures = pytestconfig.rootpath / "build/screenshots"
    parts: list[Callable[[Page], Iterator[str]]] = [
        lambda page: one_upload(page, media),
        lambda page: queue(page, media, tmp_path),
        lambda page: ends(page, media, tmp_path),
        before_a_file,
    ]
    context = browser.new_context(**LOOKS[look], reduced_motion="reduce")
    try:
        for states in parts:
            page = context.new_page()
            page.goto(f"{gateway.address}/#token={gateway.token(allow_download=True)}")
            until(lambda page=page: page.inner_text("#limits") != "")
            assert page.evaluate("document.documentElement.lang") == LOOKS[look]["locale"][:2]
            for state in states(page):
                take_picture(page, pictures / f"{look}-{state}.png")
                assert page.evaluate("matchMedia('(hover: none)').matches") == look.startswith("phone"), state
                look_at(page, axe.read_text(), state)
            page.evaluate("localStorage.clear()")
            page.close()
    finally:
        context.close()
