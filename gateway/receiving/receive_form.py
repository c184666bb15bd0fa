"""Receive a file as a multipart form, complete its upload and validate it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterable
from pathlib import Path

from gateway.context import Gateway
from gateway.domain.errors import FileMismatch, FileRejected, Invalid, Unavailable
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.receiving.missing_names import name_of
from gateway.receiving.receiver import ByteSink, UploadReceiver
from gateway.streaming import disk
from gateway.streaming.buffers import Buffers
from gateway.streaming.form_parser import FileComponent, FormReader
from gateway.uploads.create import NewUpload, create

SIZE_FIELD = "size_bytes"
SHA256_FIELD = "sha256"
FIELDS = frozenset({SIZE_FIELD, SHA256_FIELD})
"""Fields that describe the file; they may come before or after it. All other fields are metadata of the upload."""

MAX_METADATA = 32
"""Fields that become metadata, as in the metadata of a JSON request."""

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_DECIMAL = re.compile(r"[0-9]{1,19}")


async def receive_form(gateway: Gateway, principal: Principal, boundary: str, body: AsyncIterable[bytes]) -> Upload:
    """Receive the form that *body* yields and return its upload in a final state, or completing or validating.

    A temporary failure after the last byte does not fail the form: another process completes it. Raises Busy,
    Malformed, ExtensionNotAllowed (before a byte is kept), TooLarge, FileMismatch, FileRejected, DiskFull and
    Unavailable, and the errors of *body*. After an error nothing is kept; after a cancellation only a complete file.
    """
    async with gateway.receiving.buffer_pool.admit() as buffers:
        form = _Form(gateway, principal, buffers)
        reader = FormReader(boundary, form.open_file, single_fields=FIELDS)
        form.fields = reader.fields
        try:
            async for chunk in body:
                await reader.feed(chunk)
            reader.close()
            return require_accepted(await form.complete())
        except BaseException as exc:
            kept = await form.receiver.abort_or_release(exc) if form.receiver is not None else None
            if kept is not None and isinstance(exc, Unavailable):
                # After an error the client would send the file again, and the pipeline would get it twice.
                return kept
            raise
        finally:
            if form.receiver is not None:
                await form.receiver.close()


class _Form:
    """Create the upload of one form and receive its file."""

    def __init__(self, gateway: Gateway, principal: Principal, buffers: Buffers) -> None:
        self.fields: dict[str, str] = {}
        self.receiver: UploadReceiver | None = None
        self._gateway = gateway
        self._principal = principal
        self._buffers = buffers
        self._sink: ByteSink | None = None
        self._first_metadata: dict[str, str] = {}

    async def open_file(self, component: FileComponent) -> ByteSink:
        """Create the upload when the file's name is known, which is before its first byte."""
        receiving = self._gateway.receiving
        if SHA256_FIELD in self.fields:
            # A field that cannot be right is refused before the file, not after it.
            parse_sha256(self.fields[SHA256_FIELD])
        wanted = NewUpload(
            filename=name_of(component),
            size_bytes=self._declared_size(),
            content_type=component.content_type,
            metadata=self._metadata(),
            cut_by_client=True,
            directory=str(receiving.directory.absolute()) if receiving.destination == "disk" else None,
        )
        self._first_metadata = dict(wanted.metadata)
        created = await create(self._gateway, self._principal, wanted, sent_by_gateway=True)
        self.receiver = UploadReceiver(self._gateway, created.upload, ends_with_request=True)
        # A file on disk can be hashed after it arrived. A file that goes to the store is hashed while it arrives.
        with_sha256 = receiving.destination == "store" or SHA256_FIELD in self.fields
        self._sink = await self.receiver.claim_and_open_sink(self._buffers, with_sha256=with_sha256)
        return self._sink

    async def complete(self) -> Upload:
        """Compare the file with the declared size and checksum, and complete the upload."""
        assert self.receiver is not None, "a form without a file does not get here"
        assert self._sink is not None, "a form without a file does not get here"
        declared = self._declared_size()
        if declared is not None and declared != self._sink.size_bytes:
            raise FileMismatch(f"The file has {self._sink.size_bytes} bytes; {declared} were declared.")
        if SHA256_FIELD in self.fields:
            await check_sha256(self.fields[SHA256_FIELD], self._sink, self.receiver.upload)
        late = {name: value for name, value in self._metadata().items() if name not in self._first_metadata}
        if late:
            await self.receiver.add_metadata(late)
        return await self.receiver.complete(self._principal)

    def _metadata(self) -> dict[str, str]:
        metadata = {name: value for name, value in self.fields.items() if name not in FIELDS}
        if len(metadata) > MAX_METADATA:
            raise Invalid(f"The form has more than {MAX_METADATA} fields.")
        return metadata

    def _declared_size(self) -> int | None:
        text = self.fields.get(SIZE_FIELD)
        if text is None:
            return None
        if not _DECIMAL.fullmatch(text.strip()):
            raise Invalid("size_bytes is not a whole number of bytes.")
        return int(text)


def parse_sha256(declared: str) -> str:
    """Return a declared SHA-256, hexadecimal or base64, as hexadecimal digits; raise Invalid."""
    wanted = declared.strip()
    if not _HEX.fullmatch(wanted):
        try:
            wanted = base64.b64decode(wanted, validate=True).hex()
        except (binascii.Error, ValueError):
            wanted = ""
        if not _HEX.fullmatch(wanted):
            raise Invalid("sha256 is neither 64 hexadecimal digits nor the base64 of 32 bytes.")
    return wanted.lower()


async def check_sha256(declared: str, sink: ByteSink, upload: Upload) -> None:
    """Compare the received file with its declared SHA-256; raise Invalid or FileMismatch."""
    wanted = parse_sha256(declared)
    observed = sink.sha256
    if observed is None:
        assert upload.path is not None, "only what is on disk is received without being hashed"
        observed = await asyncio.to_thread(disk.sha256_of, disk.temporary(Path(upload.path)))
    if not hmac.compare_digest(observed, wanted):
        raise FileMismatch("The SHA-256 of the file is not the declared one.")


def require_accepted(upload: Upload) -> Upload:
    """Return the upload unless it was rejected; raise FileRejected with the reason then."""
    rejection = upload.rejection
    if upload.state is State.REJECTED and rejection is not None:
        reason = {"code": rejection.code, "detail": rejection.detail}
        raise FileRejected(rejection.detail, upload_id=str(upload.id), state=upload.state.value, rejection=reason)
    return upload
