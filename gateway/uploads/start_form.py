"""Start an upload that comes as one browser form."""

from __future__ import annotations

from gateway.domain.principal import Principal
from gateway.domain.upload import Upload
from gateway.storage.presign import PostForm
from gateway.uploads.create import NewUpload, create
from gateway.uploads.form_times import form_seconds
from gateway.uploads.gateway import Gateway

S3_MAX_FORM_SIZE = 5 * 1024**3
"""Bytes a store takes in one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""


async def start_form(gateway: Gateway, principal: Principal, wanted: NewUpload) -> tuple[Upload, PostForm]:
    """Create an upload and sign the form that carries its file; raise what `create` raises.

    The form writes to a key of its own. The same form may be sent again while it lives, with other bytes: what is
    checked and given out is a copy that no form and no URL can write to.
    """
    upload = (await create(gateway, principal, wanted)).upload
    assert upload.form_key is not None, "created as a form"
    limit = min(upload.size_limit(gateway.policy.max_file_size), S3_MAX_FORM_SIZE)
    form = gateway.presigner.post_policy(
        upload.form_key,
        form_seconds(gateway),
        content_type=upload.declared_content_type or "application/octet-stream",
        max_size_bytes=upload.declared_size_bytes or limit,
        # An empty file is refused by the store, before the eyes of who sends it.
        min_size_bytes=upload.declared_size_bytes or 1,
    )
    return upload, form
