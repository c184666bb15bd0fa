"""List the parts of an upload as the store holds them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from gateway.database import uploads
from gateway.domain.errors import Gone, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State
from gateway.storage.errors import NoSuchUpload
from gateway.uploads.gateway import Gateway
from gateway.uploads.load import load
from gateway.uploads.measure import measure


@dataclass(frozen=True, slots=True)
class ListedPart:
    """One part: size in bytes, etag without quotes, base64 SHA-256 where the store keeps it."""

    part_number: int
    size_bytes: int
    etag: str
    checksum_sha256: str | None


async def list_parts(gateway: Gateway, principal: Principal, upload_id: UUID) -> list[ListedPart]:
    """Return every part, the newest of each number, in order; once completed, the parts that were assembled.

    A client that lost the answer to complete lists before it tries again, so the answer must outlive the parts.
    Raises NotFound, Gone once expired, WrongState once aborted, TooLarge when the parts are more than is accepted,
    Unavailable.
    """
    upload = await load(gateway, principal, upload_id)
    if upload.state is State.EXPIRED:
        raise Gone(state=upload.state.value)
    if upload.state is State.ABORTED or upload.multipart_upload_id is None:
        raise WrongState("The upload was aborted.", state=upload.state.value)
    if upload.state is State.UPLOADING:
        try:
            stored = await measure(gateway, principal, upload)
            return [ListedPart(p.part_number, p.size_bytes, p.etag, p.checksum_sha256) for p in stored]
        except NoSuchUpload:
            pass
    assembly = await uploads.find_assembly(gateway.database, upload.id) or []
    return [ListedPart(*part) for part in assembly]
