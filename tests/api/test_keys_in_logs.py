"""Object keys stay out of the log and of error answers."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from gateway.domain.errors import Unavailable
from gateway.logs import JsonFormatter
from gateway.storage.errors import AccessDenied
from tests.api.conftest import Api, mp3_bytes


async def test_g3_no_log_line_or_error_names_an_object_key(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """G3: an upload that becomes ready, one that is rejected and one that is aborted leave no object key in a log.

    Each upload is then used in ways that its state refuses. The problems do not contain the key either.
    """
    caplog.set_level(logging.INFO)
    ready = await api.ready(mp3_bytes())
    rejected = await api.ready(b"MZ no media")
    created = await api.create(mp3_bytes())
    problems = [await api.complete(created)]
    aborted = await api.call("DELETE", f"/v1/uploads/{created['upload_id']}")
    assert aborted.status_code == 204
    problems += [
        await api.call("DELETE", f"/v1/uploads/{ready['upload_id']}"),
        await _download(api, rejected),
        await api.complete(created),
        await _download(api, created),
        await api.call("GET", f"/v1/uploads/{ready['upload_id']}", tenant="stranger"),
    ]
    assert (ready["state"], rejected["state"]) == ("ready", "rejected")
    assert all(400 <= problem.status_code < 500 for problem in problems), problems
    for key in (upload["object_key"] for upload in (ready, rejected, created)):
        assert [line for line in _lines(caplog) if key in line] == []
        assert [problem.text for problem in problems if key in problem.text] == []


@pytest.mark.parametrize("error", [AccessDenied, Unavailable])
async def test_g3_a_store_that_refuses_names_no_object_key(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """G3: while the store refuses to remove an object, neither the log nor the answer names it."""
    caplog.set_level(logging.INFO)
    created = await api.create(b"MZ no media")
    await api.put(created, b"MZ no media")

    async def refuse(*_: Any, **__: Any) -> None:
        raise error("refused")

    monkeypatch.setattr(api.gateway.store, "delete_object", refuse)
    answer = await api.complete(created)
    assert created["object_key"] not in (answer.text if answer.status_code >= 400 else "")
    assert [line for line in _lines(caplog) if created["object_key"] in line] == []


async def _download(api: Api, upload: dict[str, Any]) -> httpx.Response:
    return await api.call("GET", f"/v1/uploads/{upload['upload_id']}/download")


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    formatter = JsonFormatter()
    # The tests' own HTTP client logs the URLs that it calls.
    lines = [formatter.format(record) for record in caplog.records if record.name != "httpx"]
    assert lines
    return lines
