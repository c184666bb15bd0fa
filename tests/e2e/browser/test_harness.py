"""The harness itself: what every other test here stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.browser.harness import Gateway

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_chromium_sees_three_origins(page: Page, page_origin: str, gateway: Gateway) -> None:
    """Page, gateway and store are three origins, and the page may use Web Crypto."""
    page.goto(page_origin)
    assert page.evaluate("isSecureContext && !!crypto.subtle")
    assert len({page_origin, gateway.address, gateway.environment["GATEWAY_S3_ENDPOINT"]}) == 3
