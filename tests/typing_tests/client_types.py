"""Use the client as a typed program does: mypy and pyright read this file against the built wheel. It is never run."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from gateway.client import (
    AsyncClient,
    Client,
    ClientError,
    Download,
    Event,
    FileToSend,
    GatewayProblem,
    IssuedUploadToken,
    Outcome,
    Progress,
    Rejection,
    SignedPart,
    StoredPart,
    Upload,
    UploadPage,
    UploadState,
    UploadToken,
    Webhook,
    WebhookMessage,
    verify_webhook,
)


def show(progress: Progress) -> None:
    assert_type(progress.sent_bytes, int)
    assert_type(progress.size_bytes, int | None)
    assert_type(progress.waiting_for, str | None)


def pieces() -> Iterator[bytes]:
    yield b""


async def async_pieces() -> AsyncIterator[bytes]:
    yield b""


def synchronous() -> None:
    with Client("http://127.0.0.1", "key", timeout=3.0) as client:
        for source in ("a.mp3", Path("a.mp3")):
            assert_type(client.upload(source, progress=show), Upload)
        assert_type(client.upload(b"", filename="a.mp3"), Upload)
        assert_type(client.upload(io.BytesIO(), filename="a.mp3"), Upload)
        assert_type(client.upload(pieces(), filename="a.mp3"), Upload)
        with Path("a.mp3").open("rb") as file:
            assert_type(client.upload(file), Upload)
        for outcome in client.upload_many(["a.mp3", FileToSend(b"", "b.mp3", metadata={"a": "b"})]):
            assert_type(outcome, Outcome)
            assert_type(outcome.upload, Upload | None)
            assert_type(outcome.error, ClientError | None)
        upload = client.get("id")
        assert_type(upload.state, UploadState)
        assert_type(upload.rejection, Rejection | None)
        assert_type(upload.object_key, str | None)
        assert_type(upload.can_download, bool)
        assert_type(upload.updated_at, datetime | None)
        assert_type(upload.range_of_part(1), tuple[int, int])
        assert_type(client.list(), UploadPage)
        for known in client.iter_uploads(state=UploadState.READY):
            assert_type(known, Upload)
        assert_type(client.sign("id", [1]), tuple[SignedPart, ...])
        assert_type(client.list_parts("id"), tuple[StoredPart, ...])
        assert_type(client.download("id", io.BytesIO()), Download)
        with client.open_url("id") as remote:
            assert_type(remote.read(), bytes)
            for piece in remote:
                assert_type(piece, bytes)
        for event in client.watch("id"):
            assert_type(event, Event)
        assert_type(client.upload_tokens.create(60), IssuedUploadToken)
        for token in client.upload_tokens.iter_all():
            assert_type(token, UploadToken)
        assert_type(client.webhooks.create("https://a.example"), Webhook)


async def asynchronous() -> None:
    async with AsyncClient() as client:
        assert_type(await client.upload(async_pieces(), filename="a.mp3"), Upload)
        async for outcome in client.upload_many(["a.mp3"]):
            assert_type(outcome, Outcome)
        async for upload in client.iter_uploads():
            assert_type(upload, Upload)
        assert_type(await client.download("id", "a.mp3"), Download)
        async with client.open_url("id") as remote:
            assert_type(await remote.read(), bytes)
            async for piece in remote:
                assert_type(piece, bytes)
        async for event in client.events():
            assert_type(event.data.get("upload_id"), Any | None)
        assert_type(await client.webhooks.list(), tuple[Webhook, ...])


def errors() -> None:
    try:
        Client()
    except GatewayProblem as problem:
        assert_type(problem.status, int)
    except ClientError as error:
        assert_type(error.address, str)
        assert_type(error.advice, str)


def receiver(headers: dict[str, str], body: bytes) -> WebhookMessage:
    return verify_webhook("whsec_", headers, body)
