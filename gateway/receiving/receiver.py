"""Receive the file of one upload: hold the claim, report progress, and clean up after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from gateway.context import Gateway
from gateway.database import receiving, uploads
from gateway.domain.errors import DatabaseUnavailable, GatewayError, Gone, Malformed, TooLarge, WrongState
from gateway.domain.parts import ClientPart
from gateway.domain.principal import Principal
from gateway.domain.progress import smooth_rate
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.storage.errors import StoreUnavailable
from gateway.streaming.buffers import Buffers
from gateway.streaming.file_target import StreamingFileTarget
from gateway.streaming.limits import WAIT_SHARE
from gateway.streaming.parts_target import StreamingPartsTarget
from gateway.streaming.send_queue import StoreNotResponding
from gateway.uploads.clean_up import clean_up
from gateway.uploads.complete import complete
from gateway.uploads.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""Time between two progress reports, seconds; watchers get at most one a second."""

_FILE_STORED_STATES = frozenset({State.COMPLETING, State.VALIDATING, State.READY})


class ByteSink(Protocol):
    """The destination of received bytes; sizes in bytes."""

    size_bytes: int

    @property
    def sha256(self) -> str | None:
        """Return the hexadecimal SHA-256 of the received bytes, if requested."""
        ...

    async def astart(self) -> None:
        """Begin."""
        ...

    async def adata_received(self, chunk: bytes) -> None:
        """Write one piece; wait while disk or store are slower than the sender."""
        ...

    async def afinish(self) -> None:
        """End the file. When it returns, every byte is stored."""
        ...

    async def aclose(self) -> None:
        """Close files and connections, also after a failure."""
        ...


