"""Name every way the client can fail.

ClientError
├── GatewayProblem        the gateway answered with a problem; `code` is the word to switch on
│   ├── InvalidRequest        400, 422
│   ├── NotAuthorised         401, 403
│   ├── UploadNotFound        404
│   ├── WrongState            409
│   │   └── PartsMismatch     the store's parts are not the plan's
│   ├── UploadExpired         410
│   ├── TooLarge              413
│   └── GatewayUnavailable    429, 5xx, after every retry
├── Unreachable           no answer, after every retry
├── StoreRefused          the store does not take a part
├── SourceError           the file cannot be read as it should
│   └── FileChanged           it was changed while it was being sent
├── AlreadyUploading      another process sends this file at this moment
└── UploadCancelled       the caller asked to stop

No message carries an address, a key or a signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class ClientError(Exception):
    """The upload did not go through."""


class GatewayProblem(ClientError):
    """The gateway answered with a problem (RFC 9457)."""

    def __init__(self, status: int, code: str, title: str, detail: str, fields: Mapping[str, Any]) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.fields = fields
        super().__init__(f"{detail or title} ({code})")


class InvalidRequest(GatewayProblem):
    """The request is wrong as it stands, for instance its file extension is not allowed."""


class NotAuthorised(GatewayProblem):
    """The API key is missing, wrong, revoked, or may not do that."""


class UploadNotFound(GatewayProblem):
    """There is no such upload for this API key."""


class WrongState(GatewayProblem):
    """The upload is not in a state that allows this."""


class PartsMismatch(WrongState):
    """The parts in the store are not the parts of the plan."""


class UploadExpired(GatewayProblem):
    """The upload's time is over."""


class TooLarge(GatewayProblem):
    """The file is larger than the gateway takes."""


class GatewayUnavailable(GatewayProblem):
    """The gateway could not answer, and went on so through every retry."""


class Unreachable(ClientError):
    """Nothing answered, and went on so through every retry."""


class StoreRefused(ClientError):
    """The store does not take a part."""

    def __init__(self, part_number: int, status: int, code: str) -> None:
        self.part_number = part_number
        self.status = status
        self.code = code
        super().__init__(f"the store refused part {part_number}: {status} {code}".rstrip())


class SourceError(ClientError):
    """The file cannot be read as it should."""


class FileChanged(SourceError):
    """The file was changed while it was being sent; nothing of it was kept."""

    def __init__(self) -> None:
        super().__init__("the file was changed while it was being sent; send it again when it is complete")


class AlreadyUploading(ClientError):
    """Another process sends this file with these options at this moment."""

    def __init__(self) -> None:
        super().__init__("another process is sending this file; wait for it, or turn resuming off")


class UploadCancelled(ClientError):
    """The caller asked to stop; the same call goes on where it stopped."""

    def __init__(self) -> None:
        super().__init__("cancelled; the same call goes on where it stopped")


_BY_CODE: Mapping[str, type[GatewayProblem]] = {"parts_mismatch": PartsMismatch}
_BY_STATUS: Mapping[int, type[GatewayProblem]] = {
    400: InvalidRequest,
    401: NotAuthorised,
    403: NotAuthorised,
    404: UploadNotFound,
    409: WrongState,
    410: UploadExpired,
    413: TooLarge,
    422: InvalidRequest,
    429: GatewayUnavailable,
}


def problem_of(response: httpx.Response) -> GatewayProblem:
    """Return the most specific problem for an answer of 400 and above; code `http_…` where it is no document."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    code = str(body.get("code") or f"http_{response.status_code}")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(response.status_code)
    if kind is None:
        kind = GatewayUnavailable if response.status_code >= 500 else GatewayProblem
    title = str(body.get("title") or response.reason_phrase)
    known = {"type", "title", "status", "detail", "code"}
    fields = {name: value for name, value in body.items() if name not in known}
    return kind(response.status_code, code, title, str(body.get("detail") or ""), fields)
