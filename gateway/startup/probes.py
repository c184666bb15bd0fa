"""Probe the store at start and with `gateway store check`. This module has the only list of probes.

Each probe acts like a client: it uses the public address, and a signed request where a client has one. It writes only
below the prefix, at keys that no upload uses, and removes them afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import aiohttp

from gateway.domain.errors import GatewayError
from gateway.startup.attacks import forged_put, send, send_half
from gateway.startup.check_cors import check_cors
from gateway.storage.errors import PreconditionFailed, StoreUnavailable
from gateway.storage.models import Assembled, CompletedPart, StoreConfig
from gateway.storage.presign import PartToSign, Presigner, SignedRequest
from gateway.storage.s3 import S3Store
from gateway.storage.store_checks import ProbeResult, ProbeStatus

SIGNED_SECONDS = 60
BODY = b"a checked file"
OTHER = b"another content"
HALF_PART_BYTES = 64 << 10
HALF_PART_CHECKS = 5
"""ListParts calls after half a part, 0.2 s apart. versitygw registers the part within milliseconds."""

PROXY = "Put infra/store.conf in front of the store"
UNSIGNED_HEADERS = {"x-amz-acl": "public-read", "x-amz-tagging": "a=b", "x-amz-storage-class": "STANDARD"}


@dataclass(frozen=True, slots=True)
class ProbeTargets:
    """Hold everything the probes use.

    `config` is the gateway's own connection to the store; `public` has the address of clients and the signing key.
    """

    store: S3Store
    config: StoreConfig
    public: StoreConfig
    uploads: Presigner
    downloads: Presigner
    prefix: str
    origins: Sequence[str]


async def probe_store(targets: ProbeTargets, session: aiohttp.ClientSession) -> tuple[ProbeResult, ...]:
    """Run every probe and return the results in a fixed order.

    Raises StoreUnavailable when the gateway itself cannot reach the store, and StoreError when its own key is refused.
    """
    run = _Run(targets, session)
    async with asyncio.timeout(120):
        await run.open()
        try:
            return tuple([await run.result(name, tried, probe) for name, tried, probe in run.probes()])
        finally:
            await run.close()


@dataclass(frozen=True, slots=True)
class _Found:
    """Hold the finding of one probe."""

    ok: bool
    text: str
    cure: str = ""
    exposes_files: bool = False
    keeps_half_parts: bool = False


_Probe = Callable[[], Awaitable[_Found]]


class _Run:
    """Hold the checked object that the probes attack and the open upload whose parts they send."""

    def __init__(self, targets: ProbeTargets, session: aiohttp.ClientSession) -> None:
        self._targets = targets
        self._store = targets.store
        self._session = session
        word = secrets.token_hex(16)
        folder = f"{targets.prefix.strip('/')}/" if targets.prefix.strip("/") else ""
        self._object_key = f"{folder}probe-{word}"
        self._part_key = f"{folder}probe-{word}-parts"
        self._form_key = f"{folder}forms/probe-{word}"
        self._upload_id = ""
        self._object = Assembled("", None)
        self._written: list[tuple[str, str | None]] = []

    def probes(self) -> list[tuple[str, str, _Probe]]:
        """List every probe: its name, its attempt in words, and its method."""
        return [
            ("signed_part", "a part with a signed URL, through the public address", self._signed_part),
            ("signed_download", "a download with a signed URL, through the public address", self._signed_download),
            ("copy_source", "an unsigned x-amz-copy-source on a part URL", self._copy_source),
            ("unsigned_headers", "other unsigned x-amz-* headers on a part URL", self._unsigned_headers),
            ("forged_write", "a write without a signature over a checked file (CVE-2026-41145)", self._forged_write),
            ("half_part", "a part whose sender stops in the middle", self._half_part),
            ("part_checksum", "a part with a signed x-amz-checksum-sha256", self._part_checksum),
            ("conditional_complete", "an assembly over an existing object, with If-None-Match", self._conditional),
            ("post_upload", "a POST upload with a signed policy", self._post_upload),
            ("cors", "the requests that a browser makes from each allowed origin", self._cors),
        ]

    async def result(self, name: str, tried: str, probe: _Probe) -> ProbeResult:
        """Run one probe. Without an answer, or if the gateway's own request is refused, the result is unknown."""
        try:
            found = await probe()
        except StoreUnavailable as exc:
            return ProbeResult(name, tried, "unknown", f"no answer ({exc.message}).")
        except GatewayError as exc:
            return ProbeResult(name, tried, "unknown", f"could not be tried ({exc}).")
        status: ProbeStatus = "ok" if found.ok else "bad"
        bad = {"exposes_files": found.exposes_files, "keeps_half_parts": found.keeps_half_parts}
        return ProbeResult(name, tried, status, found.text, found.cure, **bad)

    async def open(self) -> None:
        """Store a small object as the gateway does, and open an upload."""
        self._object = await self._assemble(self._object_key, BODY)
        self._written.append((self._object_key, self._object.version_id))
        self._upload_id = await self._store.create_multipart_upload(self._part_key, content_type="audio/mpeg")

    async def close(self) -> None:
        """Remove everything that the probes wrote. Errors are ignored: a leftover is a few bytes at an unused key."""
        with suppress(GatewayError):
            await self._store.abort_multipart_upload(self._part_key, self._upload_id)
        for key, version_id in self._written:
            with suppress(GatewayError):
                await self._store.delete_object(key, version_id=version_id)

    async def _assemble(self, key: str, body: bytes, *, if_none_match: bool = False) -> Assembled:
        store = self._store
        upload_id = await store.create_multipart_upload(key, content_type="audio/mpeg")
        try:
            etag = await store.upload_part(key, upload_id, 1, body, size_bytes=len(body))
            return await store.complete_multipart_upload(
                key, upload_id, [CompletedPart(1, etag)], if_none_match=if_none_match
            )
        except GatewayError:
            with suppress(GatewayError):
                await store.abort_multipart_upload(key, upload_id)
            raise

    async def _signed_part(self) -> _Found:
        part = PartToSign(1, len(BODY))
        [request] = self._targets.uploads.part_urls(self._part_key, self._upload_id, [part], SIGNED_SECONDS)
        status, _ = await send(self._session, request, BODY)
        return _Found(
            status == 200,
            "a part is stored." if status == 200 else f"a part is answered {status}.",
            "Check GATEWAY_S3_PUBLIC_ENDPOINT and the rights of the signing key. A proxy must not change Host or path.",
        )

    async def _signed_download(self) -> _Found:
        version = self._object.version_id
        request = self._targets.downloads.get_object(self._object_key, SIGNED_SECONDS, version_id=version)
        status, body = await send(self._session, request)
        good = status == 200 and body == BODY
        return _Found(
            good,
            "the file comes back." if good else f"the download is answered {status}.",
            "Check GATEWAY_S3_PUBLIC_ENDPOINT and the rights of the download key (s3:GetObject, s3:GetObjectVersion).",
        )

    async def _copy_source(self) -> _Found:
        number = 2
        request = self._targets.uploads.upload_part_of_any_size(self._part_key, self._upload_id, number, SIGNED_SECONDS)
        source = {"x-amz-copy-source": f"/{self._targets.config.bucket}/{self._object_key}"}
        status, _ = await send(self._session, request, b"", source)
        copied = await self._size_of(number) == len(BODY)
        return _Found(
            not copied,
            "the store copied another object into the upload." if copied else f"nothing is copied ({status}).",
            f"Sign uploads with a key that may only put (GATEWAY_S3_SIGNING_ACCESS_KEY_ID), or: {PROXY}.",
            exposes_files=copied,
        )

    async def _unsigned_headers(self) -> _Found:
        accepted = []
        for name, value in UNSIGNED_HEADERS.items():
            part = PartToSign(3, len(BODY))
            [request] = self._targets.uploads.part_urls(self._part_key, self._upload_id, [part], SIGNED_SECONDS)
            status, _ = await send(self._session, request, BODY, {name: value})
            if status == 200:
                accepted.append(name)
        text = f"accepted: {', '.join(accepted)}." if accepted else "all are refused."
        return _Found(not accepted, text, f"{PROXY}, which refuses headers that no signature covers.")

    async def _forged_write(self) -> _Found:
        public, key, version = self._targets.public, self._object_key, self._object.version_id
        taken = False
        for named in {None, version}:
            request, body = forged_put(public, key, OTHER, named)
            status, _ = await send(self._session, request, body)
            taken = taken or 200 <= status < 300
        if not taken:
            return _Found(True, "refused.")
        self._written.append((key, None))
        kept = await self._store.get_object_range(key, 0, 1, if_match=None, version_id=version) == BODY[:1]
        whole = kept and await self._content(version) == BODY
        return _Found(
            False,
            "accepted; a checked file keeps its version." if whole else "accepted; it replaced a checked file.",
            f"Update the store, or: {PROXY}, and let the bucket keep versions.",
            exposes_files=not whole,
        )

    async def _content(self, version_id: str | None) -> bytes:
        with suppress(GatewayError):
            return await self._store.get_object_range(
                self._object_key, 0, len(BODY), if_match=self._object.etag, version_id=version_id
            )
        return b""

    async def _half_part(self) -> _Found:
        number = 4
        part = PartToSign(number, HALF_PART_BYTES)
        [request] = self._targets.uploads.part_urls(self._part_key, self._upload_id, [part], SIGNED_SECONDS)
        await send_half(request, HALF_PART_BYTES)
        kept = False
        for _ in range(HALF_PART_CHECKS):
            kept = await self._size_of(number) is not None
            if kept:
                break
            await asyncio.sleep(0.2)
        return _Found(
            not kept,
            "the store keeps half a part as a whole one." if kept else "nothing is kept.",
            "Part checksums are now required. Set GATEWAY_PART_CHECKSUMS=required to require them without this probe.",
            keeps_half_parts=kept,
        )

    async def _part_checksum(self) -> _Found:
        answers = []
        for body in (BODY, OTHER):
            checksum = b64encode(sha256(body).digest()).decode()
            part = PartToSign(5, len(BODY), checksum)
            [request] = self._targets.uploads.part_urls(self._part_key, self._upload_id, [part], SIGNED_SECONDS)
            answers.append((await send(self._session, request, BODY))[0])
        right, wrong = answers
        if right != 200:
            text = f"a right checksum is answered {right}."
        else:
            text = "a wrong checksum is accepted." if wrong == 200 else "compared with the bytes."
        return _Found(
            right == 200 and wrong != 200,
            text,
            "This store cannot protect parts by checksums: leave GATEWAY_PART_CHECKSUMS at optional.",
        )

    async def _conditional(self) -> _Found:
        try:
            again = await self._assemble(self._object_key, OTHER, if_none_match=True)
        except PreconditionFailed:
            return _Found(True, "the existing object stays.")
        self._written.append((self._object_key, again.version_id))
        return _Found(
            False,
            "the existing object was replaced.",
            "POST uploads rely on it: use part uploads only with this store (in Uppy: shouldUseMultipart).",
        )

    async def _post_upload(self) -> _Found:
        form = self._targets.uploads.post_policy(
            self._form_key, SIGNED_SECONDS, content_type="audio/mpeg", max_size_bytes=len(BODY)
        )
        data = aiohttp.FormData(form.fields)
        data.add_field("file", BODY, filename="probe", content_type="audio/mpeg")
        request = SignedRequest("POST", form.url, {}, form.expires_at)
        status, _ = await send(self._session, request, data)
        stored = 200 <= status < 300
        if stored:
            self._written.append((self._form_key, None))
        return _Found(
            stored,
            "stored." if stored else f"answered {status}.",
            "Uppy's uploads of one request do not work with this store: set shouldUseMultipart there.",
        )

    async def _cors(self) -> _Found:
        lines = await check_cors(self._targets.config, self._targets.public.endpoint, self._targets.origins)
        return _Found(not lines, " ".join(lines) or "every allowed origin may upload.")

    async def _size_of(self, part_number: int) -> int | None:
        parts = await self._store.list_parts(self._part_key, self._upload_id)
        return next((part.size_bytes for part in parts if part.part_number == part_number), None)
