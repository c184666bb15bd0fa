"""Receive the file of a created upload as a raw body: `curl -T`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import FileMismatch, WrongState
from gateway.domain.parts import plan_parts
from gateway.domain.principal import Principal
from gateway.domain.upload import Upload
from gateway.receiving.receive_form import check_sha256, require_accepted
from gateway.receiving.receiver import UploadReceiver
from gateway.uploads.access import load, require_uploading
from gateway.uploads.expiry import extend_expiry


async def receive_body(
    gateway: Gateway,
    principal: Principal,
    upload_id: UUID,
    body: AsyncIterable[bytes],
    *,
    length: int | None,
    sha256: str | None = None,
) -> Upload:
    """Receive the file of an upload that was created with its size, and complete it.

    The gateway cuts the parts anew, of a size that it can hold in memory. After a failure the upload is open as before,
    and the file can be sent again. Raises NotFound, Gone, WrongState, FileMismatch when the body is longer or shorter
    than declared, and what `receive_form` raises.
    """
    upload = await extend_expiry(gateway, await load(gateway, principal, upload_id))
    require_uploading(gateway, upload)
    declared = upload.declared_size_bytes
    if declared is None or upload.plan is None or upload.part_checksums is not None:
        raise WrongState("Only an upload created with its size and without part checksums takes a raw body.")
    if length is not None and length != declared:
        raise FileMismatch(f"Content-Length is {length}; {declared} bytes were declared.")
    part_size = plan_parts(declared, gateway.policy.part_bounds, gateway.receiving.part_size).part_size_bytes
    async with gateway.receiving.buffer_pool.admit() as buffers:
        receiver = UploadReceiver(gateway, upload, ends_with_request=False)
        sink = await receiver.claim_and_open_sink(buffers, part_size_bytes=part_size, with_sha256=sha256 is not None)
        try:
            await sink.astart()
            async for chunk in body:
                if sink.size_bytes + len(chunk) > declared:
                    raise FileMismatch(f"The body is longer than the {declared} bytes that were declared.")
                await sink.adata_received(chunk)
            if sink.size_bytes != declared:
                raise FileMismatch(f"The body has {sink.size_bytes} bytes; {declared} were declared.")
            await sink.afinish()
            if sha256 is not None:
                await check_sha256(sha256, sink, upload)
            return require_accepted(await receiver.complete(principal))
        except BaseException as exc:
            await receiver.abort_or_release(exc)
            raise
        finally:
            await receiver.close()
