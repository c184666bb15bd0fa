"""Sign a short-lived download of a ready upload."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.content_disposition import attachment
from gateway.domain.errors import Forbidden, ObjectChanged, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.storage.confirm_absent import require_absent
from gateway.storage.errors import NoSuchKey, PreconditionFailed
from gateway.storage.presign import SignedRequest
from gateway.uploads.access import load


async def download(
    gateway: Gateway, principal: Principal, upload_id: UUID, *, method: Literal["GET", "HEAD"] = "GET"
) -> SignedRequest:
    """Return a presigned GET or HEAD that saves the file under its own name with the type that was observed.

    Type and disposition are signed into the URL, so that whatever the bytes hold, a browser saves and never runs them.
    Raises NotFound, WrongState unless ready, ObjectChanged when the store holds another content than was checked, and
    Forbidden for an upload token that was not made for downloads.
    """
    if principal.token is not None and not principal.token.allow_download:
        raise Forbidden("This upload token may not download.")
    upload = await load(gateway, principal, upload_id)
    if upload.state is not State.READY:
        raise WrongState(f"The upload is {upload.state}, not ready.", state=upload.state.value)
    if upload.on_disk:
        raise WrongState(
            "The file is kept on the gateway's disk, which nobody can download from.", state=upload.state.value
        )
    await _require_unchanged(gateway, upload)
    seconds = max(1, int(timedelta(seconds=gateway.policy.download_url_seconds).total_seconds()))
    return gateway.download_presigner.get_object(
        upload.object_key,
        seconds,
        response_content_disposition=attachment(upload.filename),
        response_content_type=upload.content_type,
        version_id=upload.observed_version_id,
        method=method,
    )


def can_download(principal: Principal, upload: Upload) -> bool:
    """Say whether `download` would give the principal a link, as far as the upload's row tells."""
    allowed = principal.token is None or principal.token.allow_download
    return allowed and upload.state is State.READY and not upload.on_disk


async def _require_unchanged(gateway: Gateway, upload: Upload) -> None:
    """Compare with the ETag that was checked: a store that lets others write (CVE-2026-41145) is not believed.

    A version that was checked is compared as well: MinIO lets a PUT that names one write into it.
    """
    version_id = upload.observed_version_id
    try:
        await gateway.store.head_object(upload.object_key, if_match=upload.observed_etag, version_id=version_id)
    except PreconditionFailed:
        raise ObjectChanged from None
    except NoSuchKey:
        await require_absent(gateway.store, upload.object_key, version_id=version_id)
        raise ObjectChanged from None
