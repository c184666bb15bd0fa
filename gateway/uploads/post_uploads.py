"""Create POST uploads, whose file arrives in one browser form, and complete them once the file is in the store."""

from __future__ import annotations

from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import Gone, PartsMismatch, TooLarge, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.storage.presign import PostForm
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.expiry import form_seconds

S3_MAX_FORM_SIZE = 5 * 1024**3
"""Bytes a store takes in one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""


async def create_post_upload(gateway: Gateway, principal: Principal, wanted: NewUpload) -> tuple[Upload, PostForm]:
    """Create an upload and sign the form that carries its file; raise the errors of `create`.

    The form writes to a separate key, and can be sent again, with other bytes, until it expires. The gateway checks
    and gives out a copy that no form and no URL can write to.
    """
    upload = (await create(gateway, principal, wanted)).upload
    assert upload.post_key is not None, "a POST upload has a key for its form"
    limit = min(upload.size_limit(gateway.policy.max_file_size), S3_MAX_FORM_SIZE)
    form = gateway.presigner.post_policy(
        upload.post_key,
        form_seconds(gateway),
        content_type=upload.declared_content_type or "application/octet-stream",
        max_size_bytes=upload.declared_size_bytes or limit,
        # The store refuses an empty file, so that the sender sees the error.
        min_size_bytes=upload.declared_size_bytes or 1,
    )
    return upload, form


async def complete_arrived(gateway: Gateway, upload_id: UUID) -> Upload | None:
    """Complete a POST upload if its file has arrived; None when there is no such upload. Raises Unavailable.

    The worker and the store's events call this. A revoked token does not matter: revoking it ends new uploads, not
    those whose file was sent.
    """
    upload = await gateway.uploads.find_unscoped(upload_id)
    if upload is None or upload.is_intent:
        return None
    if not upload.is_post_upload or upload.state is not State.UPLOADING or upload.expires_at <= gateway.now():
        return upload
    try:
        return await complete(gateway, Principal(upload.tenant_id, "gateway"), upload_id)
    except (Gone, PartsMismatch, TooLarge, WrongState):
        # The file has not arrived, was sent again just now, or the upload ended meanwhile.
        return await gateway.uploads.find_unscoped(upload_id)
