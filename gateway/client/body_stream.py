"""Send bytes of unknown length through the gateway: a pipe, an iterator, a file object that cannot seek."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx

from gateway.client import calls
from gateway.client.engine import UploadDeps, UploadOptions
from gateway.client.errors import (
    ClientError,
    SourceError,
    UploadCancelled,
    problem_of,
)
from gateway.client.flow import RETRIED_STATUS, Pause, not_a_gateway, unreachable
from gateway.client.models import Upload
from gateway.client.progress import Meter
from gateway.client.source import CHUNK_SIZE, StrPath, explain, name_of, plain_name

PATH = "/upload/stream"
# A stream cannot be read twice. This much of its beginning stays in memory: until more was read, a request that failed
# (a gateway that restarts, or one that is `busy`) is sent again.
REPLAY_BYTES = 1024 * 1024
_REPORT_SECONDS = 0.1
_SEND_AGAIN = "A stream cannot be read twice: start it again, or send it from a file."


class BodyReader:
    """Read a stream in chunks for one request body, and again from the start while `can_replay`."""

    def __init__(self, chunks: Iterator[bytes], meter: Meter, cancel: threading.Event) -> None:
        self._chunks = chunks
        self._meter = meter
        self._cancel = cancel
        self._kept: list[bytes] = []
        self._replayed: Iterator[bytes] = iter(())
        self._rest = b""
        self._reported_at = 0.0
        self.read_bytes = 0

    @property
    def can_replay(self) -> bool:
        """Tell whether every byte that was read is still in memory."""
        return self.read_bytes <= REPLAY_BYTES

    def rewind(self) -> None:
        """Start again with the bytes that were kept; raise ClientError when the stream has gone too far."""
        if not self.can_replay:
            raise ClientError("the stream was cut", advice=_SEND_AGAIN)
        self._replayed, self._rest = iter(list(self._kept)), b""

    def read(self, size: int = CHUNK_SIZE) -> bytes:
        """Return up to *size* bytes, nothing at the end; raise UploadCancelled when the caller asked to stop."""
        if self._cancel.is_set():
            raise UploadCancelled
        data = self._rest or next(self._replayed, b"") or self._next()
        self._rest = data[size:]
        self._report()
        return data[:size]

    def _next(self) -> bytes:
        for item in self._chunks:
            data = _as_bytes(item)
            if data:
                self.read_bytes += len(data)
                if self.can_replay:
                    self._kept.append(data)
                else:
                    self._kept.clear()
                return data
        return b""

    def _report(self) -> None:
        self._meter.sent(1, self.read_bytes)
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            self._meter.report()


class BodyStream:
    """Send one stream as a form, and wait for the end of its check."""

    def __init__(
        self, deps: UploadDeps, api: httpx.Client, headers: dict[str, str], cancel: threading.Event | None
    ) -> None:
        self._deps = deps
        self._api = api
        self._headers = headers
        self._cancel = cancel or threading.Event()

    def send(self, chunks: Iterator[bytes], filename: str, options: UploadOptions, meter: Meter) -> Upload:
        """Return the upload in a final state, or in its last state after the wait; see `Client.upload`."""
        meter.enter("sending")
        reader = BodyReader(chunks, meter, self._cancel)
        upload_id = self._upload_id_of(self._post(reader, filename, options, meter))
        meter.upload_id, meter.size_bytes = upload_id, reader.read_bytes
        meter.enter("checking")
        upload = self._deps.perform(
            calls.wait(upload_id, options.wait_seconds, self._deps.endpoint), lambda step: self._pause(step, meter)
        )
        meter.enter("done")
        return cast("Upload", upload)

    def _post(self, reader: BodyReader, filename: str, options: UploadOptions, meter: Meter) -> httpx.Response:
        endpoint, failures = self._deps.endpoint, 0
        while True:
            answer = self._post_once(reader, filename, options)
            failures += 1
            if isinstance(answer, httpx.Response) and answer.status_code not in RETRIED_STATUS:
                return answer
            response = answer if isinstance(answer, httpx.Response) else None
            if failures >= endpoint.retry.attempts or not reader.can_replay:
                raise self._failure(answer, reader)
            reader.rewind()
            self._pause(Pause(endpoint.retry.delay(failures, response), endpoint.address), meter)

    def _post_once(
        self, reader: BodyReader, filename: str, options: UploadOptions
    ) -> httpx.Response | httpx.TransportError:
        # Not guessed from the name: operating systems disagree, and the gateway looks at the bytes.
        content_type = options.content_type or "application/octet-stream"
        files: dict[str, Any] = {"file": (filename, reader, content_type)}
        try:
            return self._api.post(
                f"{self._deps.endpoint.address}{PATH}",
                files=files,
                data=dict(options.metadata or {}),
                headers=self._headers,
                timeout=self._deps.store_timeout,
                follow_redirects=False,
            )
        except httpx.TransportError as exc:
            return exc

    def _failure(self, answer: httpx.Response | httpx.TransportError, reader: BodyReader) -> ClientError:
        address = self._deps.endpoint.address
        error = unreachable(address, answer) if not isinstance(answer, httpx.Response) else problem_of(answer, address)
        if not reader.can_replay:
            error.advice = _SEND_AGAIN
        return error

    def _upload_id_of(self, response: httpx.Response) -> str:
        """Return the id of the upload that a response is about; a file that was rejected has one, too."""
        address = self._deps.endpoint.address
        try:
            body = response.json()
        except ValueError as exc:
            if response.status_code >= 400:
                raise problem_of(response, address) from exc
            raise not_a_gateway(address, response) from exc
        is_rejected = response.status_code == 422 and body.get("code") == "file_rejected"
        if response.status_code >= 400 and not (is_rejected and "upload_id" in body):
            raise problem_of(response, address)
        try:
            return str(body["upload_id"])
        except (KeyError, TypeError) as exc:
            raise not_a_gateway(address, response) from exc

    def _pause(self, step: Pause, meter: Meter) -> None:
        if step.waiting_for is not None:
            meter.retried(step.waiting_for)
        meter.report()
        if self._cancel.wait(step.seconds):
            raise UploadCancelled


def chunks_of(source: StrPath | BinaryIO | Iterable[bytes], name: str | None) -> tuple[Iterator[bytes], str]:
    """Return the chunks of a stream and the name to declare; raise SourceError for a stream without a name."""
    if isinstance(source, (str, Path)) or hasattr(source, "__fspath__"):
        path = Path(cast("StrPath", source))
        return _file_chunks(path), name or plain_name(path.name)
    if hasattr(source, "read"):
        file = cast("BinaryIO", source)
        return _read_chunks(file), name or name_of(file)
    if name is None:
        raise SourceError("an iterator has no name", advice="Pass `filename`.")
    return iter(source), name


def _file_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _read_chunks(file)
    except OSError as exc:
        raise SourceError(f"{plain_name(path.name)}: {explain(exc)}", advice="Check the path.") from exc


def _read_chunks(file: BinaryIO) -> Iterator[bytes]:
    # `read` waits for a full chunk. `read1` returns the bytes that a pipe holds now.
    read = getattr(file, "read1", file.read)
    try:
        while data := read(CHUNK_SIZE):
            yield data
    except OSError as exc:
        raise SourceError(f"the stream cannot be read: {explain(exc)}", advice="Check its other end.") from exc


def _as_bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item)
    raise SourceError(
        f"the stream gave {type(item).__name__}, not bytes", advice="Give bytes, or open it in mode 'rb'."
    )
