"""The engine against a real server that fails in every way a network and a store can."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.client import (
    AlreadyUploading,
    Client,
    ClientError,
    FileChanged,
    GatewayUnavailable,
    InvalidRequest,
    NotAuthorised,
    PartsMismatch,
    Progress,
    SourceError,
    StoreRefused,
    Unreachable,
    UploadCancelled,
)
from tests.unit.client.conftest import HASTY
from tests.unit.client.standin import KEY, SECRET, StandIn


def notes(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state").glob("*.json"))


@pytest.mark.parametrize("checksums", [True, False])
def test_every_byte_arrives(client: Client, standin: StandIn, media: Path, checksums: bool) -> None:
    """A file arrives whole, in as many PUTs as it has parts, with and without checksums."""
    upload = client.upload(media, checksums=checksums)
    assert upload.state == "ready"
    assert upload.filename == "talk.mp4"
    assert standin.content() == media.read_bytes()
    assert sorted(standin.puts) == [1, 2, 3, 4, 5]


def test_a_part_is_sent_as_it_was_signed(client: Client, standin: StandIn, media: Path) -> None:
    """A part carries its exact length and checksum, never a chunked body or the API key, and its address unchanged."""
    client.upload(media)
    parts = [
        (path, {k.lower(): v for k, v in headers.items()}) for method, path, headers in standin.seen if method == "PUT"
    ]
    data = media.read_bytes()
    for path, headers in parts:
        number = int(path.split("?")[0].rsplit("/", 1)[1])
        part = data[(number - 1) * 65536 : number * 65536]
        assert headers["content-length"] == str(len(part))
        assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(part).digest()).decode()
        assert "transfer-encoding" not in headers
        assert "authorization" not in headers
        assert "content-type" not in headers
        assert "key=a%2Fb%7Ec+d&" in path


@pytest.mark.parametrize("size_bytes", [1, 65535, 65536, 65537])
def test_sizes_around_a_part(client: Client, standin: StandIn, tmp_path: Path, size_bytes: int) -> None:
    """One byte, one byte less than a part, a part, and one byte more all arrive."""
    file = tmp_path / "a.mp3"
    file.write_bytes(os.urandom(size_bytes))
    assert client.upload(file).state == "ready"
    assert standin.content() == file.read_bytes()


def test_an_empty_file_is_the_gateways_to_refuse(client: Client, tmp_path: Path) -> None:
    """An empty file ends with what the gateway says about it and leaves no note."""
    file = tmp_path / "a.mp3"
    file.touch()
    with pytest.raises(InvalidRequest) as caught:
        client.upload(file)
    assert caught.value.code == "invalid_request"
    assert notes(tmp_path) == []


@pytest.mark.parametrize(
    "faults",
    [
        ["reset", "reset"],
        ["late"],
        [(503, "SlowDown", {"Retry-After": "0"}), (500, "InternalError")],
        [(429, "TooManyRequests")],
        [(400, "RequestTimeout")],
        [(403, "AccessDenied")],
        ["early"],
        [(400, "BadDigest")],
    ],
    ids=["reset", "answer-lost", "slow-down", "429", "request-timeout", "403", "403-before-body", "bad-digest"],
)
@pytest.mark.parametrize("checksums", [True, False])
def test_faults_that_pass(client: Client, standin: StandIn, media: Path, faults: list[Any], checksums: bool) -> None:
    """A part that fails for a reason that passes is sent again, alone."""
    standin.part_faults[2].extend(faults)
    seen: list[Progress] = []
    assert client.upload(media, checksums=checksums, progress=seen.append).state == "ready"
    assert standin.content() == media.read_bytes()
    assert standin.puts.count(2) == len(faults) + 1
    assert len(standin.puts) == 5 + len(faults)
    assert seen[-1].retries == len(faults)


def test_expired_addresses_are_renewed(client: Client, standin: StandIn, media: Path) -> None:
    """Addresses that ended before their turn are not used: new ones are signed first."""
    standin.url_seconds = 1.0
    standin.api_faults["sign"].append(lambda: setattr(standin, "url_seconds", 3600.0))
    assert client.upload(media, checksums=False).state == "ready"
    assert sorted(standin.puts) == [1, 2, 3, 4, 5]


def test_a_store_that_finds_the_address_expired_gets_a_new_one(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """A 403 for an address that should hold (another clock) is answered with a new address."""
    standin.url_seconds = -10.0
    standin.part_faults[1].append(lambda: setattr(standin, "url_seconds", 3600.0))
    with Client(standin.url, KEY, retry=HASTY, parallel=1, state_folder=tmp_path / "state") as single:
        assert single.upload(media).state == "ready"
    assert sorted(standin.puts) == [1, 1, 2, 3, 4, 5]
    assert standin.content() == media.read_bytes()


@pytest.mark.parametrize(
    ("fault", "status"),
    [((403, "SignatureDoesNotMatch"), 403), ((400, "InvalidRequest"), 400), ((301, "PermanentRedirect"), 301)],
)
def test_a_store_that_refuses_is_named(
    client: Client, standin: StandIn, media: Path, fault: tuple[int, str], status: int
) -> None:
    """A part refused for good raises StoreRefused with part, status and code, and nothing of the address."""
    standin.part_faults[3].extend([fault] * 10)
    with pytest.raises(StoreRefused) as caught:
        client.upload(media)
    assert (caught.value.part_number, caught.value.status, caught.value.code) == (3, status, fault[1])
    assert SECRET not in str(caught.value)
    assert standin.puts.count(3) <= 3


def test_a_store_that_stays_down(client: Client, standin: StandIn, media: Path) -> None:
    """Resets without end raise Unreachable after the tries there are, and the upload can go on later."""
    standin.part_faults[1].extend(["reset"] * HASTY.attempts)
    with pytest.raises(Unreachable) as caught:
        client.upload(media)
    assert SECRET not in str(caught.value)
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_it_goes_on_where_it_stopped(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """The same call sends only what the store does not hold with the right bytes, and the note goes at the end."""
    standin.part_faults[4].extend([(400, "InvalidRequest")])
    with pytest.raises(StoreRefused):
        client.upload(media)
    record = standin.only()
    record.state = "uploading"
    held = {number for number in record.parts if number != 1}
    record.parts[1].checksum = base64.b64encode(bytes(32)).decode()
    standin.puts.clear()
    seen: list[Progress] = []
    assert client.upload(media, progress=seen.append).state == "ready"
    # A part of the first call may still arrive: its client stopped waiting for it.
    assert set(standin.puts) == {1, 2, 3, 4, 5} - held
    assert seen[-1].resumed_bytes == sum(record.parts[number].size_bytes for number in held)
    assert standin.content() == media.read_bytes()
    assert notes(tmp_path) == []


def test_it_goes_on_by_md5_where_the_store_lists_no_checksums(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """Without listed checksums an etag that is the part's MD5 proves the part; any other etag does not."""
    standin.list_checksums = False
    with Client(standin.url, KEY, retry=HASTY, parallel=1, state_folder=tmp_path / "state") as slow:
        standin.part_faults[5].append((400, "InvalidRequest"))
        with pytest.raises(StoreRefused):
            slow.upload(media)
        standin.only().parts[2].etag = "opaque"
        standin.puts.clear()
        assert slow.upload(media).state == "ready"
    assert sorted(standin.puts) == [2, 5]


