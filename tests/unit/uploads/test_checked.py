"""What a check leaves: the facts in the row and in the event, the scanner's answer, and files on the gateway's disk."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.detection import ScanResult
from gateway.domain.errors import Forbidden, LeaseLost, ScannerUnavailable, WrongState
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from gateway.streaming import disk
from gateway.uploads import validate as validating
from gateway.uploads.abort import abort
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.list_parts import list_parts
from gateway.uploads.process import process, resume
from gateway.uploads.sign import WantedPart, sign
from tests.unit.uploads.conftest import ACME, World, wav


class Scanner:
    """Answer every scan with one result, and remember what was read."""

    def __init__(self, result: ScanResult | Exception) -> None:
        self.result = result
        self.chunks: list[bytes] = []
        self.size_bytes = 0

    async def scan(self, chunks: AsyncIterator[bytes], size_bytes: int) -> ScanResult:
        self.size_bytes = size_bytes
        self.chunks = [chunk async for chunk in chunks]
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def _scanned(world: World, scanner: Scanner, body: bytes, **more: Any) -> Upload:
    upload = await world.sent(body)
    return await complete(replace(world.gateway, scanner=scanner, **more), ACME, upload.id)


async def test_the_facts_of_a_ready_file_are_in_row_and_event(world: World) -> None:
    """An event's reader learns the same as whoever asks for the upload."""
    upload = await world.sent(wav())
    ready = await complete(world.gateway, ACME, upload.id)
    assert ready.content_type == "audio/vnd.wave"
    assert ready.observed_etag == world.store.objects[ready.object_key].etag
    assert ready.detection is not None
    assert (ready.detection["media_type"], ready.detection["extension_mismatch"]) == ("audio/vnd.wave", False)
    assert (ready.lease_token, ready.lease_until) == (None, None)
    assert world.uploads.events[-1] == (
        ready.id,
        "ready",
        {
            "size_bytes": 2500,
            "etag": ready.observed_etag,
            "content_type": "audio/vnd.wave",
            "complete": True,
            "duration_seconds": ready.detection["duration_seconds"],
            "extension_mismatch": False,
            "suggested_filename": None,
            "version_id": None,
            "bucket": "b",
            "object_key": ready.object_key,
        },
    )
    assert ready.detection["duration_seconds"] == pytest.approx((2500 - 44) / 16_000, abs=0.001)


async def test_the_bytes_decide_the_type_and_not_the_name(world: World) -> None:
    """A WAV file named .mp3 is served as what it is."""
    body = wav()
    upload = (await create(world.gateway, ACME, NewUpload("a.mp3", len(body)))).upload
    world.put(upload, body)
    ready = await complete(world.gateway, ACME, upload.id)
    assert (upload.content_type, ready.content_type) == ("audio/mpeg", "audio/vnd.wave")
    assert world.uploads.events[-1][2]["suggested_filename"] == "a.wav"


async def test_a_rejected_file_keeps_what_was_detected(world: World) -> None:
    """The row says what the bytes are, and row and event say why they were refused."""
    upload = await world.sent(b"<html>" + b" " * 1000)
    final = await complete(world.gateway, ACME, upload.id)
    assert final.state is State.REJECTED
    assert final.detection is not None
    assert final.detection["check"] == "beginning"
    assert final.rejection_detail == final.detection["reason"]
    assert world.uploads.events[-1][2] == {"code": "type_not_recognised", "detail": final.rejection_detail}


@pytest.mark.parametrize(
    ("result", "state"), [(ScanResult(True), State.READY), (ScanResult(False, "Eicar"), State.REJECTED)]
)
async def test_a_scanner_reads_the_whole_file_and_decides(world: World, result: ScanResult, state: State) -> None:
    """The bytes come in chunks, in order; the answer is kept with the verdict."""
    scanner, body = Scanner(result), wav()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "CHUNK_BYTES", 999)
        final = await _scanned(world, scanner, body)
    assert (b"".join(scanner.chunks), scanner.size_bytes) == (body, len(body))
    assert [len(chunk) for chunk in scanner.chunks] == [999, 999, 502]
    assert final.state is state
    assert final.detection is not None
    assert final.detection["scan"] == {"clean": result.clean, "signature": result.signature, "skipped_reason": None}
    if state is State.REJECTED:
        assert final.rejection_code == "malware_found"
        assert final.rejection_detail == "The scanner found Eicar in the file."


@pytest.mark.parametrize(
    ("reason", "sentence"), [("Too large.", "Too large."), (None, "The file could not be scanned.")]
)
async def test_a_file_that_was_not_scanned_is_rejected_as_such(world: World, reason: str | None, sentence: str) -> None:
    """It is not called malware; the sentence is the scanner's where it has one."""
    final = await _scanned(world, Scanner(ScanResult(False, skipped_reason=reason)), wav())
    assert (final.rejection_code, final.rejection_detail) == ("not_scanned", sentence)


