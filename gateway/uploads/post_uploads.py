"""Start an upload that comes as one browser form."""

from __future__ import annotations

from uuid import UUID

from gateway.context import Gateway
from gateway.database import uploads
from gateway.domain.errors import Gone, PartsMismatch, TooLarge, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.storage.presign import PostForm
from gateway.uploads.access import load
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.expiry import form_seconds

S3_MAX_FORM_SIZE = 5 * 1024**3
"""Bytes a store takes in one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""


async def create_post_upload(gateway: Gateway, principal: Principal, wanted: NewUpload) -> tuple[Upload, PostForm]:
    """Create an upload and sign the form that carries its file; raise what `create` raises.

    The form writes to a key of its own. The same form may be sent again while it lives, with other bytes: what is
    checked and given out is a copy that no form and no URL can write to.
    """
    upload = (await create(gateway, principal, wanted)).upload
    assert upload.post_key is not None, "created as a form"
    limit = min(upload.size_limit(gateway.policy.max_file_size), S3_MAX_FORM_SIZE)
    form = gateway.presigner.post_policy(
        upload.post_key,
        form_seconds(gateway),
        content_type=upload.declared_content_type or "application/octet-stream",
        max_size_bytes=upload.declared_size_bytes or limit,
        # An empty file is refused by the store, before the eyes of who sends it.
        min_size_bytes=upload.declared_size_bytes or 1,
    )
    return upload, form


async def complete_if_arrived(gateway: Gateway, principal: Principal, upload_id: UUID) -> Upload:
    """Return an upload, finished by this very question if its form's file has come; raise NotFound, Unavailable."""
    upload = await load(gateway, principal, upload_id)
    if not upload.is_post_upload or upload.state is not State.UPLOADING or upload.expires_at <= gateway.now():
        return upload
    try:
        return await complete(gateway, principal, upload_id)
    except (Gone, PartsMismatch, TooLarge, WrongState):
        # Not there yet, sent again this moment, refused or expired meanwhile: as it stands now.
        return await load(gateway, principal, upload_id)


async def complete_arrived(gateway: Gateway, upload_id: UUID) -> Upload | None:
    """Look for one form on nobody's behalf: for the worker, and for the store's own events. None for no such upload."""
    upload = await uploads.find_unscoped(gateway.database, upload_id)
    if upload is None:
        return None
    # A token's bearer is not asked: revoking it ends what it may start, not what has come.
    return await complete_if_arrived(gateway, Principal(upload.tenant_id, "gateway"), upload_id)
