"""Fetch a ready file to a path or a file object: resume after a cut, and check the bytes."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import httpx

from gateway.client import calls
from gateway.client.address import origin_of
from gateway.client.digests import Checked, PartDigests
from gateway.client.engine import UploadDeps
from gateway.client.errors import (
    ContentMismatch,
    DestinationError,
    GatewayProblem,
    StoreRefused,
    UploadCancelled,
)
from gateway.client.flow import Call, Pause, exchange, unreachable
from gateway.client.models import StoredPart, Upload
from gateway.client.progress import Meter
from gateway.client.resume import lock_file
from gateway.client.source import CHUNK_SIZE, StrPath, explain, plain_name
from gateway.client.transfer import MAX_FORBIDDEN, Verdict, error_code, judge, presigned_request, read_bounded

T = TypeVar("T")

# Characters that a file name cannot hold on Windows, or that separate folders.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_REPORT_SECONDS = 0.1
# A part with wrong bytes is fetched once more: the bytes may have changed on the way.
_MAX_MISMATCHES = 2


@dataclass(frozen=True, slots=True)
class Download:
    """Describe a finished download: its path (None for a file object), its size, and how its bytes were checked.

    `checked` is `sha256` or `md5` where the store keeps digests of the parts, and `size` where it keeps none.
    """

    upload: Upload
    path: Path | None
    size_bytes: int
    resumed_bytes: int
    checked: Checked


class Downloader:
    """Fetch one file in the calling thread."""

    def __init__(self, deps: UploadDeps, meter: Meter, cancel: threading.Event | None) -> None:
        self._deps = deps
        self._meter = meter
        self._cancel = cancel or threading.Event()
        self._reported_at = 0.0

    def to_path(self, upload_id: str, path: StrPath, *, overwrite: bool) -> Download:
        """Fetch to a path, or into a folder under the upload's own name; see `Client.download`.

        The bytes go to a hidden `.part` file beside the path. The same call resumes from it.
        """
        upload, digests = self._prepare(upload_id)
        target = Path(path)
        if target.is_dir():
            target /= safe_name(upload.filename)
        if target.exists() and not overwrite:
            raise DestinationError(
                f"{plain_name(target)} exists", advice="Choose another name, or allow to overwrite it."
            )
        partial = target.with_name(f".{upload_id}.part")
        try:
            with partial.open("a+b") as file:
                if not lock_file(file):
                    raise DestinationError("another process is downloading this file", advice="Wait for it.")
                resumed_bytes = self._resume(file, upload, digests)
                self._fetch(upload, file, digests)
            partial.replace(target)
        except OSError as exc:
            raise DestinationError(f"{plain_name(target)}: {explain(exc)}", advice="Check folder and disk.") from exc
        self._meter.enter("done")
        return Download(upload, target, upload.size_bytes or 0, resumed_bytes, digests.kind)

    def to_file(self, upload_id: str, file: BinaryIO) -> Download:
        """Fetch to a binary file object, from its current position."""
        upload, digests = self._prepare(upload_id)
        try:
            self._fetch(upload, file, digests)
            file.flush()
        except OSError as exc:
            raise DestinationError(f"the file cannot be written: {explain(exc)}", advice="Check the disk.") from exc
        self._meter.enter("done")
        return Download(upload, None, upload.size_bytes or 0, 0, digests.kind)

    def _prepare(self, upload_id: str) -> tuple[Upload, PartDigests]:
        self._meter.enter("starting")
        upload = self._call(calls.get(upload_id))
        # Asked for now, so that a file that is not ready or not in the store fails before anything is written.
        self._call(calls.download_url(upload_id))
        self._meter.upload_id, self._meter.size_bytes = upload_id, upload.size_bytes
        parts: tuple[StoredPart, ...] = ()
        with contextlib.suppress(GatewayProblem):
            parts = self._call(calls.list_parts(upload_id))
        if sum(part.size_bytes for part in parts) != upload.size_bytes:
            parts = ()
        return upload, PartDigests(parts)

    def _resume(self, file: BinaryIO, upload: Upload, digests: PartDigests) -> int:
        """Keep the parts that an earlier call fetched and that are correct; return their size in bytes."""
        self._meter.enter("resuming")
        file.seek(0)
        left = upload.size_bytes or 0
        while left and (data := file.read(min(CHUNK_SIZE, left))):
            self._check()
            left -= len(data)
            if not digests.add(data):
                break
        digests.restart()
        file.truncate(digests.end)
        file.seek(digests.end)
        if digests.end:
            self._meter.done(1, digests.end, resumed=True)
        return digests.end

    def _fetch(self, upload: Upload, file: BinaryIO, digests: PartDigests) -> None:
        """Fetch the bytes from `digests.end` on, in as many requests as it takes."""
        self._meter.enter("downloading")
        size_bytes, position = upload.size_bytes or 0, digests.end
        failures = mismatches = 0
        while position < size_bytes:
            before = position
            answer, position, correct = self._fetch_once(upload, file, digests, position)
            failures = 1 if position > before else failures + 1
            if not correct:
                mismatches += 1
                if mismatches >= _MAX_MISMATCHES or not file.seekable():
                    address = origin_of(self._deps.endpoint.address)
                    raise ContentMismatch("the bytes are not those that were checked", address=address, advice=_REPORT)
                position -= _rewind(file, position, digests)
            elif position < size_bytes:
                self._pause_after(answer, failures)

    def _fetch_once(
        self, upload: Upload, file: BinaryIO, digests: PartDigests, position: int
    ) -> tuple[_Answer, int, bool]:
        """Send one request; return its answer, the new position, and whether the bytes are correct so far."""
        link = self._call(calls.download_url(upload.upload_id))
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={position}-"} if position else {})
        request = presigned_request(self._deps.store, "GET", link.url, headers, timeout=self._deps.store_timeout)
        origin = origin_of(link.url)
        response = None
        try:
            response = self._deps.store.send(request, stream=True, follow_redirects=False, auth=None)
            if response.status_code not in {200, 206}:
                return _Answer(origin, read_bounded(response)), position, True
            # A server that ignores Range sends the file from its start.
            unwanted = position if response.status_code == 200 else 0
            # No chunk size is given: with one, httpx drops the bytes of an incomplete chunk when a connection is cut.
            for data in response.iter_raw():
                self._check()
                wanted, unwanted = data[unwanted:], max(0, unwanted - len(data))
                wanted = wanted[: (upload.size_bytes or 0) - position]
                file.write(wanted)
                position += len(wanted)
                self._count(position)
                if not digests.add(wanted):
                    return _Answer(origin, response), position, False
            return _Answer(origin, response), position, True
        except httpx.TransportError as exc:
            return _Answer(origin, exc), position, True
        finally:
            if response is not None:
                response.close()

    def _pause_after(self, answer: _Answer, failures: int) -> None:
        """Wait before the next request; raise where another one cannot help."""
        retry, result = self._deps.endpoint.retry, answer.result
        verdict = judge(result)
        forbidden = verdict is Verdict.RENEW_URL and failures >= MAX_FORBIDDEN
        if verdict is Verdict.REFUSED or forbidden or failures >= retry.attempts:
            if isinstance(result, httpx.Response):
                raise StoreRefused(0, result.status_code, error_code(result), address=answer.address)
            raise unreachable(answer.address, result, "the store") from result
        response = result if isinstance(result, httpx.Response) else None
        self._pause(Pause(retry.delay(failures, response), answer.address))

    def _call(self, call: Call[T]) -> T:
        result: T = self._deps.perform(exchange(call, self._deps.endpoint), self._pause)
        return result

    def _pause(self, step: Pause) -> None:
        if step.waiting_for is not None:
            self._meter.retried(step.waiting_for)
        self._meter.report()
        if self._cancel.wait(step.seconds):
            raise UploadCancelled

    def _check(self) -> None:
        if self._cancel.is_set():
            raise UploadCancelled

    def _count(self, position: int) -> None:
        self._meter.sent(1, position)
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            self._meter.report()


@dataclass(frozen=True, slots=True)
class _Answer:
    """Hold the store's address with its response or the transport error."""

    address: str
    result: httpx.Response | httpx.TransportError


_REPORT = "Report it to the operator: the store may have lost or changed the file."


def _rewind(file: BinaryIO, position: int, digests: PartDigests) -> int:
    """Go back to the end of the last correct part; return the number of bytes gone back."""
    back = position - digests.end
    file.seek(-back, os.SEEK_CUR)
    file.truncate()
    digests.restart()
    return back


def safe_name(filename: str) -> str:
    """Return a file name that stays in its folder: no separators, control characters, `..` or drive."""
    name = _UNSAFE.sub("_", filename).strip().strip(".") or "download"
    # Most file systems take 255 bytes. The end is kept for its extension.
    return name.encode()[-200:].decode(errors="ignore")
