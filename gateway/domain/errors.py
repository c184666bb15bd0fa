"""Name every way a request can fail.

GatewayError
├── Invalid            the request is wrong as it stands
├── NotFound           no such thing for this tenant
├── Unauthenticated    no valid credentials
├── Forbidden          known, but not allowed
├── Conflict           not in this state
├── NotConfigured      this gateway was not set up for that
├── Gone               it existed and has expired
├── TooLarge           over a limit in bytes
├── Malformed          the body is not in the format it must be in
├── BadHost            the Host header is missing, doubled or malformed
├── UnknownHost        the Host header names another server
├── RequestTimeout     the body came too slowly
├── LengthRequired     the request has no length
├── TooMany            over a limit in number or in time
└── Unavailable        the database or the store does not respond; nothing is lost

`code` is the stable word clients switch on; only `api/problems.py` knows what it means in HTTP.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """The gateway could not do the request."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str | None = None, **fields: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        self.fields = fields
        super().__init__(self.detail)


class Invalid(GatewayError):
    """The request is not valid."""

    code = "invalid_request"
    title = "Invalid request"


class ExtensionNotAllowed(Invalid):
    """Files of this kind are not accepted."""

    code = "extension_not_allowed"
    title = "Extension not allowed"


class PartChecksumsRequired(Invalid):
    """Each part needs its SHA-256 here: create the upload with `part_checksums: "sha256"`."""

    code = "part_checksums_required"
    title = "Part checksums required"


class FileMismatch(Invalid):
    """The file is not the one that was declared."""

    code = "file_mismatch"
    title = "Not the declared file"


class FileRejected(Invalid):
    """The file was received and refused."""

    code = "file_rejected"
    title = "File rejected"


class TypeRejected(FileRejected):
    """The file was received and is not of a kind that is accepted."""

    code = "type_rejected"
    title = "File type rejected"


class IdempotencyKeyReused(Invalid):
    """This Idempotency-Key was used with another request body."""

    code = "idempotency_key_reused"
    title = "Idempotency-Key reused"


class NotFound(GatewayError):
    """There is no such upload."""

    code = "not_found"
    title = "Not found"


class Unauthenticated(GatewayError):
    """A valid API key or token is needed."""

    code = "unauthenticated"
    title = "Unauthenticated"


class Forbidden(GatewayError):
    """This key or token may not do that."""

    code = "forbidden"
    title = "Forbidden"


class TokenExhausted(Forbidden):
    """This upload token has no files left."""

    code = "token_exhausted"
    title = "Token exhausted"


class CreatesExhausted(Forbidden):
    """This key or tenant has created as many uploads as it may."""

    code = "creates_exhausted"
    title = "Creates exhausted"


class Conflict(GatewayError):
    """The upload is not in a state that allows this."""

    code = "conflict"
    title = "Conflict"


class WrongState(Conflict):
    """The upload is not in a state that allows this."""

    code = "wrong_state"
    title = "Wrong state"


class ObjectChanged(Conflict):
    """The store no longer holds the content that was checked."""

    code = "object_changed"
    title = "Object changed"


class LeaseLost(Conflict):
    """Another process went on with this upload."""

    code = "lease_lost"
    title = "Taken over"


class PartsMismatch(Conflict):
    """The parts in the store are not the parts of the plan."""

    code = "parts_mismatch"
    title = "Parts do not match the plan"


class IdempotencyInProgress(Conflict):
    """A request with this Idempotency-Key is still being answered."""

    code = "idempotency_in_progress"
    title = "Request in progress"


class TooManyWebhooks(Conflict):
    """This tenant has as many webhooks as it may."""

    code = "too_many_webhooks"
    title = "Too many webhooks"


class NotConfigured(GatewayError):
    """This gateway is not set up for that."""

    code = "not_configured"
    title = "Not configured"


class Gone(GatewayError):
    """The upload has expired."""

    code = "upload_expired"
    title = "Upload expired"


class TooLarge(GatewayError):
    """The file is larger than the limit."""

    code = "file_too_large"
    title = "File too large"


class BodyTooLarge(TooLarge):
    """The request body is larger than the limit."""

    code = "body_too_large"
    title = "Request body too large"


class UnsupportedBody(GatewayError):
    """The request body is compressed, or not UTF-8."""

    code = "unsupported_body"
    title = "Unsupported request body"


class Malformed(GatewayError):
    """The request body is not what its headers announce."""

    code = "malformed_body"
    title = "Malformed request body"


class BadHost(GatewayError):
    """A request must have exactly one Host header with a host name or address."""

    code = "bad_host"
    title = "Bad Host header"


class UnknownHost(GatewayError):
    """The Host header does not name this gateway. Its operator sets GATEWAY_PUBLIC_URL to the address clients use."""

    code = "unknown_host"
    title = "Unknown host"


class RequestTimeout(GatewayError):
    """The body came too slowly."""

    code = "request_timeout"
    title = "Request timeout"


class LengthRequired(GatewayError):
    """The request must say how long its body is."""

    code = "length_required"
    title = "Length required"


class TooMany(GatewayError):
    """Too many requests; try again later."""

    code = "too_many_requests"
    title = "Too many requests"


class TooManyWatchers(TooMany):
    """Too many event streams and WebSockets are open. Try again later."""

    code = "too_many_watchers"
    title = "Too many watchers"


class TooManyReceivers(TooMany):
    """The gateway is receiving too many files. Try again later."""

    code = "too_many_receivers"
    title = "Too many files at once"


class TooManyUploads(TooMany):
    """Too many uploads are open or were created today."""

    code = "too_many_uploads"
    title = "Too many uploads"


class Unavailable(GatewayError):
    """A part the gateway needs does not answer; try again."""

    code = "unavailable"
    title = "Temporarily unavailable"


class ScannerUnavailable(Unavailable):
    """The virus scanner does not answer; try again."""

    code = "scanner_unavailable"
    title = "Scanner unavailable"


class Busy(Unavailable):
    """The gateway receives as many files as it can at once; try again."""

    code = "busy"
    title = "Busy"


class DiskFull(Unavailable):
    """The gateway's disk has no space left."""

    code = "disk_full"
    title = "Disk full"


class DatabaseUnavailable(Unavailable):
    """The database does not answer; try again."""

    code = "database_unavailable"
    title = "Database unavailable"