async def test_the_policy_decides_about_a_scanner_that_does_not_answer(world: World) -> None:
    """`fail_closed` tries again later, `fail_open` accepts and keeps the reason."""
    silent = Scanner(ScannerUnavailable("No answer."))
    with pytest.raises(ScannerUnavailable):
        await _scanned(world, silent, wav())
    accepted = await _scanned(world, silent, wav(), scanner_policy="fail_open")
    assert accepted.state is State.READY
    assert accepted.detection is not None
    assert accepted.detection["scan"]["skipped_reason"] == "No answer."


async def test_a_refused_file_is_not_scanned(world: World) -> None:
    """The scan is for files that are accepted."""
    scanner = Scanner(ScanResult(True))
    final = await _scanned(world, scanner, b"just a letter " * 100)
    assert (final.rejection_code, scanner.chunks) == ("type_not_recognised", [])


async def test_an_empty_object_is_rejected_as_empty(world: World) -> None:
    """One byte is not empty."""
    for body, code in ((b"", "empty"), (b"x", "type_not_recognised")):
        upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
        world.store.multiparts[str(upload.multipart_upload_id)].parts[1] = body
        assert (await complete(world.gateway, ACME, upload.id)).rejection_code == code


@pytest.mark.parametrize(("size", "code"), [(10_000, None), (10_002, "file_too_large")])
async def test_an_object_of_the_limit_is_accepted(world: World, size: int, code: str | None) -> None:
    """The limit is the largest size that is accepted, also for the object itself."""
    upload = (await create(world.gateway, ACME, NewUpload("a.wav", None))).upload
    world.store.multiparts[str(upload.multipart_upload_id)].parts[1] = wav(10_000)

    async def grow() -> None:
        stored = world.store.objects[upload.object_key]
        stored.body = wav(size)

    world.store.before["GetObject"] = grow
    final = await complete(world.gateway, ACME, upload.id)
    assert final.rejection_code == code


async def _lost_during_the_check(world: World, body: bytes) -> Upload:
    """Let another process take the lease while this one reads the file."""
    upload = await world.sent(body)

    async def lose() -> None:
        world.clock.move(31)
        assert await world.uploads.take_lease(upload.id, token=uuid4(), seconds=30) is not None

    world.store.before["GetObject"] = lose
    parts = await world.store.list_parts(upload.object_key, str(upload.multipart_upload_id))
    change = Transition(State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=30, assembly=parts)
    claimed = await world.uploads.apply(upload.id, change)
    assert claimed is not None
    with pytest.raises(LeaseLost):
        await process(world.gateway, claimed)
    return world.row(upload.id)


@pytest.mark.parametrize("body", [wav(), b"just a letter " * 100])
async def test_after_a_lost_lease_no_result_is_recorded(world: World, body: bytes) -> None:
    """Neither ready nor rejected: the process that has the lease decides."""
    row = await _lost_during_the_check(world, body)
    assert row.state is State.COMPLETING


async def test_a_check_that_fails_names_upload_code_and_error_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator finds the upload and the cause; a warning while it is tried again, an error at the end."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise RuntimeError

    async def refuse() -> None:
        raise Forbidden("Not today.")

    world.store.before["GetObject"] = fail
    with pytest.raises(RuntimeError):
        await complete(world.gateway, ACME, upload.id)
    first = caplog.records[-1]
    assert (first.levelno, first.message) == (logging.WARNING, "could not check an upload; trying again")
    assert first.__dict__ | {"upload_id": str(upload.id), "code": "internal", "error": "RuntimeError"} == first.__dict__
    # At the very end of its time it is overdue.
    world.clock.move(86_400)
    world.store.before["GetObject"] = refuse
    final = await resume(world.gateway, upload.id)
    last = [one for one in caplog.records if one.levelno == logging.ERROR][-1]
    assert last.message == "could not check an upload in its whole lifetime; rejecting it"
    assert last.__dict__ | {"upload_id": str(upload.id), "code": "forbidden", "error": "Not today."} == last.__dict__
    assert final is not None
    assert (final.rejection_code, final.rejection_detail) == (
        "not_checked",
        "The file could not be checked. Not today.",
    )


async def test_an_unknown_error_has_no_words_for_the_client(world: World) -> None:
    """The client learns that the file could not be checked, and nothing of the program."""
    upload = await world.sent(wav())

    async def fail() -> None:
        raise RuntimeError("secret")

    world.store.before["GetObject"] = fail
    with pytest.raises(RuntimeError):
        await complete(world.gateway, ACME, upload.id)
    world.clock.move(86_401)
    world.store.before["GetObject"] = fail
    final = await resume(world.gateway, upload.id)
    assert final is not None
    assert final.rejection_detail == "The file could not be checked."


