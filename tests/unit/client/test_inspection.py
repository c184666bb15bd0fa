"""The question before an upload: what is sent, what its answers mean, and that its failure stops nothing."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.client import AsyncClient, Client, SourceError
from gateway.client.inspection import HEAD_BYTES, MAX_BYTES, MAX_RANGES, TAIL_BYTES
from gateway.detection.source import HEAD, TAIL
from gateway.uploads import inspect as server
from tests.unit.client.conftest import HASTY
from tests.unit.client.standin import KEY, StandIn

WRONG = {
    "accepted": False,
    "rejection": {"code": "type_not_recognised", "detail": "This is a ZIP archive."},
    "detection": {"container": "zip"},
    "wanted": [],
}
RIGHT = {"accepted": True, "rejection": None, "detection": {"container": "mp4"}, "content_type": "video/mp4"}
# Refused for its name: create says so itself, with the list of accepted extensions.
NAME = {"accepted": False, "rejection": {"code": "extension_not_allowed", "detail": "No."}, "detection": None}


def bytes_of(question: dict[str, Any]) -> dict[int, bytes]:
    """Return the bytes of each range by their offset."""
    return {one["start"]: base64.b64decode(one["data"]) for one in question["ranges"]}


def test_a_wrong_file_is_rejected_and_nothing_is_created(client: Client, standin: StandIn, media: Path) -> None:
    """The result is a rejected upload with the gateway's sentence and no id. A path leaves no record behind."""
    standin.verdicts = [WRONG]
    phases = []
    upload = client.upload(media, metadata={"a": "b"}, progress=lambda now: phases.append((now.phase, now.upload_id)))
    assert (upload.state, upload.upload_id, upload.is_final) == ("rejected", "", True)
    assert upload.rejection is not None
    assert (upload.rejection.code, upload.rejection.detail) == ("type_not_recognised", "This is a ZIP archive.")
    assert (upload.detection, upload.metadata) == ({"container": "zip"}, {"a": "b"})
    assert standin.uploads == {}
    assert [method for method, path, _ in standin.seen if path != "/v1/inspect"] == []
    assert phases[-1] == ("done", None)
    assert list((media.parent / "state").glob("*.json")) == []


@pytest.mark.parametrize("verdict", [RIGHT, NAME, {"accepted": None, "rejection": None, "wanted": []}])
def test_an_accepted_file_is_sent(client: Client, standin: StandIn, media: Path, verdict: dict[str, Any]) -> None:
    """A verdict that is no rejection of the bytes leaves the upload as it was."""
    standin.verdicts = [verdict]
    assert client.upload(media).state == "ready"
    assert len(standin.questions) == 1


@pytest.mark.parametrize("fault", [404, 400, 403, 422, 429, 500, 503, "reset", "html"])
def test_a_question_that_fails_stops_nothing(client: Client, standin: StandIn, media: Path, fault: Any) -> None:
    """The question is asked once; without an answer the upload goes on."""
    standin.api_faults["inspect"].append(fault)
    standin.verdicts = [WRONG]
    assert client.upload(media).state == "ready"
    assert [path for _, path, _ in standin.seen].count("/v1/inspect") == 1


def test_the_question_can_be_left_out(client: Client, standin: StandIn, media: Path) -> None:
    """`inspect=False` asks nothing, for one file and for many."""
    standin.verdicts = [WRONG]
    assert client.upload(media, inspect=False).state == "ready"
    assert [outcome.is_ready for outcome in client.upload_many([b"x" * 9], inspect=False)] == [False]
    assert standin.questions == []


def test_a_stream_is_not_asked_about(client: Client, standin: StandIn) -> None:
    """Of a pipe or an iterator neither size nor end are known."""
    standin.verdicts = [WRONG]
    assert client.upload(iter([b"x" * 10]), filename="a.mp3").state == "ready"
    assert standin.questions == []
    with pytest.raises(SourceError, match="a stream cannot be inspected"):
        client.inspect(iter([b"x"]), filename="a.mp3")  # type: ignore[arg-type]  # what is tested


def test_a_resumed_upload_is_not_asked_about(client: Client, standin: StandIn, media: Path) -> None:
    """The gateway answered when the upload was created."""
    standin.verdicts = [RIGHT]
    standin.api_faults["sign"] += [401]
    with pytest.raises(Exception, match="unavailable"):
        client.upload(media)
    assert client.upload(media).state == "ready"
    assert len(standin.questions) == 1


def test_beginning_and_end_are_sent_first(client: Client, standin: StandIn, media: Path) -> None:
    """The first question has the ranges with which the server answers at once; a small file is sent as one."""
    standin.verdicts = [RIGHT]
    data = media.read_bytes()
    assert (HEAD_BYTES, TAIL_BYTES) == (HEAD, TAIL)
    assert (MAX_RANGES, MAX_BYTES) == (server.MAX_RANGES, server.MAX_INSPECT_BYTES)
    client.inspect(media)
    [question] = standin.questions
    assert (question["filename"], question["size_bytes"]) == ("talk.mp4", len(data))
    assert bytes_of(question) == {0: data[:HEAD], len(data) - TAIL: data[-TAIL:]}
    client.inspect(data[:1000], filename="a.mp3")
    assert bytes_of(standin.questions[1]) == {0: data[:1000]}


