"""Offer the gateway to asyncio programs: the same conversations and the same engine as the synchronous client."""

from __future__ import annotations

import asyncio
import ssl
import threading
import uuid
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import httpx

from gateway.client import calls
from gateway.client.errors import ClientError
from gateway.client.flow import Answer, Flow, Pause, Retry, Send, exchange
from gateway.client.models import DownloadURL, SignedPart, StoredPart, Upload, UploadPage
from gateway.client.progress import Progress, ProgressCallback
from gateway.client.source import StrPath
from gateway.client.sync_client import API_TIMEOUT, DEFAULT_PARALLEL, DEFAULT_WAIT_SECONDS, Client, api_options

T = TypeVar("T")


class AsyncClient:
    """Talk to an upload gateway from asyncio; the arguments are those of `Client`."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        parallel: int = DEFAULT_PARALLEL,
        retry: Retry | None = None,
        ssl_context: ssl.SSLContext | None = None,
        state_folder: StrPath | None = None,
    ) -> None:
        base, headers = api_options(url, key)
        verify = ssl_context if ssl_context is not None else httpx.create_ssl_context()
        self._retry = retry or Retry()
        self._api = httpx.AsyncClient(base_url=base, headers=headers, timeout=API_TIMEOUT, verify=verify)
        # File reads, hashing and sends of parts block, so they live on threads anyway: one engine, and the fast one.
        self._threads = Client(url, key, parallel=parallel, retry=retry, ssl_context=verify, state_folder=state_folder)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._api.aclose()
        self._threads.close()

    async def create(
        self,
        filename: str,
        size_bytes: int,
        *,
        content_type: str | None = None,
        part_size_bytes: int | None = None,
        metadata: Mapping[str, str] | None = None,
        part_checksums: calls.PartChecksums | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """Create an upload of *size_bytes* bytes; its `parts` are the first addresses to PUT to."""
        call = calls.create(
            filename,
            size_bytes,
            content_type=content_type,
            part_size_bytes=part_size_bytes,
            metadata=metadata,
            part_checksums=part_checksums,
            idempotency_key=idempotency_key or str(uuid.uuid4()),
        )
        return await self._run(exchange(call, self._retry))

    async def sign(self, upload_id: str, parts: Iterable[int] | Mapping[int, str]) -> tuple[SignedPart, ...]:
        """Sign parts anew: part numbers, or a mapping of part number to base64 SHA-256; up to 1,000."""
        return await self._run(exchange(calls.sign(upload_id, parts), self._retry))

    async def list_parts(self, upload_id: str) -> tuple[StoredPart, ...]:
        """List the parts the store holds."""
        return await self._run(exchange(calls.list_parts(upload_id), self._retry))

    async def complete(self, upload_id: str, etags: Mapping[int, str] | None = None) -> Upload:
        """Complete an upload, with etags by part number if known; what is not final yet is being checked: `wait`."""
        return await self._run(calls.complete(upload_id, etags, self._retry))

    async def get(self, upload_id: str) -> Upload:
        """Return an upload as it is now."""
        return await self._run(exchange(calls.get(upload_id), self._retry))

    async def wait(self, upload_id: str, timeout_seconds: float = DEFAULT_WAIT_SECONDS) -> Upload:
        """Return an upload once it is final, or as it is when the time is over."""
        return await self._run(calls.wait(upload_id, timeout_seconds, self._retry))

    async def list(
        self, *, state: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> UploadPage:
        """Return a page of uploads, newest first."""
        return await self._run(exchange(calls.list_uploads(state, cursor, limit), self._retry))

    async def abort(self, upload_id: str) -> None:
        """Give an upload up; again is fine."""
        return await self._run(exchange(calls.abort(upload_id), self._retry))

    async def download_url(self, upload_id: str) -> DownloadURL:
        """Return a short-lived address of a ready object."""
        return await self._run(exchange(calls.download_url(upload_id), self._retry))

    async def upload(
        self,
        source: StrPath | BinaryIO,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        part_size_bytes: int | None = None,
        checksums: bool = True,
        resume: bool = True,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: ProgressCallback | None = None,
    ) -> Upload:
        """Send a file as `Client.upload` does; *progress* is called in the event loop, cancelling the task stops it."""
        cancel = threading.Event()
        loop = asyncio.get_running_loop()

        def forward(event: Progress) -> None:
            if progress is not None and not cancel.is_set():
                loop.call_soon_threadsafe(progress, event)

        work = asyncio.create_task(
            asyncio.to_thread(
                self._threads.upload,
                source,
                filename=filename,
                content_type=content_type,
                metadata=metadata,
                part_size_bytes=part_size_bytes,
                checksums=checksums,
                resume=resume,
                wait_seconds=wait_seconds,
                progress=forward if progress is not None else None,
                cancel=cancel,
            )
        )
        return await _or_stop(work, cancel)

    async def _run(self, flow: Flow[T]) -> T:
        """Drive a conversation: send what it asks to send, wait where it asks to wait."""
        answer: Answer = None
        try:
            while True:
                step = flow.send(answer)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    answer = await self._send(step)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _send(self, step: Send) -> Answer:
        call = step.call
        try:
            return await self._api.request(
                call.method, call.path, json=call.json, params=call.params, headers=call.headers
            )
        except httpx.TransportError as exc:
            return exc
        except httpx.HTTPError as exc:
            raise ClientError(f"the gateway's answer cannot be read: {type(exc).__name__}") from exc


async def _or_stop(work: asyncio.Task[Upload], cancel: threading.Event) -> Upload:
    """Wait for the thread behind *work*; a cancelled wait stops it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        cancel.set()
        # The thread notices within moments; its outcome is of no interest any more, but must be collected.
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()
        raise
