"""Send one file through the gateway: create or resume, send parts, complete, send missing parts again, wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import httpx

from gateway.client import calls
from gateway.client.compare import PartComparison
from gateway.client.errors import (
    FileChanged,
    GatewayProblem,
    InvalidRequest,
    PartsMismatch,
    StoreRefused,
    Unreachable,
    UploadCancelled,
    UploadExpired,
    UploadNotFound,
    WrongState,
)
from gateway.client.flow import Call, Endpoint, Flow, Pause, Retry, exchange
from gateway.client.inspection import LONGEST_SECONDS, FileFacts, inspect, once
from gateway.client.models import Inspection, SignedPart, StoredPart, Upload, UploadState
from gateway.client.progress import Meter
from gateway.client.resume import ResumeRecord
from gateway.client.source import Source
from gateway.client.transfer import Hooks, PartSender, PartURLs, SentPart
from gateway.client.workers import PartLimit, run_parallel

T = TypeVar("T")
Perform = Callable[[Flow[Any], Callable[[Pause], None]], Any]

# Parts that the store lost or that another writer replaced are sent again. A third mismatch is no accident.
MAX_REPAIRS = 2
# A file that is touched again while its parts are compared is compared again, this often.
MAX_COMPARISONS = 3
# How often a waiting thread checks whether it should stop.
_CHECK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """Hold the options of one upload."""

    content_type: str | None
    metadata: Mapping[str, str] | None
    part_size_bytes: int | None
    checksums: bool
    inspect: bool
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class UploadDeps:
    """Hold what every upload of a client shares: gateway, store, retries, and the limit of parts in flight."""

    perform: Perform
    store: httpx.Client
    store_timeout: httpx.Timeout
    endpoint: Endpoint
    limit: PartLimit
    parallel: int


class Engine:
    """Drive one upload from the calling thread. Other threads send the parts."""

    def __init__(
        self,
        deps: UploadDeps,
        source: Source,
        options: UploadOptions,
        record: ResumeRecord,
        meter: Meter,
        cancel: threading.Event | None,
    ) -> None:
        self._deps = deps
        self._source = source
        self._options = options
        self._record = record
        self._meter = meter
        self._cancel = cancel or threading.Event()
        self._sent: dict[int, SentPart] = {}

    def run(self) -> Upload:
        """Return the upload in a final state, or in its last state after *wait_seconds*; see `Client.upload`."""
        upload, stored = self._begin()
        self._meter.upload_id = upload.upload_id or None
        self._meter.part_count = upload.part_count or 0
        try:
            if upload.state is UploadState.UPLOADING:
                upload = self._send_and_complete(upload, stored)
        except FileChanged:
            self._record.forget()
            self._abort(upload)
            raise
        except BaseException:
            if self._meter.phase in {"resuming", "sending"} and not self._record.is_kept:
                self._abort(upload)
            raise
        if not upload.is_final:
            self._meter.enter("checking")
            upload = self._call_flow(calls.wait(upload.upload_id, self._options.wait_seconds, self._deps.endpoint))
        if upload.is_final:
            self._record.forget()
            self._meter.enter("done")
        return upload

    def _begin(self) -> tuple[Upload, Mapping[int, StoredPart]]:
        """Return the upload of the record with its stored parts, if it can still be used, or create one."""
        self._meter.enter("starting")
        if self._record.upload_id is not None:
            with contextlib.suppress(UploadNotFound, UploadExpired, WrongState):
                upload = self._call(calls.get(self._record.upload_id))
                if upload.state is UploadState.UPLOADING:
                    return upload, self._stored_parts(upload)
                if upload.state not in {UploadState.ABORTED, UploadState.EXPIRED} and self._is_of_this_file(upload):
                    return upload, {}
            self._record.renew()
        refused = self._refusal() if self._options.inspect else None
        return refused or self._create(), {}

    def _refusal(self) -> Upload | None:
        """Ask for the verdict before anything is created; return a rejected upload without an id, or None.

        A question that fails does not stop the upload: an older gateway has no answer, a busy one none now. Name and
        size are left for create to refuse, whose error names the limits.
        """
        facts = FileFacts(self._source.filename, self._source.size_bytes, self._source.read_range)
        flow = inspect(facts, once(self._deps.endpoint), longest_seconds=LONGEST_SECONDS)
        try:
            inspection: Inspection = self._call_flow(flow)
        except (GatewayProblem, Unreachable) as exc:
            if isinstance(exc, GatewayProblem) and exc.status == httpx.codes.UNAUTHORIZED:
                # Create would be refused for the same reason.
                raise
            return None
        if inspection.rejection is None or inspection.detection is None:
            return None
        return self._unsent(inspection)

    def _unsent(self, inspection: Inspection) -> Upload:
        return Upload(
            upload_id="",
            state=UploadState.REJECTED,
            filename=self._source.filename,
            size_bytes=self._source.size_bytes,
            part_size_bytes=None,
            part_count=None,
            metadata=dict(self._options.metadata or {}),
            rejection=inspection.rejection,
            detection=inspection.detection,
            complete=inspection.complete,
            extension_mismatch=inspection.extension_mismatch,
            suggested_filename=inspection.suggested_filename,
        )

    def _is_of_this_file(self, upload: Upload) -> bool:
        """Tell whether an upload that was sent earlier has the bytes that the file has now."""
        if self._record.mark == self._source.mark:
            return True
        stored = self._stored_parts(upload)
        comparison = self._comparison(upload)
        return bool(stored) and all(comparison.is_same(part, self._check) for part in stored.values())

    def _stored_parts(self, upload: Upload) -> Mapping[int, StoredPart]:
        return {part.part_number: part for part in self._call(calls.list_parts(upload.upload_id))}

    def _create(self) -> Upload:
        self._record.mark = self._source.mark
        for renewed in (False, True):
            if renewed:
                self._record.renew()
            self._record.keep(None)
            try:
                upload = self._call(
                    calls.create(
                        self._source.filename,
                        self._source.size_bytes,
                        content_type=self._options.content_type,
                        part_size_bytes=self._options.part_size_bytes,
                        metadata=self._options.metadata,
                        part_checksums="sha256" if self._options.checksums else None,
                        idempotency_key=self._record.idempotency_key,
                    )
                )
            except InvalidRequest as exc:
                if renewed or exc.code != "idempotency_key_reused":
                    self._record.forget()
                    raise
            else:
                self._record.keep(upload.upload_id)
                return upload
        raise AssertionError("unreachable: the second round returns or raises")

    def _send_and_complete(self, upload: Upload, stored: Mapping[int, StoredPart]) -> Upload:
        try:
            return self._send_until_complete(upload, stored)
        except (WrongState, StoreRefused):
            # Another client may have completed or aborted the upload meanwhile: ask the gateway.
            now = self._call(calls.get(upload.upload_id))
            if now.state is UploadState.UPLOADING:
                raise
            return now

    def _send_until_complete(self, upload: Upload, stored: Mapping[int, StoredPart]) -> Upload:
        missing = every_part(upload)
        for repairs in range(MAX_REPAIRS + 1):
            self._send(upload, missing, stored)
            self._check_unchanged(upload)
            self._meter.enter("checking")
            try:
                return self._call_flow(calls.complete(upload.upload_id, self._etags(upload), self._deps.endpoint))
            except PartsMismatch as exc:
                missing, stored = self._parts_to_repair(upload, exc)
                if not missing or repairs == MAX_REPAIRS:
                    raise
        raise AssertionError("unreachable: the last round returns or raises")

    def _etags(self, upload: Upload) -> Mapping[int, str] | None:
        """Return the etag of every part, None where the store did not show one of them."""
        etags = {number: part.etag for number, part in self._sent.items() if part.etag is not None}
        return etags if len(etags) == upload.part_count else None

    def _parts_to_repair(self, upload: Upload, exc: PartsMismatch) -> tuple[list[int], Mapping[int, StoredPart]]:
        """Return the parts to send again, or all parts with the store's list where the problem names none."""
        named = named_parts(exc.fields)
        if named:
            return sorted(named & set(every_part(upload))), {}
        return every_part(upload), self._stored_parts(upload)

    def _send(self, upload: Upload, missing: Iterable[int], stored: Mapping[int, StoredPart]) -> None:
        """Keep the stored parts that have the file's bytes, and send the others."""
        if stored:
            self._meter.enter("resuming")
            self._on_threads(stored, partial(self._keep_if_same, self._comparison(upload), stored))
            missing = [number for number in missing if number not in self._sent]
        self._meter.enter("sending")
        stop = threading.Event()
        sender = self._sender(upload, stop)

        def send(number: int, _: Callable[[], None]) -> None:
            self._sent[number] = sender.send(number, checksum=self._options.checksums)
            self._meter.done(number, upload.range_of_part(number)[1], resumed=False)

        self._on_threads(missing, send, stop)

    def _keep_if_same(
        self, comparison: PartComparison, stored: Mapping[int, StoredPart], number: int, check: Callable[[], None]
    ) -> None:
        part = stored[number]
        if comparison.is_same(part, check):
            self._sent[number] = SentPart(part.etag, part.checksum_sha256)
            self._meter.done(number, part.size_bytes, resumed=True)
        else:
            self._sent.pop(number, None)

    def _on_threads(
        self,
        numbers: Iterable[int],
        work: Callable[[int, Callable[[], None]], None],
        stop: threading.Event | None = None,
    ) -> None:
        """Call *work* with each part number, within the client's limit of parts in flight."""
        stopped = stop or threading.Event()
        check = partial(self._check, stopped)

        def with_permit(number: int) -> None:
            with self._deps.limit.permit(stopped, check):
                work(number, check)

        try:
            run_parallel(numbers, with_permit, threads=self._deps.parallel, stop=stopped, tick=self._tick)
        finally:
            self._deps.limit.reclaim(stopped)

    def _sender(self, upload: Upload, stop: threading.Event) -> PartSender:
        check = partial(self._check, stop)

        def pause(step: Pause) -> None:
            if step.waiting_for is not None:
                self._meter.retried(step.waiting_for)
            self._pause(step.seconds, check)

        def sign(parts: Sequence[int] | Mapping[int, str]) -> Sequence[SignedPart]:
            flow = exchange(calls.sign(upload.upload_id, parts), self._deps.endpoint)
            return cast("Sequence[SignedPart]", self._deps.perform(flow, pause))

        urls = PartURLs(sign, upload, self._deps.endpoint.address)
        hooks = Hooks(check, partial(self._pause, check=check), self._meter.sent, self._meter.retried)
        deps = self._deps
        return PartSender(deps.store, deps.store_timeout, self._source, upload, urls, deps.endpoint.retry, hooks)

    def _check_unchanged(self, upload: Upload) -> None:
        """Raise FileChanged unless the file still has the bytes that were sent.

        A new modification time alone proves nothing (`touch`, backup programs): then every part is read again.
        """
        for _ in range(MAX_COMPARISONS):
            if not self._source.changed():
                return
            self._source.check_size()
            self._source.accept_change()
            self._on_threads(self._sent, partial(self._check_sent, self._comparison(upload)))
        raise FileChanged("it is being changed again and again")

    def _check_sent(self, comparison: PartComparison, number: int, check: Callable[[], None]) -> None:
        comparison.check_sent(number, self._sent[number], check)

    def _comparison(self, upload: Upload) -> PartComparison:
        return PartComparison(self._source, upload)

    def _abort(self, upload: Upload) -> None:
        """Abort an upload that can never be completed, with one try: the gateway removes it later anyway."""
        once = Endpoint(self._deps.endpoint.address, Retry(attempts=1))
        with contextlib.suppress(Exception):
            self._deps.perform(exchange(calls.abort(upload.upload_id), once), lambda _: None)

    def _call(self, call: Call[T]) -> T:
        return self._call_flow(exchange(call, self._deps.endpoint))

    def _call_flow(self, flow: Flow[T]) -> T:
        self._check()
        result: T = self._deps.perform(flow, self._pause_here)
        return result

    def _pause_here(self, step: Pause) -> None:
        """Wait in the calling thread, and report the address that does not answer."""
        if step.waiting_for is not None:
            self._meter.retried(step.waiting_for)
        self._pause(step.seconds, self._tick)

    def _pause(self, seconds: float, check: Callable[[], None]) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            check()
            self._cancel.wait(min(left, _CHECK_SECONDS))

    def _check(self, stop: threading.Event | None = None) -> None:
        """Raise UploadCancelled once the caller asked to stop, or another part of this upload failed."""
        if self._cancel.is_set() or (stop is not None and stop.is_set()):
            raise UploadCancelled

    def _tick(self) -> None:
        self._check()
        self._meter.report()


def every_part(upload: Upload) -> list[int]:
    """Return the part numbers of the plan."""
    return list(range(1, (upload.part_count or 0) + 1))


def named_parts(fields: Mapping[str, Any]) -> set[int]:
    """Return the part numbers that a parts_mismatch problem names, as numbers or as objects with a part_number."""
    numbers: set[int] = set()
    for value in fields.values():
        for item in value if isinstance(value, list) else ():
            number = item.get("part_number") if isinstance(item, dict) else item
            if isinstance(number, int):
                numbers.add(number)
    return numbers
