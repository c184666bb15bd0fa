"""What nobody foresaw goes wrong with one upload, or for a while: the worker says so and goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.jobs import worker
from gateway.maintenance.post_uploads import complete_arrived_posts
from tests.api.conftest import Api, mp3_bytes


async def _sent_form(api: Api) -> str:
    form = (await api.call("GET", "/s3/params?filename=a.mp3&type=audio/mpeg")).json()
    sent = await api.store.post(form["url"], data=form["fields"], files={"file": ("a.mp3", mp3_bytes(), "audio/mpeg")})
    assert sent.is_success, sent.text
    await api.gateway.database.execute("UPDATE uploads SET updated_at = updated_at - interval '1 minute'", {})
    return str(form["uploadId"])


async def _state(api: Api, upload_id: str) -> str:
    """Read the row."""
    row = await api.gateway.database.fetch_one("SELECT state FROM uploads WHERE id = %(id)s", {"id": upload_id})
    assert row is not None
    return str(row["state"])


async def test_one_form_that_cannot_be_looked_at_holds_up_no_other(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A row that no code can work with is logged by its id; the form beside it becomes ready."""
    broken, good = await _sent_form(api), await _sent_form(api)
    await api.gateway.database.execute(
        "UPDATE uploads SET declared_size_bytes = 1, part_size_bytes = 0 WHERE id = %(id)s", {"id": broken}
    )
    assert await complete_arrived_posts(api.gateway) == 1
    assert (await _state(api, good), await _state(api, broken)) == ("ready", "uploading")
    [logged] = [record for record in caplog.records if record.levelno == logging.ERROR and record.exc_info]
    assert (logged.exc_info or [None])[0] is ZeroDivisionError
    assert logged.__dict__["upload_id"] == broken


@pytest.mark.parametrize("loop", ["forms", "sweep"])
async def test_a_round_that_fails_is_followed_by_the_next(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """A table that is not there for a moment is no GatewayError; both loops log it, live on and do their work later."""
    monkeypatch.setattr(worker, "POST_CHECK_SECONDS", 0.05)
    upload_id = await _sent_form(api)
    rounds: Coroutine[Any, Any, None]
    if loop == "sweep":
        await api.gateway.database.execute("UPDATE uploads SET expires_at = now()", {})
        rounds, wanted = worker._sweep_forever(api.gateway, 0.05), "expired"
    else:
        rounds, wanted = worker._complete_posts_forever(api.gateway), "ready"
    await api.gateway.database.execute("ALTER TABLE uploads RENAME TO uploads_elsewhere", {})
    task = asyncio.create_task(rounds)
    try:
        await asyncio.sleep(0.5)
        assert not task.done()
        assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
        await api.gateway.database.execute("ALTER TABLE uploads_elsewhere RENAME TO uploads", {})
        async with asyncio.timeout(20):
            while await _state(api, upload_id) != wanted:
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_waiting_question_wakes_the_worker(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A POST upload that is not due is found at once when a client asks for it, long before its next check."""
    monkeypatch.setattr(worker, "POST_CHECK_SECONDS", 600.0)
    task = asyncio.create_task(worker._complete_posts_forever(api.gateway))
    try:
        await asyncio.sleep(0.3)
        upload_id = await _sent_form(api)
        await api.gateway.database.execute("UPDATE uploads SET updated_at = now() + interval '1 hour'", {})
        assert await _state(api, upload_id) == "uploading"
        waited = await api.call("GET", f"/v1/uploads/{upload_id}", headers={"prefer": "wait=20"})
        assert waited.json()["state"] == "ready"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
