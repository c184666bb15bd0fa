"""Define every error that the client raises.

ClientError
├── NotConfigured         the client has no usable address, key or option
├── GatewayProblem        the gateway answered with a problem; `code` is the word to switch on
│   ├── InvalidRequest        400, 415, 422
│   ├── NotAuthorised         401, 403
│   ├── UploadNotFound        404
│   ├── WrongState            409
│   │   └── PartsMismatch     the store's parts are not the parts of the plan
│   ├── UploadExpired         410
│   ├── TooLarge              413
│   └── GatewayUnavailable    429, 5xx, after every retry
├── Unreachable           no answer, after every retry
├── StoreRefused          the store does not accept a part or does not hand out a file
├── SourceError           the file cannot be read
│   └── FileChanged           the file changed while it was being sent
├── DestinationError      the downloaded file cannot be written
├── ContentMismatch       the downloaded bytes are not the bytes that were checked
├── InvalidWebhook        the webhook message is not signed with this secret, or is too old
├── AlreadyUploading      another process is sending this file
└── UploadCancelled       the caller asked to stop

Each error has `address` (the server it is about, without path, query, user or password) and `advice` (what to do).
No message contains a key, a signature or the path of a presigned URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

REQUEST_ID_HEADER = "x-request-id"


class ClientError(Exception):
    """An operation of the client failed. `address` names the server, `advice` says what to do; both may be empty."""

    def __init__(self, message: str = "", *, address: str = "", advice: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").partition(".")[0]
        self.address = address
        self.advice = advice
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return address, message and advice as one line."""
        text = f"{self.address}: {self.message}" if self.address else self.message
        return f"{text.removesuffix('.')}. {self.advice}" if self.advice else text


class NotConfigured(ClientError, ValueError):
    """The client has no usable address, key or option."""


