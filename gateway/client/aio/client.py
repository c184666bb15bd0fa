"""Offer the gateway to Python programs: upload, download, watch, and every call of the API."""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import BinaryIO, Self

import httpx

from gateway.client.aio.driver import AsyncDriver
from gateway.client.aio.events import TENANT_PATH, follow, upload_path
from gateway.client.aio.reading import AsyncRemoteFile, open_file
from gateway.client.aio.upload_tokens import AsyncUploadTokens
from gateway.client.aio.uploads import DEFAULT_WAIT_SECONDS, AsyncUploadCalls
from gateway.client.aio.webhooks import AsyncWebhooks
from gateway.client.download import Download
from gateway.client.event_stream import Event
from gateway.client.flow import Retry
from gateway.client.models import Inspection, Upload
from gateway.client.progress import Progress, ProgressCallback
from gateway.client.source import Readable, StrPath
from gateway.client.sync.driver import Timeout
from gateway.client.transfers import FileToSend, Outcome, failure_of, upload_options

DEFAULT_PARALLEL = 4
DEFAULT_FILES_AT_ONCE = 4


class AsyncClient(AsyncUploadCalls):
    """Talk to an upload gateway.

    Args:
        url: Address of the gateway. Default: GATEWAY_URL, else http://127.0.0.1:8080. A final `/` or `/v1` is ignored.
        key: API key or upload token, sent to the gateway only, never to the store. Default: GATEWAY_API_KEY.
        parallel: Parts in flight at once, over all uploads of this client. Each needs about 1 MiB of memory.
        retry: How often to try, and how long to wait between tries.
        timeout: Timeout of requests to the gateway, seconds or an `httpx.Timeout`. Default: 60 s, 10 s to connect.
        store_timeout: Timeout of requests to the store. Default: 60 s, 180 s for an answer, 10 s to connect.
        ssl_context: Certificates to trust, for the gateway and the store. Default: those of httpx.
        proxy: Proxy for the gateway and the store. Default: HTTP_PROXY and the like, but never for loopback addresses.
        http_client: Your own httpx client, which you close yourself; `ssl_context` and `proxy` are then not used.
        store_client: Your own httpx client for the bytes of files, which are moved by threads.  # async only
        state_folder: Where unfinished uploads are recorded. Default: the user's folder for state.

    Raises:
        NotConfigured: the API key is missing, or the address is unusable.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        parallel: int = DEFAULT_PARALLEL,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        store_timeout: Timeout | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | httpx.Proxy | None = None,
        http_client: httpx.AsyncClient | None = None,
        store_client: httpx.Client | None = None,  # async only
        state_folder: StrPath | None = None,
    ) -> None:
        self._driver = AsyncDriver(
            url,
            key,
            parallel=parallel,
            retry=retry,
            timeout=timeout,
            store_timeout=store_timeout,
            ssl_context=ssl_context,
            proxy=proxy,
            http_client=http_client,
            store_client=store_client,  # async only
            state_folder=state_folder,
        )
        self.upload_tokens = AsyncUploadTokens(self._driver)
        self.webhooks = AsyncWebhooks(self._driver)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._driver.aclose()

    @property
    def address(self) -> str:
        """Return the address of the gateway."""
        return self._driver.endpoint.address

    async def upload(
        self,
        source: Readable | AsyncIterable[bytes],
        *,
        filename: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        part_size_bytes: int | None = None,
        checksums: bool = True,
        resume: bool = True,
        inspect: bool = True,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: ProgressCallback | None = None,
        cancel: threading.Event | None = None,
    ) -> Upload:
        """Send a file and return its upload: `ready`, `rejected` (see `rejection`), or not final after *wait_seconds*.

        Args:
            source: A path, bytes, or a binary file object, which is read from its current position. Its parts go
                straight to the store. A pipe, an iterator or an async iterator of bytes goes through the gateway, and
                cannot be resumed.
            filename: Name to declare. Default: the file's own name.
            content_type: Type to declare. Default: none; the gateway looks at the bytes in any case.
            metadata: Kept with the upload and returned with it.
            part_size_bytes: Size of parts, bytes. Default: the gateway plans them.
            checksums: Sign each part's SHA-256: the store then refuses bytes that changed on the way.
            resume: Resume an unfinished upload of the same path, gateway, key and options.
            inspect: Ask before anything is created whether the gateway would accept the file, with a few kilobytes of
                it. A file that it would reject is not sent: the result is `rejected` and its `upload_id` empty. A
                question that fails does not stop the upload, and a stream is not asked about.
            wait_seconds: Longest wait for the check after the last byte, seconds.
            progress: Called in the calling thread or event loop, at most ten times a second.
            cancel: Set it from elsewhere to stop with UploadCancelled.

        Raises:
            ClientError: see its tree in `gateway.client.errors`. Except after FileChanged, the same call resumes an
                upload from a path, also after KeyboardInterrupt.
        """
        return await self._driver.upload(
            FileToSend(source, filename),
            upload_options(
                content_type,
                metadata,
                part_size_bytes,
                checksums=checksums,
                inspect=inspect,
                wait_seconds=wait_seconds,
            ),
            resume=resume,
            progress=progress,
            cancel=cancel,
        )

    async def upload_many(
        self,
        files: Iterable[Readable | FileToSend],
        *,
        files_at_once: int = DEFAULT_FILES_AT_ONCE,
        metadata: Mapping[str, str] | None = None,
        checksums: bool = True,
        resume: bool = True,
        inspect: bool = True,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: Callable[[FileToSend, Progress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> AsyncIterator[Outcome]:
        """Send many files, a few at once, and yield an `Outcome` for each as soon as it ends.

        The failure of one file does not end the others: its outcome has `error`. Files are taken from *files* when
        they can be sent, so that *files* may be a generator of any length. `FileToSend` gives one file a name, type or
        separate metadata, which replaces *metadata*. The other arguments are those of `upload`. Closing the iterator
        stops the files that are being sent, and sets *cancel*.
        """
        stop = cancel or threading.Event()

        async def send(given: Readable | FileToSend) -> Outcome:
            file = given if isinstance(given, FileToSend) else FileToSend(given)
            try:
                upload = await self._driver.upload(
                    file,
                    upload_options(
                        file.content_type,
                        {**(metadata or {}), **file.metadata},
                        checksums=checksums,
                        inspect=inspect,
                        wait_seconds=wait_seconds,
                    ),
                    resume=resume,
                    progress=None if progress is None else partial(progress, file),
                    cancel=stop,
                )
            except Exception as exc:  # noqa: BLE001 - an error of one file must not end the others
                return Outcome(file, error=failure_of(exc))
            return Outcome(file, upload=upload)

        async for outcome in self._driver.run_many(files, send, files_at_once, stop.set):
            yield outcome

    async def inspect(self, source: Readable, *, filename: str | None = None) -> Inspection:
        """Ask whether an upload of this file would be accepted; its name, size and a few kilobytes are sent.

        *source* is a path, bytes or a seekable file object, which afterwards stands where it stood before.

        Raises:
            ClientError: the file cannot be read, or the gateway does not answer.
        """
        return await self._driver.inspect(FileToSend(source, filename))

    async def download(
        self,
        upload_id: str,
        destination: StrPath | BinaryIO = ".",
        *,
        overwrite: bool = False,
        progress: ProgressCallback | None = None,
        cancel: threading.Event | None = None,
    ) -> Download:
        """Fetch a ready file and check its bytes against the digests that the store keeps of its parts.

        Args:
            upload_id: The upload.
            destination: A path, a folder (the file gets the upload's name), or a binary file object. For a path, the
                same call after a failure resumes where the last one ended.
            overwrite: Replace a file that exists.
            progress: Called in the calling thread or event loop, at most ten times a second.
            cancel: Set it from elsewhere to stop with UploadCancelled.

        Raises:
            ClientError: WrongState while the upload is not ready, ContentMismatch for wrong bytes, DestinationError
                where the file exists or cannot be written.
        """
        return await self._driver.download(
            upload_id, destination, overwrite=overwrite, progress=progress, cancel=cancel
        )

    def open_url(self, upload_id: str) -> AbstractAsyncContextManager[AsyncRemoteFile]:
        """Open a ready file for reading straight from the store: iterate over it, or call its `read`."""
        return open_file(self._driver, upload_id)

    def watch(self, upload_id: str, *, last_event_id: str | None = None) -> AsyncIterator[Event]:
        """Yield the events of an upload, from its creation (or after *last_event_id*) to its final state, each once."""
        return follow(self._driver, upload_path(upload_id), last_event_id=last_event_id, until_final=True)

    def events(self, *, last_event_id: str | None = None) -> AsyncIterator[Event]:
        """Yield the events of all uploads of the tenant, from now on (or after *last_event_id*), without end."""
        return follow(self._driver, TENANT_PATH, last_event_id=last_event_id, until_final=False)
