"""Send one file through the gateway: create or go on, send parts, complete, mend what is missing, wait for the end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import httpx

from gateway.client import calls
from gateway.client.errors import (
    FileChanged,
    InvalidRequest,
    PartsMismatch,
    StoreRefused,
    UploadCancelled,
    UploadExpired,
    UploadNotFound,
    WrongState,
)
from gateway.client.flow import Call, Flow, Retry, exchange
from gateway.client.models import SignedPart, StoredPart, Upload
from gateway.client.progress import Meter, Phase
from gateway.client.resume import Note
from gateway.client.source import Source
from gateway.client.transfer import Addresses, Hooks, PartSender
from gateway.client.workers import Slots, run_parallel

T = TypeVar("T")
Check = Callable[[], None]
Perform = Callable[[Flow[Any], Callable[[float], None]], Any]

# Parts that the store lost or that another writer replaced are sent again; a third mismatch is not an accident.
MAX_MENDS = 2
# How often a waiting thread looks whether it should stop.
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what the caller asked for, beside the bytes."""

    content_type: str | None
    metadata: Mapping[str, str] | None
    part_size_bytes: int | None
    checksums: bool
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Means:
    """Hold what the client lends to every upload: the API, the store, patience, and slots for parts in flight."""

    perform: Perform
    store: httpx.Client
    retry: Retry
    slots: Slots
    parallel: int