class UploadReceiver:
    """One upload while this process receives its file.

    With *ends_with_request* the upload is aborted when this request fails. Otherwise it stays open, and the client can
    send the file again.
    """

    def __init__(self, gateway: Gateway, upload: Upload, *, ends_with_request: bool) -> None:
        self.upload = upload
        self.token = uuid4()
        self.limit = upload.size_limit(gateway.policy.max_file_size)
        self._gateway = gateway
        self._ends_with_request = ends_with_request
        self._sink: StreamingFileTarget | StreamingPartsTarget | None = None
        self._heartbeat = Heartbeat(
            self._renew, lease_seconds=gateway.policy.lease_seconds, interval_seconds=REPORT_SECONDS
        )
        self._reported, self._reported_at = 0, 0.0
        self._rate: float | None = None

    async def claim_and_open_sink(
        self, buffers: Buffers, *, part_size_bytes: int | None = None, with_sha256: bool = True
    ) -> ByteSink:
        """Claim the upload and return the destination of its bytes; raise WrongState if another process has it."""
        begun = await receiving.claim(
            self._gateway.database,
            self.upload.id,
            token=self.token,
            seconds=self._gateway.policy.lease_seconds,
            part_size_bytes=part_size_bytes,
            ends_with_request=self._ends_with_request,
        )
        if not begun:
            raise WrongState("The file of this upload is being received already.", state=self.upload.state.value)
        self._reported_at = asyncio.get_running_loop().time()
        self._heartbeat.start()
        self._sink = self._open_sink(buffers, part_size_bytes, with_sha256=with_sha256)
        return self._sink

    def _open_sink(
        self, buffers: Buffers, part_size_bytes: int | None, *, with_sha256: bool
    ) -> StreamingFileTarget | StreamingPartsTarget:
        limits = self._gateway.receiving
        if self.upload.path is not None:
            return StreamingFileTarget(
                Path(self.upload.path), chunk_size=limits.chunk_size, with_sha256=with_sha256, validator=self._check
            )
        return StreamingPartsTarget(
            self._send_part,
            buffers,
            part_size_bytes=part_size_bytes or limits.part_size,
            with_sha256=with_sha256,
            validator=self._check,
        )

    async def _send_part(self, part_number: int, pieces: list[bytes], size_bytes: int) -> str:
        key, multipart_upload_id = self.upload.object_key, self.upload.multipart_upload_id
        assert multipart_upload_id is not None, "what is kept in the store was opened there"
        timeout = self._gateway.receiving.store_seconds
        try:
            async with self._gateway.receiving.send_queue.admit():
                return await self._gateway.store.upload_part(
                    key,
                    multipart_upload_id,
                    part_number,
                    pieces,
                    size_bytes=size_bytes,
                    timeout_seconds=timeout * WAIT_SHARE,
                    total_wait_seconds=timeout,
                )
        except StoreNotResponding as exc:
            raise StoreUnavailable(operation="UploadPart", message="no answer to the parts before it") from exc

    def _check(self, chunk: bytes) -> None:
        """Stop receiving at the size limit, or when the upload was aborted, expired or claimed by another process."""
        received = self._sink.size_bytes if self._sink else 0
        if received + len(chunk) > self.limit:
            raise TooLarge(f"The file is larger than {self.limit} bytes.", max_size_bytes=self.limit)
        if self._heartbeat.lost:
            raise WrongState("The upload was aborted or has expired.", state=State.ABORTED.value)
        if self._heartbeat.overdue:
            # Another process may have claimed the upload, or the sweep may have expired it.
            raise DatabaseUnavailable("The right to receive this file could not be renewed. Send it again.")

    async def _renew(self) -> bool | None:
        """Save progress and renew the right to receive, if bytes arrived or a quarter of the lease has passed."""
        now = asyncio.get_running_loop().time()
        seconds = now - self._reported_at
        received = self._sink.size_bytes if self._sink else 0
        if received == self._reported and seconds < self._gateway.policy.lease_seconds / 4:
            return None
        rate = smooth_rate(self._reported, self._rate, seconds, received)
        if not await self._save_progress(received, notify_watchers=True, bytes_per_second=rate):
            return False
        self._reported, self._rate, self._reported_at = received, rate, now
        return True

    async def _save_progress(
        self, received: int, *, notify_watchers: bool, bytes_per_second: float | None = None
    ) -> bool:
        return await receiving.save_progress(
            self._gateway.database,
            self.upload.id,
            token=self.token,
            seconds=self._gateway.policy.lease_seconds,
            received_bytes=received,
            ends_with_request=self._ends_with_request,
            notify_watchers=notify_watchers,
            bytes_per_second=bytes_per_second,
        )

    async def add_metadata(self, metadata: Mapping[str, str]) -> None:
        """Add the fields of the form that came after its file."""
        await receiving.add_metadata(self._gateway.database, self.upload.id, metadata, token=self.token)

    async def complete(self, principal: Principal) -> Upload:
        """Complete the upload after its last byte; raise Gone when this process no longer holds the claim."""
        assert self._sink is not None, "the caller opened the sink first"
        await self._heartbeat.stop()
        if self._sink.size_bytes == 0:
            raise Malformed("The file is empty.")
        # No notification: watchers get the `completing` event next.
        if not await self._save_progress(self._sink.size_bytes, notify_watchers=False):
            raise Gone("The upload was aborted or has expired.", state=State.EXPIRED.value)
        named = None
        if isinstance(self._sink, StreamingPartsTarget):
            named = [ClientPart(number, etag) for number, etag in enumerate(self._sink.etags, 1)]
        return await complete(self._gateway, principal, self.upload.id, named, receiver_token=self.token)

    async def close(self) -> None:
        """Stop the heartbeat and close the destination."""
        await self._heartbeat.stop()
        if self._sink is not None:
            await self._sink.aclose()

    async def abort_or_release(self, reason: BaseException) -> Upload | None:
        """Clean up after a failure: abort an upload that nobody can continue, and release the claim of any other.

        Returns the upload when all its bytes are stored: another process will complete it. Runs to its end even when
        the request is cancelled. The sweep repeats steps that the database or the store refused.
        """
        with suppress(GatewayError):
            upload = await asyncio.shield(self._gateway.work.start(self._abort_or_release(reason)))
            return upload if upload.state in _FILE_STORED_STATES else None
        return None

    async def _abort_or_release(self, reason: BaseException) -> Upload:
        await self.close()
        if not self._ends_with_request:
            await receiving.release(self._gateway.database, self.upload.id, token=self.token)
            return self.upload
        data = {"code": "stream_interrupted"}
        if isinstance(reason, GatewayError):
            data = {"code": reason.code, "detail": reason.detail}
        change = Transition(from_state=State.UPLOADING, to_state=State.ABORTED, cleanup_pending=True, data=data)
        aborted = await self._gateway.uploads.apply(self.upload.id, change)
        if aborted is None:
            return await uploads.find_unscoped(self._gateway.database, self.upload.id) or self.upload
        await clean_up(self._gateway, aborted)
        return aborted
