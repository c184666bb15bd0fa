"""A file of 1 GiB through the page: what it costs the browser in memory."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import Gateway, sha256_of, stored_sha256, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

MIB = 1024 * 1024
SIZE_ASKED = 1024 * MIB
SIZE = min(SIZE_ASKED, int(os.environ.get("BIG_SIZE") or SIZE_ASKED))
MOST_GROWTH = 192 * MIB
"""What one part takes that is hashed, twice over, and what the collector has not come to: 110 to 140 MiB were seen."""


def make_wav(path: Path, size_bytes: int) -> Path:
    """Write a WAV file of noise, block by block."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        for _ in range(size_bytes // MIB):
            file.writeframesraw(os.urandom(MIB))
    return path


def browser_memory() -> dict[str, int]:
    """Give the memory of Chromium's processes that is theirs alone, in bytes, by kind of process."""
    found: dict[str, int] = {}
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
            if "chrom" not in process.name():
                continue
            kind = next((word.split("=")[1] for word in command if word.startswith("--type=")), "browser")
            found[kind] = found.get(kind, 0) + process.memory_full_info().uss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.big
@pytest.mark.timeout(1800)
def test_memory_is_flat(page: Page, gateway: Gateway, s3: Any, tmp_path: Path) -> None:
    """The tab, and Chromium as a whole, hold a few parts of a 1 GiB file and never the file."""
    file = make_wav(tmp_path / "long.wav", SIZE)
    page.goto(f"{gateway.address}/#token={gateway.token()}")
    until(lambda: "up to" in page.inner_text("#limits"))
    before = browser_memory()
    most: dict[str, int] = {}
    page.set_input_files("#files", file)

    def ended() -> bool:
        for kind, size_bytes in browser_memory().items():
            most[kind] = max(most.get(kind, 0), size_bytes)
        return page.locator(".card:is([data-state=ready], [data-state=failed], [data-state=rejected])").count() == 1

    until(ended, 1500)
    assert page.locator(".card").get_attribute("data-state") == "ready"
    growth = {kind: most[kind] - before.get(kind, 0) for kind in most}
    print("memory above the empty page, MiB:", {kind: round(size / MIB) for kind, size in growth.items()})
    with gateway.api() as api:
        record = api.get("/v1/uploads", params={"limit": 1}).json()["uploads"][0]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)
    assert growth["renderer"] < MOST_GROWTH
    assert sum(growth.values()) < 1.5 * MOST_GROWTH