class GatewayProblem(ClientError):
    """The gateway answered with a problem (RFC 9457)."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        fields: Mapping[str, Any],
        *,
        address: str = "",
        advice: str = "",
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.fields = fields
        self.request_id = request_id
        super().__init__(f"{(detail or title).removesuffix('.')} ({code})", address=address, advice=advice)


class InvalidRequest(GatewayProblem):
    """The request itself is wrong, for instance the file extension is not allowed."""


class NotAuthorised(GatewayProblem):
    """The API key is missing, wrong or revoked, or it does not permit this request."""


class UploadNotFound(GatewayProblem):
    """This API key has no upload, token or webhook with this id."""


class WrongState(GatewayProblem):
    """The upload is not in a state that allows this request."""


class PartsMismatch(WrongState):
    """The parts in the store are not the parts of the plan."""


class UploadExpired(GatewayProblem):
    """The upload has expired."""


class TooLarge(GatewayProblem):
    """The file is larger than the gateway accepts."""


class GatewayUnavailable(GatewayProblem):
    """The gateway could not answer, in every try."""


class Unreachable(ClientError):
    """The server did not answer, in every try."""


class StoreRefused(ClientError):
    """The store does not accept a part, or (`part_number` is 0) does not hand out a file."""

    def __init__(self, part_number: int, status: int, code: str, *, address: str = "") -> None:
        self.part_number = part_number
        self.status = status
        self.code = code
        what = f"part {part_number}" if part_number else "the download"
        message = f"the store refused {what}: {status} {code}".rstrip()
        super().__init__(message, address=address, advice=_STORE_ADVICE.get(code, _ANY_STORE_ADVICE))


class SourceError(ClientError):
    """The file cannot be read."""


class FileChanged(SourceError):
    """The file was changed while it was being sent. The upload was aborted."""

    def __init__(self, what: str = "") -> None:
        message = "the file was changed while it was being sent"
        super().__init__(f"{message}: {what}" if what else message, advice="Send it again when it is complete.")


class DestinationError(ClientError):
    """The downloaded file cannot be written."""


class ContentMismatch(ClientError):
    """The downloaded bytes are not the bytes that were checked."""


class InvalidWebhook(ClientError):
    """The webhook message is not signed with this secret, or is too old."""


class AlreadyUploading(ClientError):
    """Another process is sending this file with the same options."""

    def __init__(self) -> None:
        super().__init__("another process is sending this file", advice="Wait for it, or turn resuming off.")


class UploadCancelled(ClientError):
    """The caller asked to stop. The same call resumes the upload."""

    def __init__(self) -> None:
        super().__init__("cancelled", advice="The same call resumes the upload.")


_ANY_STORE_ADVICE = "Tell the operator of the gateway."
_STORE_ADVICE: Mapping[str, str] = {
    "RequestTimeTooSkewed": "Set the clock of the gateway or of the store.",
    "SignatureDoesNotMatch": "A proxy before the store may change requests. Tell the operator of the gateway.",
    "AccessDenied": "The URL may have expired. Try again; if that fails, tell the operator of the gateway.",
}
_BY_CODE: Mapping[str, type[GatewayProblem]] = {"parts_mismatch": PartsMismatch}
_BY_STATUS: Mapping[int, type[GatewayProblem]] = {
    400: InvalidRequest,
    401: NotAuthorised,
    403: NotAuthorised,
    404: UploadNotFound,
    409: WrongState,
    410: UploadExpired,
    413: TooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: GatewayUnavailable,
}
_ADVICE_BY_CODE: Mapping[str, str] = {
    "unauthenticated": "Check the API key (GATEWAY_API_KEY).",
    "token_exhausted": "Ask for a new upload token.",
    "idempotency_key_reused": "Use a new Idempotency-Key for a new request.",
    "not_configured": "Tell the operator of the gateway.",
    "store_error": "Tell the operator of the gateway.",
    "store_full": "Tell the operator of the gateway.",
    "disk_full": "Tell the operator of the gateway.",
}
_ADVICE_BY_KIND: Mapping[type[GatewayProblem], str] = {
    InvalidRequest: "Correct the request and send it again.",
    NotAuthorised: "Use an API key that may do this.",
    UploadNotFound: "Check the id, and that the API key belongs to the tenant that made it.",
    WrongState: "Ask for the upload to see its state.",
    PartsMismatch: "Send the named parts again, then complete the upload again.",
    UploadExpired: "Send the file again.",
    TooLarge: "Send a smaller file, or ask the operator for a higher limit.",
    GatewayUnavailable: "Try again later.",
    GatewayProblem: "Check that the address is that of an upload gateway.",
}


def problem_of(response: httpx.Response, address: str = "") -> GatewayProblem:
    """Return the most specific problem for a response of 400 or above; its code is `http_…` without a problem body."""
    try:
        body = response.json()
    except ValueError:
        body = None
    is_document = isinstance(body, dict) and "code" in body
    fields: dict[str, Any] = dict(body) if isinstance(body, dict) else {}
    code = str(fields.get("code") or f"http_{response.status_code}")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(response.status_code)
    if kind is None:
        kind = GatewayUnavailable if response.status_code >= 500 else GatewayProblem
    title = str(fields.get("title") or response.reason_phrase)
    detail = str(fields.get("detail") or "")
    known = {"type", "title", "status", "detail", "code"}
    fields = {name: value for name, value in fields.items() if name not in known}
    advice = _advice(kind, code, fields) if is_document else _ADVICE_BY_KIND[GatewayProblem]
    return kind(
        response.status_code,
        code,
        title,
        detail,
        fields,
        address=address,
        advice=advice,
        request_id=response.headers.get(REQUEST_ID_HEADER),
    )


def _advice(kind: type[GatewayProblem], code: str, fields: Mapping[str, Any]) -> str:
    """Return what to do about a problem, with the values that the gateway named."""
    allowed = fields.get("allowed")
    if code == "extension_not_allowed" and isinstance(allowed, list):
        return f"Accepted extensions: {', '.join(map(str, allowed))}."
    return _ADVICE_BY_CODE.get(code) or _ADVICE_BY_KIND[kind]
