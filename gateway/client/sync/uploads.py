# Generated from gateway/client/aio by `make sync-client`: change that file.
"""Offer the calls of `/v1/uploads` one by one, for programs that move the bytes themselves."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping

from gateway.client import calls
from gateway.client.flow import exchange
from gateway.client.models import DownloadURL, SignedPart, StoredPart, Upload, UploadPage, UploadState
from gateway.client.sync.driver import Driver

DEFAULT_WAIT_SECONDS = 600.0
# The gateway's own limit is 1,000: this is one moderate answer.
_PAGE_SIZE = 200


class UploadCalls:
    """Make the API's calls. Each is retried after resets, timeouts, 429 and 5xx, and may safely be repeated."""

    _driver: Driver

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
        """Create an upload of *size_bytes* bytes; its `parts` have the first URLs to PUT to."""
        call = calls.create(
            filename,
            size_bytes,
            content_type=content_type,
            part_size_bytes=part_size_bytes,
            metadata=metadata,
            part_checksums=part_checksums,
            idempotency_key=idempotency_key or str(uuid.uuid4()),
        )
        return self._driver.run(exchange(call, self._driver.endpoint))

    def sign(self, upload_id: str, parts: Iterable[int] | Mapping[int, str]) -> tuple[SignedPart, ...]:
        """Sign parts anew: part numbers, or a mapping of part number to base64 SHA-256; up to 1,000."""
        return self._driver.run(exchange(calls.sign(upload_id, parts), self._driver.endpoint))

    def list_parts(self, upload_id: str) -> tuple[StoredPart, ...]:
        """List the parts that the store holds; after completion, the parts of the file."""
        return self._driver.run(exchange(calls.list_parts(upload_id), self._driver.endpoint))

    def complete(self, upload_id: str, etags: Mapping[int, str] | None = None) -> Upload:
        """Complete an upload, with etags by part number if known. An upload that is not final is being checked."""
        return self._driver.run(calls.complete(upload_id, etags, self._driver.endpoint))

    def get(self, upload_id: str) -> Upload:
        """Return an upload in its present state."""
        return self._driver.run(exchange(calls.get(upload_id), self._driver.endpoint))

    def wait(self, upload_id: str, timeout_seconds: float = DEFAULT_WAIT_SECONDS) -> Upload:
        """Return an upload once it is final, or in its present state after *timeout_seconds*."""
        return self._driver.run(calls.wait(upload_id, timeout_seconds, self._driver.endpoint))

    def list(
        self, *, state: UploadState | str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> UploadPage:
        """Return one page of uploads, newest first; `iter_uploads` reads every page."""
        return self._driver.run(exchange(calls.list_uploads(state, cursor, limit), self._driver.endpoint))

    def iter_uploads(self, *, state: UploadState | str | None = None) -> Iterator[Upload]:
        """Yield every upload, newest first, and ask for the next page when it is needed."""
        cursor: str | None = None
        while True:
            page = self.list(state=state, cursor=cursor, limit=_PAGE_SIZE)
            for upload in page.uploads:
                yield upload
            cursor = page.next_cursor
            if cursor is None:
                return

    def abort(self, upload_id: str) -> None:
        """Abort an upload that is not complete; its parts are removed. It may be repeated."""
        return self._driver.run(exchange(calls.abort(upload_id), self._driver.endpoint))

    def download_url(self, upload_id: str) -> DownloadURL:
        """Return a short-lived URL of a ready file, to hand to a browser without an API key."""
        return self._driver.run(exchange(calls.download_url(upload_id), self._driver.endpoint))
