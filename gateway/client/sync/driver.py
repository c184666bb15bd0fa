"""Do the I/O of the synchronous client: drive flows, open streams, run uploads. Compare `aio/driver.py`."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

import httpx

from gateway.client.address import (
    API_TIMEOUT,
    STORE_TIMEOUT,
    api_headers,
    http_options,
    make_http,
    read_address,
    read_key,
)
from gateway.client.download import Download
from gateway.client.engine import UploadDeps, UploadOptions
from gateway.client.errors import ClientError, NotConfigured
from gateway.client.event_stream import EVENT_TIMEOUT
from gateway.client.flow import Answer, Call, Endpoint, Flow, Pause, Retry, Send
from gateway.client.models import Inspection, Upload
from gateway.client.progress import ProgressCallback
from gateway.client.source import StrPath
from gateway.client.transfer import presigned_request
from gateway.client.transfers import FileToSend, Transfers
from gateway.client.workers import PartLimit, run_each

T = TypeVar("T")
Item = TypeVar("Item")
Timeout = float | httpx.Timeout


class Driver:
    """Hold the connections of one client; safe to use from several threads."""

    def __init__(
        self,
        url: str | None,
        key: str | None,
        *,
        parallel: int = 1,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        store_timeout: Timeout | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | httpx.Proxy | None = None,
        http_client: httpx.Client | None = None,
        state_folder: StrPath | None = None,
    ) -> None:
        if parallel < 1:
            raise NotConfigured("parallel must be 1 or more")
        self.endpoint = Endpoint(read_address(url), retry or Retry())
        self._headers = api_headers(read_key(key))
        self._timeout = API_TIMEOUT if timeout is None else httpx.Timeout(timeout)
        self._owned = http_client is None
        self._http = http_client or make_http(httpx.Client, http_options(proxy, ssl_context, parallel))
        deps = UploadDeps(
            self.perform,
            self._http,
            STORE_TIMEOUT if store_timeout is None else httpx.Timeout(store_timeout),
            self.endpoint,
            PartLimit(parallel),
            parallel,
        )
        self._deps = deps
        # How to wait between two connections of an event stream; an attribute, so that a caller may wait otherwise.
        self.sleep: Callable[[float], None] = time.sleep
        self._transfers = Transfers(deps, self._http, self._headers, state_folder)

    def close(self) -> None:
        """Close the connections, unless they belong to the caller's own HTTP client."""
        if self._owned:
            self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
        return self.perform(flow, lambda step: time.sleep(step.seconds))

    def perform(self, flow: Flow[T], pause: Callable[[Pause], None]) -> T:
        """Drive a flow: send what it asks to send, and call *pause* where it asks to wait."""
        answer: Answer = None
        try:
            while True:
                step = flow.send(answer)
                if isinstance(step, Pause):
                    pause(step)
                    answer = None
                else:
                    answer = self._send(step)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, step: Send) -> Answer:
        call = step.call
        try:
            return self._http.request(
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

    @contextmanager
    def open_events(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open an event stream of the gateway; raises httpx.TransportError."""
        url = f"{self.endpoint.address}{path}"
        request = self._http.build_request("GET", url, headers={**self._headers, **headers}, timeout=EVENT_TIMEOUT)
        response = self._http.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            response.close()

    @contextmanager
    def open_store(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open a presigned URL of the store; raises httpx.TransportError."""
        request = presigned_request(self._http, "GET", url, headers, timeout=self._deps.store_timeout)
        response = self._http.send(request, stream=True, follow_redirects=False, auth=None)
        try:
            yield response
        finally:
            response.close()

    def upload(
        self,
        file: FileToSend,
        options: UploadOptions,
        *,
        resume: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Upload:
        """Send one file."""
        return self._transfers.upload(file, options, resume=resume, progress=progress, cancel=cancel)

    def inspect(self, file: FileToSend) -> Inspection:
        """Ask for the verdict on one file."""
        return self._transfers.inspect(file)

    def download(
        self,
        upload_id: str,
        destination: StrPath | BinaryIO,
        *,
        overwrite: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Download:
        """Fetch one file."""
        return self._transfers.download(upload_id, destination, overwrite=overwrite, progress=progress, cancel=cancel)

    def run_many(
        self, items: Iterable[Item], work: Callable[[Item], T], limit: int, cancel: Callable[[], None]
    ) -> Iterator[T]:
        """Yield the results of *work* in the order in which they come, with up to *limit* at once; see `run_each`."""
        return run_each(items, work, threads=limit, cancel=cancel)


def timeout_of(call: Call[T], timeout: httpx.Timeout) -> httpx.Timeout:
    """Return the timeout of a call: a call that the gateway answers late may wait longer than *timeout* says."""
    if call.longest_seconds is not None:
        return httpx.Timeout(min(call.longest_seconds, timeout.read or call.longest_seconds))
    read = timeout.read
    if read is not None:
        read = max(read, call.read_seconds)
    return httpx.Timeout(connect=timeout.connect, read=read, write=timeout.write, pool=timeout.pool)


def unreadable(address: str, error: httpx.HTTPError) -> ClientError:
    """Return the error for an answer that HTTP cannot decode."""
    return ClientError(f"the answer cannot be read ({type(error).__name__})", address=address, advice="Try again.")