def test_wanted_ranges_are_sent_with_those_of_before(client: Client, standin: StandIn, media: Path) -> None:
    """The last question has every range, the wanted ones cut to the file."""
    data = media.read_bytes()
    asked = [(50_000, 100), (len(data) - 5, 100), (1 << 40, 5)]
    wanted = [{"start": start, "length": length} for start, length in asked]
    standin.verdicts = [{"accepted": None, "rejection": None, "wanted": wanted}, RIGHT]
    inspection = client.inspect(media)
    assert (inspection.accepted, inspection.content_type) == (True, "video/mp4")
    sent = bytes_of(standin.questions[1])
    assert sorted(sent) == [0, 50_000, len(data) - TAIL, len(data) - 5]
    assert sent[50_000] == data[50_000:50_100]
    assert sent[len(data) - 5] == data[-5:]


@pytest.mark.parametrize(
    "wanted", [[{"start": 40_000, "length": 100}], [{"start": 40_000, "length": 200_000}], [{"start": 0, "length": 5}]]
)
def test_questions_end(client: Client, standin: StandIn, media: Path, wanted: list[Any]) -> None:
    """A server that wants the same bytes again, or more than the limit, gets no more questions."""
    standin.verdicts = [{"accepted": None, "rejection": None, "wanted": wanted}]
    assert client.inspect(media).accepted is None
    assert len(standin.questions) <= 2


def test_a_file_object_stands_where_it_stood(client: Client, standin: StandIn) -> None:
    """`inspect` reads a file object from its position and puts it back there."""
    standin.verdicts = [RIGHT]
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    client.inspect(file, filename="a.mp3")
    assert (bytes_of(standin.questions[0]), file.tell()) == ({0: b"456789"}, 4)


async def test_the_async_client_asks_too(standin: StandIn, media: Path, tmp_path: Path) -> None:
    """`AsyncClient` has the same question and the same result."""
    standin.verdicts = [WRONG]
    async with AsyncClient(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        assert (await client.inspect(media)).accepted is False
        assert (await client.upload(media)).state == "rejected"
        assert (await client.upload(media, inspect=False)).state == "ready"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_refuses_a_wrong_file(standin: StandIn, tmp_path: Path, options: list[str]) -> None:
    """`gateway upload` ends with 1 and the sentence; `--no-inspect` sends the file."""
    file = tmp_path / "big.mp4"
    file.touch()
    os.truncate(file, 5 << 30)
    standin.verdicts = [WRONG]
    environment = {"GATEWAY_URL": standin.url, "GATEWAY_API_KEY": KEY, "XDG_STATE_HOME": str(tmp_path / "state")}
    done = CliRunner().invoke(app, ["upload", *options, str(file)], env=environment)
    assert (done.exit_code, standin.uploads) == (1, {})
    if options:
        record = json.loads(done.stdout)
        assert (record["state"], record["rejection"]["code"]) == ("rejected", "type_not_recognised")
        assert "upload_id" not in record
    else:
        assert f"{file}: rejected before it was sent (type_not_recognised: This is a ZIP archive.)" in done.output
    small = tmp_path / "small.mp4"
    small.write_bytes(b"x" * 100)
    assert CliRunner().invoke(app, ["upload", "--no-inspect", str(small)], env=environment).exit_code == 0


@pytest.mark.parametrize(
    ("verdict", "code", "shown"),
    [
        (WRONG, 1, "This is a ZIP archive."),
        (NAME, 1, "refused: extension_not_allowed"),
        (RIGHT | {"detection": {"accepted": True, "media_type": "video/mp4"}}, 0, "accepted  video/mp4"),
        ({"accepted": None, "rejection": None, "wanted": []}, 3, "no answer without the whole file"),
    ],
)
def test_the_inspect_command_asks_the_gateway(
    standin: StandIn, media: Path, verdict: dict[str, Any], code: int, shown: str
) -> None:
    """With a key, `gateway inspect FILE` gives the gateway's verdict; with --local it asks nobody."""
    if verdict is WRONG:
        verdict = WRONG | {"detection": {"accepted": False, "check": "beginning"}}
    standin.verdicts = [verdict]
    environment = {"GATEWAY_URL": standin.url, "GATEWAY_API_KEY": KEY, "COLUMNS": "300"}
    done = CliRunner().invoke(app, ["inspect", str(media)], env=environment)
    assert done.exit_code == code
    assert shown in done.output
    quiet = CliRunner().invoke(app, ["inspect", "-q", str(media)], env=environment)
    assert (quiet.exit_code, quiet.stdout, bool(quiet.stderr)) == (code, "", code != 0)
    asked = len(standin.questions)
    CliRunner().invoke(app, ["inspect", "--local", str(media)], env=environment)
    assert len(standin.questions) == asked
