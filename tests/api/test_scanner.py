"""With a scanner set up, `ready` also says that a real clamd found nothing."""

from __future__ import annotations

import pytest

from gateway.maintenance.sweep import sweep
from tests.api.conftest import OpenApi, mp3_bytes
from tests.unit.detection import media
from tests.unit.detection.clamd import EICAR, clamd

__all__ = ["clamd"]

INFECTED = media.id3(media.id3_frame(b"COMM", EICAR)) + mp3_bytes()


@pytest.mark.parametrize("policy", ["fail_closed", "fail_open"])
async def test_malware_in_playable_media_is_rejected(open_api: OpenApi, clamd: tuple[str, str], policy: str) -> None:
    """Whatever the policy, a found signature rejects the upload, and the upload names it."""
    api = await open_api(clamd_address=clamd[0], scanner_policy=policy)
    final = await api.ready(INFECTED)
    assert final["state"] == "rejected"
    assert final["rejection"]["code"] == "malware_found"
    assert "Test.Eicar" in final["rejection"]["detail"]
    assert final["detection"]["scan"]["signature"] == "Test.Eicar.UNOFFICIAL"
    assert (await api.ready(mp3_bytes()))["state"] == "ready"


async def test_a_clean_file_carries_the_scanners_word(open_api: OpenApi, clamd: tuple[str, str]) -> None:
    """The verdict in the upload says that somebody looked."""
    api = await open_api(clamd_address=clamd[1])
    final = await api.ready(mp3_bytes())
    assert final["state"] == "ready"
    assert final["detection"]["scan"] == {"clean": True, "signature": None, "skipped_reason": None}


async def test_without_a_scanner_there_is_no_word(open_api: OpenApi) -> None:
    """A file that nobody scanned does not look like one that was."""
    api = await open_api()
    assert (await api.ready(INFECTED))["detection"]["scan"] is None


async def test_an_absent_scanner_keeps_a_file_from_being_ready(open_api: OpenApi, clamd: tuple[str, str]) -> None:
    """fail_closed: the upload waits in validating, and is ready as soon as a scanner answers."""
    api = await open_api(clamd_address="tcp://127.0.0.1:1")
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    answer = await api.complete(created)
    assert answer.status_code in (202, 503)
    assert (await api.get(created["upload_id"]))["state"] == "validating"
    back = await open_api(clamd_address=clamd[0])
    back.keys = api.keys
    assert (await back.complete(created)).json()["state"] == "ready"


async def test_a_scanner_that_never_answers_for_a_file_ends_it(open_api: OpenApi) -> None:
    """fail_closed: a file that nobody could scan for as long as an upload lives is rejected, and says why."""
    api = await open_api(clamd_address="tcp://127.0.0.1:1")
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    assert (await api.complete(created)).status_code == 503
    for age, state in (("23 hours", "validating"), ("2 hours", "rejected")):
        await api.gateway.database.execute(f"UPDATE uploads SET updated_at = updated_at - interval '{age}'", {})
        await sweep(api.gateway)
        final = await api.get(created["upload_id"])
        assert final["state"] == state
    assert final["rejection"]["code"] == "not_checked"
    assert "scanner" in final["rejection"]["detail"]


async def test_an_absent_scanner_may_be_waived(open_api: OpenApi) -> None:
    """fail_open: the upload is ready and says that it was not scanned."""
    api = await open_api(clamd_address="tcp://127.0.0.1:1", scanner_policy="fail_open")
    final = await api.ready(mp3_bytes())
    assert final["state"] == "ready"
    assert final["detection"]["scan"]["skipped_reason"]


async def test_a_file_too_large_to_scan_follows_the_policy(open_api: OpenApi, clamd: tuple[str, str]) -> None:
    """fail_closed rejects it in words, fail_open lets it pass with a note."""
    closed = await open_api(clamd_address=clamd[0], scanner_max_bytes=100)
    final = await closed.ready(mp3_bytes())
    assert (final["state"], final["rejection"]["code"]) == ("rejected", "not_scanned")
    opened = await open_api(clamd_address=clamd[0], scanner_max_bytes=100, scanner_policy="fail_open")
    assert (await opened.ready(mp3_bytes()))["state"] == "ready"