async def _on_disk(world: World, folder: Path, body: bytes, *, received: int | None = None) -> Upload:
    """Receive a file onto the gateway's disk, as the routes for streams do."""
    wanted = NewUpload("a.wav", None, directory=str(folder))
    upload = (await create(world.gateway, ACME, wanted, sent_by_gateway=True)).upload
    assert upload.path is not None
    disk.temporary(Path(upload.path)).write_bytes(body)
    token = uuid4()
    assert await world.uploads.claim_receiver(upload.id, token=token, seconds=30)
    count = len(body) if received is None else received
    assert await world.uploads.save_received(upload.id, token=token, seconds=30, received_bytes=count)
    return await complete(world.gateway, ACME, upload.id, receiver_token=token)


async def test_an_accepted_file_on_disk_gets_its_name(world: World, tmp_path: Path) -> None:
    """Only then other programs may read it; the event names its path and no key of the store."""
    ready = await _on_disk(world, tmp_path, wav())
    assert ready.state is State.READY
    assert ready.path == f"{tmp_path}/{ready.id}.wav"
    assert [path.name for path in tmp_path.iterdir()] == [f"{ready.id}.wav"]
    status = Path(ready.path).stat()
    assert ready.observed_etag == f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    data = world.uploads.events[-1][2]
    assert (data["path"], "object_key" in data) == (ready.path, False)
    assert world.store.calls == []


async def test_a_refused_file_on_disk_is_removed(world: World, tmp_path: Path) -> None:
    """Nothing of it stays, and the sweeper has nothing to do."""
    final = await _on_disk(world, tmp_path, b"just a letter " * 100)
    assert (final.state, list(tmp_path.iterdir()), world.uploads.cleanup_pending) == (State.REJECTED, [], set())
    assert world.store.calls == []


async def test_half_a_file_on_disk_is_never_accepted(world: World, tmp_path: Path) -> None:
    """The bytes on the disk are compared with those that were received."""
    final = await _on_disk(world, tmp_path, wav(), received=2499)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_changed")


async def test_a_file_that_changes_on_disk_during_the_check_is_rejected(world: World, tmp_path: Path) -> None:
    """As in the store: other bytes never become ready."""

    class Meddler(Scanner):
        async def scan(self, chunks: AsyncIterator[bytes], size_bytes: int) -> ScanResult:
            [path] = tmp_path.iterdir()
            with path.open("r+b") as file:
                file.write(wav(2500)[:40] + b"datX")
                file.truncate(2501)
            return ScanResult(True)

    world.gateway = replace(world.gateway, scanner=Meddler(ScanResult(True)))
    final = await _on_disk(world, tmp_path, wav())
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_changed")


async def test_a_file_that_left_the_disk_is_missing(world: World, tmp_path: Path) -> None:
    """Another program removed it after it was received."""
    upload = (
        await create(world.gateway, ACME, NewUpload("a.wav", None, directory=str(tmp_path)), sent_by_gateway=True)
    ).upload
    token = uuid4()
    await world.uploads.claim_receiver(upload.id, token=token, seconds=30)
    await world.uploads.save_received(upload.id, token=token, seconds=30, received_bytes=9)
    final = await complete(world.gateway, ACME, upload.id, receiver_token=token)
    assert (final.state, final.rejection_code) == (State.REJECTED, "object_missing")


async def test_an_aborted_file_on_disk_is_removed(world: World, tmp_path: Path) -> None:
    """Under its temporary name and under its own."""
    upload = (
        await create(world.gateway, ACME, NewUpload("a.wav", None, directory=str(tmp_path)), sent_by_gateway=True)
    ).upload
    disk.temporary(Path(str(upload.path))).write_bytes(b"x")
    Path(str(upload.path)).write_bytes(b"x")
    aborted = await abort(world.gateway, ACME, upload.id)
    assert (aborted.state, list(tmp_path.iterdir()), world.uploads.cleanup_pending) == (State.ABORTED, [], set())


async def test_a_file_on_disk_has_no_parts_to_sign_or_list(world: World, tmp_path: Path) -> None:
    """The answer says where the file is, open or ready: neither that it was aborted nor that it is not open."""
    wanted = NewUpload("a.wav", None, directory=str(tmp_path))
    open_one = (await create(world.gateway, ACME, wanted, sent_by_gateway=True)).upload
    ready = await _on_disk(world, tmp_path, wav())
    with pytest.raises(WrongState, match="on its own disk; it takes no parts") as raised:
        await sign(world.gateway, ACME, open_one.id, [WantedPart(1)])
    assert raised.value.fields == {"state": "uploading"}
    for upload, state in ((open_one, "uploading"), (ready, "ready")):
        with pytest.raises(WrongState, match="on its own disk; it has no parts") as raised:
            await list_parts(world.gateway, ACME, upload.id)
        assert raised.value.fields == {"state": state}