def test_notes_hold_nothing_that_opens_a_door(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """A note is readable by its owner only, and holds no key, address or signature."""
    standin.part_faults[1].append((400, "InvalidRequest"))
    with pytest.raises(StoreRefused):
        client.upload(media)
    (note,) = notes(tmp_path)
    text = note.read_text()
    assert note.stat().st_mode & 0o077 == 0
    assert KEY not in text
    assert SECRET not in text
    assert "http" not in text


@pytest.mark.parametrize("state", ["aborted", "expired", "gone"])
def test_an_upload_that_is_over_is_begun_anew(client: Client, standin: StandIn, media: Path, state: str) -> None:
    """When the upload of the note is over, a new one is made."""
    standin.part_faults[1].append((400, "InvalidRequest"))
    with pytest.raises(StoreRefused):
        client.upload(media)
    first = standin.only()
    if state == "gone":
        standin.uploads.clear()
    else:
        first.state = state
    upload = client.upload(media)
    assert upload.state == "ready"
    assert upload.upload_id != first.upload_id


def test_a_torn_note_is_no_note(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """A note cut in the middle, or of another form, is overwritten."""
    for text in ('{"upload_id": "x', "[]", '{"upload_id": 7, "idempotency_key": 8}'):
        standin.part_faults[1].append((400, "InvalidRequest"))
        with pytest.raises(StoreRefused):
            client.upload(media)
        notes(tmp_path)[0].write_text(text)
    assert client.upload(media).state == "ready"


def test_a_lost_answer_to_create_does_not_make_two(client: Client, standin: StandIn, media: Path) -> None:
    """The answer to create gets lost, and the second try finds the same upload."""
    standin.api_faults["create"].append("late")
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_a_killed_process_finds_its_upload_by_the_idempotency_key(
    client: Client, standin: StandIn, media: Path
) -> None:
    """A process that ended between create and its note goes on with the upload it made."""
    standin.api_faults["create"].extend(["late"] * HASTY.attempts)
    with pytest.raises(Unreachable):
        client.upload(media)
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_an_idempotency_key_used_otherwise_is_renewed(client: Client, standin: StandIn, media: Path) -> None:
    """A key the gateway knows with another body is replaced by a fresh one."""
    standin.api_faults["create"].extend(["late"] * HASTY.attempts)
    with pytest.raises(Unreachable):
        client.upload(media)
    standin.only().body["filename"] = "other.mp4"
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 2


def test_a_file_that_grows_is_noticed(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """A file written to while it is sent raises FileChanged, and the upload is aborted."""
    standin.part_faults[3].append(lambda: media.write_bytes(media.read_bytes() + b"more"))
    with pytest.raises(FileChanged):
        client.upload(media)
    assert standin.only().state == "aborted"
    assert notes(tmp_path) == []


def test_a_file_that_shrinks_is_noticed(client: Client, standin: StandIn, media: Path) -> None:
    """A file cut short while it is sent raises FileChanged."""
    standin.part_faults[1].append(lambda: os.truncate(media, 10))
    with pytest.raises(FileChanged):
        client.upload(media)


def test_a_changed_file_is_another_upload(client: Client, standin: StandIn, media: Path) -> None:
    """The note of a file is not used once the file was written to."""
    standin.part_faults[1].append((400, "InvalidRequest"))
    with pytest.raises(StoreRefused):
        client.upload(media)
    media.write_bytes(os.urandom(100))
    assert client.upload(media).size_bytes == 100
    assert len(standin.uploads) == 2


def test_the_same_file_twice_at_once(client: Client, standin: StandIn, media: Path) -> None:
    """While a file is being sent, sending it again says so; without resuming it is simply sent twice."""
    errors: list[BaseException] = []

    def second() -> None:
        try:
            client.upload(media)
        except ClientError as exc:
            errors.append(exc)

    def meanwhile() -> None:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(10)

    started: list[bool] = []

    def progress(event: Progress) -> None:
        if event.phase == "sending" and not started:
            started.append(True)
            meanwhile()

    assert client.upload(media, progress=progress).state == "ready"
    assert [type(error) for error in errors] == [AlreadyUploading]
    assert client.upload(media, resume=False).state == "ready"
    assert len(standin.uploads) == 2


def test_parts_the_gateway_misses_are_sent_again(client: Client, standin: StandIn, media: Path) -> None:
    """A 409 that names parts makes those parts go again, and complete is asked once more."""

    def lose() -> None:
        record = standin.only()
        del record.parts[2]
        record.parts[4].etag = "changed"

    standin.api_faults["complete"].append(lose)
    assert client.upload(media).state == "ready"
    assert standin.content() == media.read_bytes()
    assert sorted(standin.puts) == [1, 2, 2, 3, 4, 4, 5]


def test_a_mismatch_without_names_compares_every_part(client: Client, standin: StandIn, media: Path) -> None:
    """A 409 that names nothing makes the client compare all parts with the store's and send what differs."""

    def replace() -> None:
        standin.refuse_unnamed = 1
        standin.only().parts[3].checksum = base64.b64encode(bytes(32)).decode()

    standin.api_faults["complete"].append(replace)
    assert client.upload(media).state == "ready"
    assert sorted(standin.puts) == [1, 2, 3, 3, 4, 5]


def test_parts_that_get_lost_each_time_are_an_error(client: Client, standin: StandIn, media: Path) -> None:
    """The third mismatch is raised, and names the parts."""
    standin.api_faults["complete"].extend([lambda: standin.only().parts.pop(2)] * 3)
    with pytest.raises(PartsMismatch) as caught:
        client.upload(media)
    assert caught.value.fields["missing"] == [2]
    assert standin.puts.count(2) == 3


def test_hidden_etags_do_not_matter(client: Client, standin: StandIn, media: Path) -> None:
    """A store that shows no etag is completed without them."""
    standin.hide_etags = True
    assert client.upload(media).state == "ready"


@pytest.mark.parametrize("final", ["ready", "rejected"])
def test_the_check_is_waited_for(client: Client, standin: StandIn, media: Path, final: str) -> None:
    """After a 202 the client waits for the final state and returns it, a rejection with its reason."""
    standin.rounds_until_final, standin.final_state = 2, final
    upload = client.upload(media)
    assert upload.state == final
    assert (upload.rejection is not None) == (final == "rejected")


def test_a_check_that_takes_too_long_is_returned_unfinished(
    client: Client, standin: StandIn, media: Path, tmp_path: Path
) -> None:
    """When the wait is over the upload comes back as it is; the same call later finds it, sending nothing."""
    standin.rounds_until_final = 2
    assert client.upload(media, wait_seconds=0).state == "validating"
    assert len(notes(tmp_path)) == 1
    standin.puts.clear()
    assert client.upload(media).state == "ready"
    assert standin.puts == []


def test_an_upload_finished_elsewhere_is_returned(client: Client, standin: StandIn, media: Path) -> None:
    """When another client completed the upload meanwhile, its outcome is the answer."""

    def elsewhere() -> None:
        standin.only().state = "ready"

    standin.part_faults[5].append(elsewhere)
    assert client.upload(media).state == "ready"


def test_the_gateway_may_fail_for_a_while(client: Client, standin: StandIn, media: Path) -> None:
    """503, resets and lost answers of every call are tried again."""
    standin.api_faults["create"].extend([503, "reset"])
    standin.api_faults["sign"].extend([500, "late", 429])
    standin.api_faults["complete"].extend(["late", 503])
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_a_gateway_that_stays_down_is_an_error(client: Client, standin: StandIn, media: Path) -> None:
    """503 through every try raises GatewayUnavailable with the gateway's code."""
    standin.api_faults["create"].extend([503] * HASTY.attempts)
    with pytest.raises(GatewayUnavailable) as caught:
        client.upload(media)
    assert (caught.value.status, caught.value.code) == (503, "unavailable")


def test_what_is_no_gateway_is_an_error(client: Client, standin: StandIn, media: Path) -> None:
    """A page instead of an upload says that no gateway answered."""
    standin.api_faults["create"].append("html")
    with pytest.raises(Unreachable, match="not an upload gateway"):
        client.upload(media)


def test_a_wrong_key_is_an_error_at_once(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """401 is not tried again, and the message has no key."""
    with (
        Client(standin.url, "wrong-key", retry=HASTY, state_folder=tmp_path / "state") as client,
        pytest.raises(NotAuthorised) as caught,
    ):
        client.upload(media)
    assert "wrong-key" not in str(caught.value)
    assert len(standin.seen) == 1


def test_parts_in_flight_are_bounded_over_all_uploads(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """Three uploads on one client never have more parts in flight than it was given."""
    standin.hold_seconds = 0.02
    with Client(standin.url, KEY, parallel=2, retry=HASTY, state_folder=tmp_path / "state") as client:
        crew = [threading.Thread(target=client.upload, args=(media,), kwargs={"resume": False}) for _ in range(3)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    assert standin.most_in_flight == 2
    assert [record.state for record in standin.uploads.values()] == ["ready"] * 3


def test_cancel_stops_and_the_next_call_goes_on(client: Client, standin: StandIn, media: Path) -> None:
    """Setting the event stops with UploadCancelled even while a part hangs; the next call goes on."""
    standin.hold_seconds = 30.0
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(UploadCancelled):
        client.upload(media, cancel=cancel)
    standin.hold_seconds = 0.0
    assert client.upload(media).state == "ready"
    assert len(standin.uploads) == 1


def test_a_file_object_is_sent(client: Client, standin: StandIn, media: Path, tmp_path: Path) -> None:
    """An open file and bytes in memory are sent like a path, and leave no note."""
    with media.open("rb") as file:
        assert client.upload(file).filename == "talk.mp4"
    standin.uploads.clear()
    upload = client.upload(
        io.BytesIO(media.read_bytes()), filename="b.mp4", metadata={"a": "b"}, content_type="video/mp4"
    )
    assert (upload.filename, upload.metadata, upload.content_type) == ("b.mp4", {"a": "b"}, "video/mp4")
    assert standin.content() == media.read_bytes()
    assert notes(tmp_path) == []


def test_a_failed_file_object_is_aborted(client: Client, standin: StandIn, media: Path) -> None:
    """What nobody can go on with is given up, so that its parts do not lie around."""
    standin.part_faults[2].append((400, "InvalidRequest"))
    with pytest.raises(StoreRefused):
        client.upload(io.BytesIO(media.read_bytes()), filename="b.mp4")
    assert standin.only().state == "aborted"


def test_what_cannot_be_read_is_a_source_error(client: Client, standin: StandIn, tmp_path: Path) -> None:
    """A missing file, a nameless object and a text file are errors before anything is asked of the gateway."""
    text = tmp_path / "a.txt"
    text.touch()
    with pytest.raises(SourceError, match="No such file"):
        client.upload(tmp_path / "missing.mp3")
    with pytest.raises(SourceError, match="filename"):
        client.upload(io.BytesIO(b"x"))
    with text.open() as file, pytest.raises(SourceError, match="text mode"):
        client.upload(file, filename="a.mp3")  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="cannot be sent"):
        client.upload(7, filename="a.mp3")  # type: ignore[arg-type]
    assert standin.seen == []


def test_a_folder_for_notes_that_cannot_be_written_does_not_matter(
    standin: StandIn, media: Path, tmp_path: Path
) -> None:
    """Without a place for notes an upload works; it only cannot be resumed."""
    (tmp_path / "state").write_text("a file where the folder should be")
    with Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        assert client.upload(media).state == "ready"


def test_old_notes_are_removed(client: Client, media: Path, tmp_path: Path) -> None:
    """A note no gateway can still know is removed when another upload begins."""
    (tmp_path / "state").mkdir()
    old = tmp_path / "state" / "old.json"
    old.touch()
    os.utime(old, (time.time() - 30 * 86400,) * 2)
    client.upload(media)
    assert not old.exists()


def test_progress_never_lies(client: Client, standin: StandIn, media: Path) -> None:
    """Progress ends with every byte and part, never shows more than there is, and comes in the caller's thread."""
    standin.part_faults[2].append("reset")
    seen: list[tuple[Progress, int]] = []
    client.upload(media, progress=lambda event: seen.append((event, threading.get_ident())))
    last = seen[-1][0]
    assert (last.phase, last.sent_bytes, last.parts_done) == ("done", media.stat().st_size, 5)
    assert all(event.sent_bytes <= event.size_bytes for event, _ in seen)
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_g3_no_secret_in_logs(client: Client, standin: StandIn, media: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at debug, no address, signature or key is written, not even when parts fail."""
    caplog.set_level(logging.DEBUG)
    standin.part_faults[1].extend(["reset", (403, "AccessDenied"), (503, "SlowDown")])
    assert client.upload(media, checksums=False).state == "ready"
    assert "HTTP Request" in caplog.text
    for secret in (SECRET, KEY, "X-Amz-Signature"):
        assert secret not in caplog.text


def test_over_tls(standin_tls: tuple[StandIn, ssl.SSLContext], media: Path, tmp_path: Path) -> None:
    """A server whose certificate is trusted gets the file over TLS; any other is Unreachable and gets no byte."""
    standin, trusting = standin_tls
    with Client(standin.url, KEY, retry=HASTY, ssl_context=trusting, state_folder=tmp_path / "state") as client:
        assert client.upload(media).state == "ready"
    assert standin.content() == media.read_bytes()
    standin.seen.clear()
    with (
        Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client,
        pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.upload(media)
    assert standin.seen == []
