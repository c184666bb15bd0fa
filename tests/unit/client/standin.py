"""A gateway and a store in one small real HTTP server, which fail in the ways a test asks for.

It speaks the gateway's API as far as the client uses it, and refuses a part as a store does: expired address, wrong
length, wrong checksum. The real gateway has its own tests with the client (tests/e2e); this one fails on demand.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

KEY = "key-that-must-not-show"
SECRET = "5ec3e7" * 10


@dataclass
class Stored:
    """A part as the store holds it."""

    size_bytes: int
    etag: str
    checksum: str
    data: bytes


@dataclass
class Record:
    """An upload as the gateway holds it."""

    upload_id: str
    body: dict[str, Any]
    state: str = "uploading"
    parts: dict[int, Stored] = field(default_factory=dict)
    polls: int = 0


class StandIn:
    """Serve on a free port of 127.0.0.1 from a thread of its own.

    `part_faults[number]` and `api_faults[word]` are queues of what goes wrong next: a status, "reset", "late" (the
    answer is lost after the work is done), or a function called first. Everything seen is in `seen`.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.part_size_bytes = 64 * 1024
        self.url_seconds = 3600.0
        self.rounds_until_final = 0
        self.final_state = "ready"
        self.list_checksums = True
        # The answers to questions before an upload, the last one again and again. Without one: a gateway of 0.1.0.
        self.verdicts: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self.hide_etags = False
        self.refuse_unnamed = 0
        self.part_faults: dict[int, deque[Any]] = defaultdict(deque)
        self.object_faults: deque[Any] = deque()
        self.ignore_range = False
        self.api_faults: dict[str, deque[Any]] = defaultdict(deque)
        self.uploads: dict[str, Record] = {}
        self.by_key: dict[str, str] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.puts: list[int] = []
        self.in_flight = self.most_in_flight = 0
        self.hold_seconds = 0.0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> StandIn:
        """Start and wait until it answers."""
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self) -> None:
        """Stop the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def only(self) -> Record:
        """Return the one upload there is."""
        (record,) = self.uploads.values()
        return record

    def content(self) -> bytes:
        """Return the bytes of the one upload there is."""
        record = self.only()
        return b"".join(record.parts[number].data for number in sorted(record.parts))

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.post("/v1/uploads", self._api("create", self._create)),
                web.post("/v1/inspect", self._api("inspect", self._inspect)),
                web.get("/v1/uploads", self._api("list", self._list)),
                web.post("/v1/uploads/{id}/parts/sign", self._api("sign", self._sign)),
                web.get("/v1/uploads/{id}/parts", self._api("parts", self._parts)),
                web.post("/v1/uploads/{id}/complete", self._api("complete", self._complete)),
                web.get("/v1/uploads/{id}", self._api("get", self._get)),
                web.delete("/v1/uploads/{id}", self._api("abort", self._abort)),
                web.get("/v1/uploads/{id}/download", self._api("download", self._download)),
                web.put("/store/{id}/{part}", self._put),
                web.post("/upload/stream", self._api("stream", self._stream)),
                web.get("/object/{id}", self._object),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        self._loop.run_until_complete(site.start())
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(_end(site, runner))
        self._loop.close()

    def _api(
        self, word: str, work: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.seen.append((request.method, request.path_qs, dict(request.headers)))
            fault = self.api_faults[word].popleft() if self.api_faults[word] else None
            if callable(fault):
                fault, _ = None, fault()
            if fault == "reset":
                return _reset(request)
            if fault == "html":
                return web.Response(status=200, text="<html>hello</html>", content_type="text/html")
            if isinstance(fault, int):
                return problem(fault, "unavailable", headers={"Retry-After": "0"})
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return problem(401, "unauthenticated")
            answer = await work(request)
            return _reset(request) if fault == "late" else answer

        return handle

    def _record(self, request: web.Request) -> Record:
        record = self.uploads.get(request.match_info["id"])
        if record is None:
            raise Missing
        return record

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        if key in self.by_key:
            record = self.uploads[self.by_key[key]]
            if record.body != body:
                return problem(422, "idempotency_key_reused")
        elif body["size_bytes"] <= 0:
            return problem(422, "invalid_request")
        else:
            record = Record(str(uuid.uuid4()), body)
            self.uploads[record.upload_id] = record
            self.by_key[key] = record.upload_id
        signed: list[Any] = []
        if record.body.get("part_checksums") != "sha256":
            last = min(100, self._count(record))
            signed = [self._signed(record, number, None) for number in range(1, last + 1)]
        return web.json_response(self._show(record) | {"parts": signed}, status=201)

    def _count(self, record: Record) -> int:
        return -(-int(record.body["size_bytes"]) // self.part_size_bytes)

    def _show(self, record: Record) -> dict[str, Any]:
        shown = {
            "upload_id": record.upload_id,
            "state": record.state,
            "filename": record.body["filename"],
            "size_bytes": record.body["size_bytes"],
            "content_type": record.body.get("content_type"),
            "metadata": record.body.get("metadata", {}),
            "part_size_bytes": self.part_size_bytes,
            "part_count": self._count(record),
            "created_at": datetime.now(UTC).isoformat(),
            "expires_at": "2040-01-01T00:00:00Z",
            "a_field_of_a_later_release": [1],
        }
        if record.state == "rejected":
            shown["rejection"] = {"code": "type_mismatch", "detail": "it is a picture"}
        return shown

    def _size(self, record: Record, number: int) -> int:
        rest = int(record.body["size_bytes"]) - (number - 1) * self.part_size_bytes
        return min(rest, self.part_size_bytes)

    def _signed(self, record: Record, number: int, checksum: str | None) -> dict[str, Any]:
        expires = datetime.now(UTC) + timedelta(seconds=self.url_seconds)
        size = self._size(record, number)
        headers = {"content-length": str(size)}
        if checksum is not None:
            headers["x-amz-checksum-sha256"] = checksum
        # A key with letters that an HTTP library likes to rewrite: the address must arrive as it was signed.
        query = f"key=a%2Fb%7Ec+d&X-Expires={expires.timestamp()}&X-Amz-Signature={SECRET}"
        return {
            "part_number": number,
            "size_bytes": size,
            "method": "PUT",
            "url": f"{self.url}/store/{record.upload_id}/{number}?{query}",
            "headers": headers,
            "expires_at": expires.isoformat(),
        }

    async def _sign(self, request: web.Request) -> web.StreamResponse:
        record = self._record(request)
        if record.state != "uploading":
            return problem(410, "upload_expired") if record.state == "expired" else problem(409, "wrong_state")
        body = await request.json()
        asked = [(part["part_number"], part["checksum_sha256"]) for part in body.get("parts", [])]
        asked += [(number, None) for number in body.get("part_numbers", [])]
        return web.json_response({"parts": [self._signed(record, number, checksum) for number, checksum in asked]})

    async def _parts(self, request: web.Request) -> web.StreamResponse:
        listed = [
            {"part_number": number, "size_bytes": part.size_bytes, "etag": part.etag}
            | ({"checksum_sha256": part.checksum} if self.list_checksums else {})
            for number, part in sorted(self._record(request).parts.items())
        ]
        return web.json_response({"parts": listed})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        record = self._record(request)
        body = await request.json()
        if self.refuse_unnamed:
            self.refuse_unnamed -= 1
            return problem(409, "parts_mismatch")
        if record.state == "uploading":
            expected = set(range(1, self._count(record) + 1))
            missing = sorted(expected - set(record.parts))
            stale = [
                {"part_number": part["part_number"]}
                for part in body.get("parts", [])
                if part["part_number"] not in missing and record.parts[part["part_number"]].etag != part["etag"]
            ]
            if missing or stale:
                return problem(409, "parts_mismatch", missing=missing, wrong_size=stale, extra=[])
            record.state = "validating"
        return self._state(record, waited=False)

    def _state(self, record: Record, *, waited: bool) -> web.StreamResponse:
        if record.state == "validating":
            record.polls += waited
            if record.polls >= self.rounds_until_final:
                record.state = self.final_state
        status = 202 if record.state == "validating" and not waited else 200
        return web.json_response(self._show(record), status=status, headers={"Retry-After": "0"})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return self._state(self._record(request), waited="Prefer" in request.headers)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("cursor", "0"))
        limit = int(request.query.get("limit", "50"))
        chosen = [r for r in self.uploads.values() if request.query.get("state") in {None, r.state}]
        cursor = str(start + limit) if start + limit < len(chosen) else None
        page = [self._show(record) for record in chosen[start : start + limit]]
        return web.json_response({"uploads": page, "next_cursor": cursor})

    async def _abort(self, request: web.Request) -> web.StreamResponse:
        record = self._record(request)
        record.state = "aborted"
        record.parts.clear()
        return web.Response(status=204)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept"] == "application/json"
        if self._record(request).state != "ready":
            return problem(409, "wrong_state")
        url = f"{self.url}/object/{request.match_info['id']}?s={SECRET}"
        return web.json_response({"url": url, "expires_at": "2040-01-01T00:00:00+00:00"})

    async def _inspect(self, request: web.Request) -> web.StreamResponse:
        if not self.verdicts:
            return web.Response(status=404, text="no such address")
        self.questions.append(await request.json())
        return web.json_response(self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        fields: dict[str, str] = {}
        boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
        for part in (await request.read()).split(b"--" + boundary)[1:-1]:
            headers, _, content = part.removesuffix(b"\r\n").partition(b"\r\n\r\n")
            found = re.search(r'name="([^"]*)"(?:; filename="([^"]*)")?', headers.decode())
            assert found is not None
            if found[2] is None:
                fields[found[1]] = content.decode()
            else:
                filename, data = found[2], content
        body = {"filename": filename, "size_bytes": len(data), "metadata": fields}
        record = Record(str(uuid.uuid4()), body, state=self.final_state)
        record.parts[1] = Stored(len(data), hashlib.md5(data).hexdigest(), _sha256(data), data)
        self.uploads[record.upload_id] = record
        if record.state == "rejected":
            return problem(422, "file_rejected", upload_id=record.upload_id)
        return web.json_response(self._show(record), status=201)

    async def _object(self, request: web.Request) -> web.StreamResponse:
        """Hand out a file, or as much of it as the next fault allows: a number of bytes, a status, "wrong"."""
        self.seen.append((request.method, request.path_qs, dict(request.headers)))
        fault = self.object_faults.popleft() if self.object_faults else None
        if isinstance(fault, tuple):
            return s3_error(*fault)
        record = self.uploads[request.match_info["id"]]
        data = b"".join(record.parts[number].data for number in sorted(record.parts))
        if fault == "wrong":
            data = bytes(len(data))
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if self.ignore_range:
            start = 0
        answer = web.StreamResponse(status=206 if start else 200, headers={"Content-Length": str(len(data) - start)})
        await answer.prepare(request)
        if isinstance(fault, int):
            await answer.write(data[start : start + fault])
            assert request.transport is not None
            # Closed and not reset: a reset would take back what the client has not read yet.
            request.transport.close()
            return answer
        await answer.write(data[start:])
        return answer

    async def _put(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.hold_seconds)
            return await self._take(request)
        finally:
            self.in_flight -= 1

    async def _take(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - a store has many ways to say no
        number = int(request.match_info["part"])
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        self.puts.append(number)
        fault = self.part_faults[number].popleft() if self.part_faults[number] else None
        if callable(fault):
            fault, _ = None, fault()
        if fault == "reset":
            await request.content.read(1000)
            return _reset(request)
        if fault == "early":
            return s3_error(403, "AccessDenied")
        record = self.uploads[request.match_info["id"]]
        data = await request.read()
        if isinstance(fault, tuple):
            return s3_error(*fault)
        if record.state != "uploading":
            return s3_error(404, "NoSuchUpload")
        if float(request.query["X-Expires"]) < datetime.now(UTC).timestamp():
            return s3_error(403, "AccessDenied")
        checksum = _sha256(data)
        if request.headers.get("x-amz-checksum-sha256", checksum) != checksum:
            return s3_error(400, "BadDigest")
        if "key=a%2Fb%7Ec+d&" not in request.raw_path or len(data) != self._size(record, number):
            return s3_error(403, "SignatureDoesNotMatch")
        etag = hashlib.md5(data).hexdigest()
        record.parts[number] = Stored(len(data), etag, checksum, data)
        if fault == "late":
            return _reset(request)
        return web.Response(headers={} if self.hide_etags else {"ETag": f'"{etag}"'})


async def _end(site: web.TCPSite, runner: web.AppRunner) -> None:
    await site.stop()
    # A connection that was just accepted is a task of the loop. Cancelled before its first step, the task would never
    # close its socket.
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in runner.server.connections if runner.server else ():
        if connection.transport is not None:
            # close() would wait until the client has read everything, and this loop ends now.
            connection.transport.abort()
    await runner.cleanup()
    await asyncio.sleep(0)


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


class Missing(web.HTTPNotFound):
    """There is no such upload."""

    def __init__(self) -> None:
        super().__init__(text='{"code":"not_found","title":"Not found"}', content_type="application/problem+json")


def problem(status: int, code: str, headers: dict[str, str] | None = None, **fields: Any) -> web.Response:
    """Answer with a problem document."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": f"because {code}", "code": code}
    return web.json_response(body | fields, status=status, headers=headers, content_type="application/problem+json")


def s3_error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    """Answer as a store does."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no {SECRET}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


def _reset(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
