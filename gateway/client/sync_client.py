"""Offer the gateway to synchronous programs; threads may share one client."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import httpx

from gateway.client import calls
from gateway.client.engine import Engine, Means, Plan
from gateway.client.errors import ClientError
from gateway.client.flow import Answer, Flow, Pause, Retry, Send, exchange
from gateway.client.models import DownloadURL, SignedPart, StoredPart, Upload, UploadPage
from gateway.client.progress import Meter, ProgressCallback
from gateway.client.resume import Note, default_folder, note_name, open_note
from gateway.client.source import Source, StrPath
from gateway.client.workers import Slots

T = TypeVar("T")

DEFAULT_PARALLEL = 4
DEFAULT_WAIT_SECONDS = 600.0
# `complete` works for 20 s inside the request and `Prefer: wait` holds one for 25: more than either.
API_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# A store may flush a part of 512 MiB to disk before it answers.
STORE_TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=180.0, pool=None)


def api_options(url: str, key: str) -> tuple[httpx.URL, dict[str, str]]:
    """Return base address and headers for a gateway; raise ValueError where *url* is no http(s) address."""
    base = httpx.URL(url)
    if base.scheme not in {"http", "https"} or not base.host:
        raise ValueError("the gateway's address must begin with http:// or https://")
    return base, {"Authorization": f"Bearer {key}", "Accept": "application/json"}


class Client:
    """Talk to an upload gateway.

    Args:
        url: Address of the gateway, e.g. `https://uploads.example.com`.
        key: API key, sent to the gateway only, never to the store.
        parallel: Parts in flight at once, over all uploads of this client. Each holds about 1 MiB in memory.
        retry: How patiently to try again.
        ssl_context: Certificates to trust, for the gateway and the store. Default: httpx's.
        state_folder: Where unfinished uploads are remembered. Default: the user's state folder.
    """

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
        if parallel < 1:
            raise ValueError("parallel must be 1 or more")
        base, headers = api_options(url, key)
        verify = ssl_context if ssl_context is not None else httpx.create_ssl_context()
        self._retry = retry or Retry()
        self._identity = (str(base).rstrip("/"), hashlib.sha256(key.encode()).hexdigest())
        self._state_folder = Path(state_folder) if state_folder is not None else default_folder()
        self._api = httpx.Client(base_url=base, headers=headers, timeout=API_TIMEOUT, verify=verify)
        self._store = httpx.Client(
            timeout=STORE_TIMEOUT,
            verify=verify,
            # A part that follows a redirect would be sent twice, and its signature is for one address.
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=parallel),
        )
        self._means = Means(self._perform, self._store, self._retry, Slots(parallel), parallel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._api.close()
        self._store.close()

    def create(
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
        return self._run(exchange(call, self._retry))

    def sign(self, upload_id: str, parts: Iterable[int] | Mapping[int, str]) -> tuple[SignedPart, ...]:
        """Sign parts anew: part numbers, or a mapping of part number to base64 SHA-256; up to 1,000."""
        return self._run(exchange(calls.sign(upload_id, parts), self._retry))

    def list_parts(self, upload_id: str) -> tuple[StoredPart, ...]:
        """List the parts the store holds."""
        return self._run(exchange(calls.list_parts(upload_id), self._retry))

    def complete(self, upload_id: str, etags: Mapping[int, str] | None = None) -> Upload:
        """Complete an upload, with etags by part number if known; what is not final yet is being checked: `wait`."""
        return self._run(calls.complete(upload_id, etags, self._retry))

    def get(self, upload_id: str) -> Upload:
        """Return an upload as it is now."""
        return self._run(exchange(calls.get(upload_id), self._retry))

    def wait(self, upload_id: str, timeout_seconds: float = DEFAULT_WAIT_SECONDS) -> Upload:
        """Return an upload once it is final, or as it is when the time is over."""
        return self._run(calls.wait(upload_id, timeout_seconds, self._retry))

    def list(self, *, state: str | None = None, cursor: str | None = None, limit: int | None = None) -> UploadPage:
        """Return a page of uploads, newest first."""
        return self._run(exchange(calls.list_uploads(state, cursor, limit), self._retry))

    def abort(self, upload_id: str) -> None:
        """Give an upload up; again is fine."""
        return self._run(exchange(calls.abort(upload_id), self._retry))

    def download_url(self, upload_id: str) -> DownloadURL:
        """Return a short-lived address of a ready object."""
        return self._run(exchange(calls.download_url(upload_id), self._retry))

    def upload(
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
        cancel: threading.Event | None = None,
    ) -> Upload:
        """Send a file and return its upload: `ready`, `rejected` (see `rejection`), or not final after *wait_seconds*.

        Args:
            source: A path, or a seekable binary file object (which cannot be resumed by another process).
            filename: Name to declare. Default: the file's own.
            content_type: Type to declare. Default: none, the gateway looks at the bytes anyway.
            metadata: Kept with the upload and handed out with it.
            part_size_bytes: Size of parts, bytes. Default: the gateway plans.
            wait_seconds: Longest wait for the check after the last byte, seconds.
            checksums: Sign each part's SHA-256, so that the store refuses bytes changed on the way.
            resume: Go on with an unfinished upload of the same file, gateway, key and options.
            progress: Called in this thread, at most ten times a second.
            cancel: Set it from elsewhere to stop with UploadCancelled.

        Raises:
            ClientError: see its tree in `gateway.client.errors`. Except after FileChanged the same call goes on where
                it stopped, and so it does after KeyboardInterrupt.
        """
        plan = Plan(content_type, metadata, part_size_bytes, checksums, wait_seconds)
        opened = Source.open(source, filename)
        try:
            meter = Meter(opened.size_bytes, progress)
            if not resume or opened.path is None:
                return Engine(self._means, opened, plan, Note(), meter, cancel).run()
            with open_note(self._state_folder, self._note_name(opened, plan)) as note:
                return Engine(self._means, opened, plan, note, meter, cancel).run()
        finally:
            opened.close()

    def _note_name(self, source: Source, plan: Plan) -> str:
        assert source.path is not None
        options = (plan.content_type, dict(plan.metadata or {}), plan.part_size_bytes, plan.checksums)
        return note_name(self._identity, str(source.path.resolve()), source.filename, source.fingerprint, options)

    def _run(self, flow: Flow[T]) -> T:
        return self._perform(flow, time.sleep)

    def _perform(self, flow: Flow[T], pause: Callable[[float], None]) -> T:
        """Drive a conversation: send what it asks to send, wait where it asks to wait."""
        answer: Answer = None
        try:
            while True:
                step = flow.send(answer)
                if isinstance(step, Pause):
                    pause(step.seconds)
                    answer = None
                else:
                    answer = self._send(step)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, step: Send) -> Answer:
        call = step.call
        try:
            return self._api.request(call.method, call.path, json=call.json, params=call.params, headers=call.headers)
        except httpx.TransportError as exc:
            return exc
        except httpx.HTTPError as exc:
            raise ClientError(f"the gateway's answer cannot be read: {type(exc).__name__}") from exc