class Engine:
    """Drive one upload from the calling thread; parts go on threads of their own."""

    def __init__(
        self, means: Means, source: Source, plan: Plan, note: Note, meter: Meter, cancel: threading.Event | None
    ) -> None:
        self._means = means
        self._source = source
        self._plan = plan
        self._note = note
        self._meter = meter
        self._cancel = cancel or threading.Event()
        self._etags: dict[int, str | None] = {}

    def run(self) -> Upload:
        """Return the upload in a final state, or as it is when *wait_seconds* are over; see `Client.upload`."""
        upload, held = self._begin()
        self._meter.upload_id = upload.upload_id
        self._meter.part_count = upload.part_count or 0
        try:
            if upload.state == "uploading":
                upload = self._send_and_complete(upload, held)
        except FileChanged:
            self._note.forget()
            self._give_up(upload)
            raise
        except BaseException:
            if self._meter.phase == "sending" and not self._note.is_kept:
                self._give_up(upload)
            raise
        if not upload.is_final:
            self._enter("checking")
            upload = self._call_flow(calls.wait(upload.upload_id, self._plan.wait_seconds, self._means.retry))
        if upload.is_final:
            self._note.forget()
            self._enter("done")
        return upload

    def _begin(self) -> tuple[Upload, Mapping[int, StoredPart]]:
        """Find the upload of the note, if it can still be used, or create one."""
        self._enter("starting")
        if self._note.upload_id is not None:
            with contextlib.suppress(UploadNotFound, UploadExpired):
                upload = self._call(calls.get(self._note.upload_id))
                if upload.state == "uploading":
                    parts = self._call(calls.list_parts(upload.upload_id))
                    return upload, {part.part_number: part for part in parts}
                if upload.state not in {"aborted", "expired"}:
                    return upload, {}
            self._note.renew()
        return self._create(), {}

    def _create(self) -> Upload:
        for fresh in (False, True):
            if fresh:
                self._note.renew()
            self._note.keep(None)
            try:
                upload = self._call(
                    calls.create(
                        self._source.filename,
                        self._source.size_bytes,
                        content_type=self._plan.content_type,
                        part_size_bytes=self._plan.part_size_bytes,
                        metadata=self._plan.metadata,
                        part_checksums="sha256" if self._plan.checksums else None,
                        idempotency_key=self._note.idempotency_key,
                    )
                )
            except InvalidRequest as exc:
                if fresh or exc.code != "idempotency_key_reused":
                    self._note.forget()
                    raise
            else:
                self._note.keep(upload.upload_id)
                return upload
        raise AssertionError("unreachable: the second round returns or raises")

    def _send_and_complete(self, upload: Upload, held: Mapping[int, StoredPart]) -> Upload:
        try:
            return self._send_until_complete(upload, held)
        except (WrongState, StoreRefused):
            # Somebody else may have completed or aborted it meanwhile; the gateway knows.
            now = self._call(calls.get(upload.upload_id))
            if now.state == "uploading":
                raise
            return now

    def _send_until_complete(self, upload: Upload, held: Mapping[int, StoredPart]) -> Upload:
        self._enter("sending")
        todo = every_part(upload)
        for mends in range(MAX_MENDS + 1):
            self._send(upload, todo, held)
            self._source.check_unchanged()
            self._enter("checking")
            try:
                etags = {number: etag for number, etag in self._etags.items() if etag is not None}
                known = etags if len(etags) == upload.part_count else None
                return self._call_flow(calls.complete(upload.upload_id, known, self._means.retry))
            except PartsMismatch as exc:
                todo, held = self._to_mend(upload, exc)
                if not todo or mends == MAX_MENDS:
                    raise
            self._enter("sending")
        raise AssertionError("unreachable: the last round returns or raises")

    def _to_mend(self, upload: Upload, exc: PartsMismatch) -> tuple[list[int], Mapping[int, StoredPart]]:
        """Return the parts to look at again and what the store holds of them."""
        named = named_parts(exc.fields)
        if named:
            return sorted(named & set(every_part(upload))), {}
        # A part was replaced at the last moment and nobody can say which: compare them all.
        listed = self._call(calls.list_parts(upload.upload_id))
        return every_part(upload), {part.part_number: part for part in listed}

    def _send(self, upload: Upload, todo: list[int], held: Mapping[int, StoredPart]) -> None:
        stop = threading.Event()
        check = partial(self._check, stop)
        pause = partial(self._pause, check=check)

        def sign(parts: Sequence[int] | Mapping[int, str]) -> Sequence[SignedPart]:
            flow = exchange(calls.sign(upload.upload_id, parts), self._means.retry)
            return cast("Sequence[SignedPart]", self._means.perform(flow, pause))

        hooks = Hooks(check, pause, self._meter.sent, self._meter.retried)
        addresses = Addresses(sign, upload)
        sender = PartSender(self._means.store, self._source, upload, addresses, self._means.retry, hooks)

        def work(number: int) -> None:
            with self._means.slots.take(stop, check):
                stored = held.get(number)
                resumed = stored is not None and self._is_same(upload, stored, check)
                if stored is not None and resumed:
                    self._etags[number] = stored.etag
                else:
                    self._etags[number] = sender.send(number, checksum=self._plan.checksums)
            self._meter.done(number, upload.range_of_part(number)[1], resumed=resumed)

        try:
            run_parallel(todo, work, threads=self._means.parallel, stop=stop, tick=self._tick)
        finally:
            self._means.slots.reclaim(stop)

    def _is_same(self, upload: Upload, stored: StoredPart, check: Check) -> bool:
        """Tell whether a part in the store has the bytes of the file; reading is cheap, sending is not.

        Where neither a SHA-256 nor an MD5 is known (a store that encrypts), the part is sent again.
        """
        offset, size_bytes = upload.range_of_part(stored.part_number)
        if stored.size_bytes != size_bytes:
            return False
        if stored.checksum_sha256 is not None:
            return self._source.sha256(offset, size_bytes, check) == stored.checksum_sha256
        return self._source.md5(offset, size_bytes, check) == stored.etag.lower()

    def _give_up(self, upload: Upload) -> None:
        """Abort what can never be completed, once and without insisting: the gateway sweeps it anyway."""
        with contextlib.suppress(Exception):
            self._means.perform(exchange(calls.abort(upload.upload_id), Retry(attempts=1)), lambda _: None)

    def _call(self, call: Call[T]) -> T:
        return self._call_flow(exchange(call, self._means.retry))

    def _call_flow(self, flow: Flow[T]) -> T:
        self._check()
        result: T = self._means.perform(flow, self._pause_here)
        return result

    def _pause_here(self, seconds: float) -> None:
        """Wait in the calling thread, which shows that something is tried again."""
        if self._meter.phase != "checking":
            self._meter.retried()
        self._pause(seconds, self._tick)

    def _pause(self, seconds: float, check: Check) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            check()
            self._cancel.wait(min(left, _LOOK_SECONDS))

    def _check(self, stop: threading.Event | None = None) -> None:
        """Raise UploadCancelled once the caller asked to stop, or another part of this upload failed."""
        if self._cancel.is_set() or (stop is not None and stop.is_set()):
            raise UploadCancelled

    def _tick(self) -> None:
        self._check()
        self._meter.report()

    def _enter(self, phase: Phase) -> None:
        self._meter.phase = phase
        self._meter.report()


def every_part(upload: Upload) -> list[int]:
    """Return the part numbers of the plan."""
    return list(range(1, (upload.part_count or 0) + 1))


def named_parts(fields: Mapping[str, Any]) -> set[int]:
    """Return the part numbers a parts_mismatch problem names, as plain numbers or as objects with a part_number."""
    numbers: set[int] = set()
    for value in fields.values():
        for item in value if isinstance(value, list) else ():
            number = item.get("part_number") if isinstance(item, dict) else item
            if isinstance(number, int):
                numbers.add(number)
    return numbers
