"""Move files on threads, for the sync and the async client alike."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import httpx

from gateway.client.body_stream import BodyStream, chunks_of
from gateway.client.download import Download, Downloader
from gateway.client.engine import Engine, UploadDeps, UploadOptions
from gateway.client.errors import ClientError, SourceError
from gateway.client.inspection import FileFacts, inspect
from gateway.client.models import Inspection, Upload
from gateway.client.progress import Meter, ProgressCallback
from gateway.client.resume import ResumeRecord, default_folder, open_record, record_name
from gateway.client.source import Bytes, Readable, Source, StrPath, is_seekable, plain_name


@dataclass(frozen=True, slots=True)
class FileToSend:
    """Name one file for `upload_many`, with its name, type and metadata."""

    source: Readable | AsyncIterable[bytes]
    filename: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how one file of `upload_many` ended: its upload (final, or still being checked) or its error."""

    file: FileToSend
    upload: Upload | None = None
    error: ClientError | None = None

    @property
    def is_ready(self) -> bool:
        """Tell whether the file was checked and can be used."""
        return self.upload is not None and self.upload.is_ready


def failure_of(exc: Exception) -> ClientError:
    """Return a ClientError unchanged; wrap any other exception in one."""
    if isinstance(exc, ClientError):
        return exc
    error = ClientError(f"{type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error


def upload_options(
    content_type: str | None,
    metadata: Mapping[str, str] | None,
    part_size_bytes: int | None = None,
    *,
    checksums: bool,
    inspect: bool,
    wait_seconds: float,
) -> UploadOptions:
    """Return the options of one upload; text that JSON cannot carry (file names in metadata) is made plain."""
    plain = {plain_name(name): plain_name(value) for name, value in (metadata or {}).items()}
    return UploadOptions(content_type or None, plain, part_size_bytes, checksums, inspect, wait_seconds)


class Transfers:
    """Upload and download in the calling thread, with threads for the parts; safe to use from several threads."""

    def __init__(
        self, deps: UploadDeps, api: httpx.Client, headers: dict[str, str], state_folder: StrPath | None
    ) -> None:
        self._deps = deps
        self._api = api
        self._headers = headers
        self._state_folder = Path(state_folder) if state_folder is not None else default_folder()
        self._identity = (deps.endpoint.address, hashlib.sha256(headers["Authorization"].encode()).hexdigest())

    def upload(
        self,
        file: FileToSend,
        options: UploadOptions,
        *,
        resume: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Upload:
        """Send one file by parts, or a stream through the gateway; see `Client.upload`."""
        name = None if file.filename is None else plain_name(file.filename)
        if not is_seekable(file.source):
            chunks, stream_name = chunks_of(cast("BinaryIO", file.source), name)
            stream = BodyStream(self._deps, self._api, self._headers, cancel)
            return stream.send(chunks, stream_name, options, Meter(None, progress))
        source = Source.open(cast("StrPath | Bytes | BinaryIO", file.source), name)
        with contextlib.closing(source):
            meter = Meter(source.size_bytes, progress)
            if not resume or source.path is None:
                return Engine(self._deps, source, options, ResumeRecord(), meter, cancel).run()
            with open_record(self._state_folder, self._record_name(source, options)) as record:
                return Engine(self._deps, source, options, record, meter, cancel).run()

    def inspect(self, file: FileToSend) -> Inspection:
        """Ask for the verdict on one file; see `Client.inspect`."""
        if not is_seekable(file.source):
            raise SourceError("a stream cannot be inspected", advice="Pass a path, bytes or a seekable file.")
        name = None if file.filename is None else plain_name(file.filename)
        source = Source.open(cast("StrPath | Bytes | BinaryIO", file.source), name)
        try:
            flow = inspect(FileFacts(source.filename, source.size_bytes, source.read_range), self._deps.endpoint)
            inspection: Inspection = self._deps.perform(flow, lambda step: time.sleep(step.seconds))
            return inspection
        finally:
            source.rewind()

    def download(
        self,
        upload_id: str,
        destination: StrPath | BinaryIO,
        *,
        overwrite: bool,
        progress: ProgressCallback | None,
        cancel: threading.Event | None,
    ) -> Download:
        """Fetch one file; see `Client.download`."""
        downloader = Downloader(self._deps, Meter(None, progress), cancel)
        if hasattr(destination, "write"):
            return downloader.to_file(upload_id, cast("BinaryIO", destination))
        return downloader.to_path(upload_id, destination, overwrite=overwrite)

    def _record_name(self, source: Source, options: UploadOptions) -> str:
        """Return the name of the resume record: the same file, size, gateway, key and options find it again.

        The modification time is not part of the name: a file that was only touched is resumed, and every part that the
        store holds is compared with the file in any case.
        """
        assert source.path is not None
        asked = (options.content_type, dict(options.metadata or {}), options.part_size_bytes, options.checksums)
        return record_name(self._identity, str(source.path.resolve()), source.filename, source.size_bytes, asked)
