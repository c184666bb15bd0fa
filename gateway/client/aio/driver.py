"""Do the I/O of the asynchronous client: drive flows, open streams, run uploads. Compare `sync/driver.py`."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import BinaryIO, TypeVar

import httpx

from gateway.client.address import API_TIMEOUT, STORE_TIMEOUT, api_headers, http_options, make_http, read_key
from gateway.client.download import Download
from gateway.client.engine import UploadOptions
from gateway.client.errors import UploadCancelled
from gateway.client.event_stream import EVENT_TIMEOUT
from gateway.client.flow import Answer, Flow, Pause, Retry, Send
from gateway.client.models import Inspection, Upload
from gateway.client.progress import Progress, ProgressCallback
from gateway.client.source import StrPath
from gateway.client.sync.driver import Driver, Timeout, timeout_of, unreadable
from gateway.client.transfer import presigned_request
from gateway.client.transfers import FileToSend

T = TypeVar("T")
Item = TypeVar("Item")

_CHECK_SECONDS = 0.2
_NO_ITEM = object()


class AsyncDriver:
    """Hold the connections of one client.

    API calls run in the event loop. Uploads and downloads read, hash and write files, which blocks: they run on threads
    of a synchronous driver.
    """

    def __init__(
        self,
        url: str | None,
        key: str | None,
        *,
        parallel: int,
        retry: Retry | None,
        timeout: Timeout | None,
        store_timeout: Timeout | None,
        ssl_context: ssl.SSLContext | None,
        proxy: str | httpx.Proxy | None,
        http_client: httpx.AsyncClient | None,
        store_client: httpx.Client | None,
        state_folder: StrPath | None,
    ) -> None:
        self._threads = Driver(
            url,
            key,
            parallel=parallel,
            retry=retry,
            timeout=timeout,
            store_timeout=store_timeout,
            ssl_context=ssl_context,
            proxy=proxy,
            http_client=store_client,
            state_folder=state_folder,
        )
        self.endpoint = self._threads.endpoint
        self._headers = api_headers(read_key(key))
        self._timeout = API_TIMEOUT if timeout is None else httpx.Timeout(timeout)
        self._store_timeout = STORE_TIMEOUT if store_timeout is None else httpx.Timeout(store_timeout)
        self._owned = http_client is None
        self._http = http_client or make_http(httpx.AsyncClient, http_options(proxy, ssl_context, parallel))

    async def aclose(self) -> None:
        """Close the connections, unless they belong to the caller's own HTTP clients."""
        if self._owned:
            await self._http.aclose()
        self._threads.close()

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
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
            return await self._http.request(
                call.method,
                f"{self.endpoint.address}{call.path}",
                json=call.json,
                params=call.params,
                headers={**self._headers, **(call.headers or {})},
                timeout=timeout_of(call, self._timeout),
                follow_redirects=False,
            )
        except httpx.TransportError as exc:
            return exc
        except httpx.HTTPError as exc:
            raise unreadable(self.endpoint.address, exc) from exc

    @asynccontextmanager
    async def open_events(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Open an event stream of the gateway; raises httpx.TransportError."""
        url = f"{self.endpoint.address}{path}"
        request = self._http.build_request("GET", url, headers={**self._headers, **headers}, timeout=EVENT_TIMEOUT)
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()

    @asynccontextmanager
    async def open_store(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Open a presigned URL of the store; raises httpx.TransportError."""
        request = presigned_request(self._http, "GET", url, headers, timeout=self._store_timeout)
        response = await self._http.send(request, stream=True, follow_redirects=False, auth=None)
        try:
            yield response
        finally:
            await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def upload(
        self,
        file: FileToSend,
        options: UploadOptions,
        *,
        resume: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Upload:
        """Send one file on a thread; *progress* is called in the event loop."""
        stop = cancel or threading.Event()
        if isinstance(file.source, AsyncIterable):
            pulled = _pull(file.source, asyncio.get_running_loop(), stop)
            file = dataclasses.replace(file, source=pulled)
        work = partial(
            self._threads.upload, file, options, resume=resume, progress=_in_loop(progress, stop), cancel=stop
        )
        return await _on_thread(work, stop)

    async def inspect(self, file: FileToSend) -> Inspection:
        """Ask for the verdict on one file, on a thread: its bytes are read from a disk."""
        return await asyncio.to_thread(self._threads.inspect, file)

    async def download(
        self,
        upload_id: str,
        destination: StrPath | BinaryIO,
        *,
        overwrite: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Download:
        """Fetch one file on a thread; *progress* is called in the event loop."""
        stop = cancel or threading.Event()
        work = partial(
            self._threads.download,
            upload_id,
            destination,
            overwrite=overwrite,
            progress=_in_loop(progress, stop),
            cancel=stop,
        )
        return await _on_thread(work, stop)

    async def run_many(
        self, items: Iterable[Item], work: Callable[[Item], Awaitable[T]], limit: int, cancel: Callable[[], None]
    ) -> AsyncIterator[T]:
        """Yield the results of *work* in the order in which they come, with up to *limit* at once; see `run_each`."""
        waiting = iter(items)
        running: set[asyncio.Future[T]] = set()
        try:
            while True:
                while len(running) < limit and (item := next(waiting, _NO_ITEM)) is not _NO_ITEM:
                    running.add(asyncio.ensure_future(work(item)))  # type: ignore[arg-type]  # not _NO_ITEM
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        except BaseException:
            cancel()
            raise
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _in_loop(progress: ProgressCallback | None, stop: threading.Event) -> ProgressCallback | None:
    """Return a callback for a thread that calls *progress* in the running event loop."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def forward(event: Progress) -> None:
        if not stop.is_set():
            loop.call_soon_threadsafe(progress, event)

    return forward


async def _on_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """Run *work* on a thread; a cancelled wait sets *stop*, which ends the work."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        # The thread ends within moments. Its result is not needed, but an unread exception would be logged.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def _pull(source: AsyncIterable[bytes], loop: asyncio.AbstractEventLoop, stop: threading.Event) -> Iterator[bytes]:
    """Yield the items of an async iterable on another thread than its event loop's."""
    items = aiter(source)

    async def following() -> bytes | None:
        return await anext(items, None)

    while True:
        future = asyncio.run_coroutine_threadsafe(following(), loop)
        while True:
            try:
                item = future.result(_CHECK_SECONDS)
                break
            except TimeoutError:
                if future.done():
                    raise
                if stop.is_set():
                    future.cancel()
                    raise UploadCancelled from None
        if item is None:
            return
        yield item
