"""Complete an upload for clients that know two answers only: it is done, or it failed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from gateway.context import Gateway
from gateway.domain.errors import FileRejected, TooLarge, TypeRejected, Unavailable
from gateway.domain.parts import ClientPart
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.uploads.access import wait_until
from gateway.uploads.complete import complete

WAIT_SECONDS = 240.0
"""Browsers drop a request after five minutes. A longer validation continues, and a repeated request gets its result."""

_TYPE_CODES = frozenset(
    {"type_not_recognised", "extension_mismatch", "nothing_to_play", "no_audio", "too_short", "too_long"}
)


async def complete_fully(
    gateway: Gateway, principal: Principal, upload_id: UUID, named: Sequence[ClientPart] | None
) -> Upload:
    """Return the upload once it is ready; raise why it is not.

    Raises TooLarge, TypeRejected or FileRejected with the reason for a person when the file was refused, Unavailable
    when validation is still running, and the errors of `complete`. It may be repeated: the answer stays the same.
    """
    upload = await complete(gateway, principal, upload_id, named)
    if not upload.is_final:
        upload = await wait_until(gateway, principal, upload_id, seconds=WAIT_SECONDS)
    if upload.state is State.READY:
        return upload
    rejection = upload.rejection
    if rejection is None:
        raise Unavailable("The file is still being checked. Try again.")
    if rejection.code == "file_too_large":
        raise TooLarge(rejection.detail, reason=rejection.code)
    kind = TypeRejected if rejection.code in _TYPE_CODES else FileRejected
    raise kind(rejection.detail, reason=rejection.code)
