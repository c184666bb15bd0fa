"""Forms as clients put them on the wire, byte for byte: those that cannot be run here, and those that vary."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from gateway.dev.store import StoreServer
from gateway.settings import Settings
from tests.api.conftest import large_mp3, mp3_bytes
from tests.api.streaming import Served, running_api, serve
from tests.conftest import store_settings

FILE = mp3_bytes()
B = "BoUnDaRy42"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp3"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    make_database: Callable[[], str], store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """Serve one API for all captures."""
    folder = tmp_path_factory.mktemp("kept")
    settings = Settings(_env_file=None, database_url=make_database(), upload_dir=folder, **store_settings(store_server))
    async with running_api(settings) as api, serve(api) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def served(shared: Served) -> AsyncIterator[Served]:
    """Give the server to a tenant of this test's own."""
    async with shared.as_tenant(uuid.uuid4().hex) as mine:
        yield mine


def part(headers: str, body: bytes = FILE) -> bytes:
    """Write one part; *headers* are its lines."""
    return f"--{B}\r\n{headers}\r\n\r\n".encode() + body + b"\r\n"


END = f"--{B}--\r\n".encode()


@dataclass(frozen=True)
class Capture:
    """What a client sends, and what must become of it."""

    body: bytes
    filename: str
    metadata: dict[str, str] = field(default_factory=dict)
    content_type: str = f"multipart/form-data; boundary={B}"


AUDIO = 'Content-Disposition: form-data; name="file"; filename="talk.mp3"\r\nContent-Type: audio/mpeg'
CAPTURES = {
    "h1 .NET HttpClient": Capture(
        part(
            "Content-Type: audio/mpeg\r\n"
            "Content-Disposition: form-data; name=file; filename=talk.mp3; filename*=utf-8''talk.mp3"
        )
        + END,
        "talk.mp3",
        content_type=f'multipart/form-data; boundary="{B}"',
    ),
    "h1 .NET with umlauts and a field": Capture(
        part("Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=model", b"whisper-1")
        + part(
            'Content-Disposition: form-data; name=file; filename="=?utf-8?B?w7xiZXIubXAz?="; '
            "filename*=utf-8''%C3%BCber.mp3"
        )
        + END,
        "über.mp3",
        {"model": "whisper-1"},
    ),
    "h2 Spring RestTemplate": Capture(
        part(
            'Content-Disposition: form-data; name="file"; filename="=?UTF-8?Q?=C3=BCber.mp3?="\r\n'
            "Content-Type: audio/mpeg\r\nContent-Length: " + str(len(FILE))
        )
        + END,
        "über.mp3",
        content_type=f"multipart/form-data;charset=UTF-8;boundary={B}",
    ),
    "h3 aiohttp": Capture(
        part(
            "Content-Type: audio/mpeg\r\n"
            'Content-Disposition: form-data; name="file"; filename="%C3%BCbung%20%281%29.mp3"'
        )
        + END,
        "übung (1).mp3",
    ),
    "h4 cpp-httplib": Capture(b"\r\n" + part(AUDIO) + END, "talk.mp3"),
    "h4 old aiohttp": Capture(b"\n\r\n" + part(AUDIO) + END, "talk.mp3"),
    "h4 mail libraries write a sentence first": Capture(
        b"This is a multi-part message in MIME format.\r\n" + part(AUDIO) + END, "talk.mp3"
    ),
    "form-data (npm) escapes no quote": Capture(
        part('Content-Disposition: form-data; name="file"; filename="a "live" talk.mp3"\r\nContent-Type: audio/mpeg')
        + END,
        'a "live" talk.mp3',
    ),
    "h5 line ends after the end": Capture(part(AUDIO) + END + b"\r\n\r\n", "talk.mp3"),
    "h5 blanks and a sentence after the end": Capture(part(AUDIO) + END + b"  \r\nThat was all.\r\n", "talk.mp3"),
    "h5 no line end after the end": Capture(part(AUDIO) + END[:-2], "talk.mp3"),
    "h6 JavaMail boundary": Capture(
        (part(AUDIO) + END).replace(B.encode(), b"----=_Part_0_1:2"),
        "talk.mp3",
        content_type="multipart/form-data; boundary=----=_Part_0_1:2",
    ),
    "h6 semicolon at the end": Capture(
        part(AUDIO) + END, "talk.mp3", content_type=f"multipart/form-data; BOUNDARY={B};"
    ),
    "h7 OpenAI client": Capture(
        part('Content-Disposition: form-data; name="model"', b"whisper-1")
        + part(AUDIO)
        + part('Content-Disposition: form-data; name="submit"', b"Upload")
        + END,
        "talk.mp3",
        {"model": "whisper-1", "submit": "Upload"},
    ),
    "h7 FilePond": Capture(
        part('Content-Disposition: form-data; name="filepond"', b"{}")
        + part('Content-Disposition: form-data; name="filepond"; filename="talk.mp3"\r\nContent-Type: audio/mpeg')
        + END,
        "talk.mp3",
        {"filepond": "{}"},
    ),
    "h7 a page with a hidden field and an unused file input": Capture(
        part('Content-Disposition: form-data; name="csrf_token"', b"abc")
        + part(AUDIO)
        + part(
            'Content-Disposition: form-data; name="second"; filename=""\r\nContent-Type: application/octet-stream', b""
        )
        + END,
        "talk.mp3",
        {"csrf_token": "abc"},
    ),
    "h7 an unused file input first": Capture(
        part('Content-Disposition: form-data; name="second"; filename=""', b"") + part(AUDIO) + END, "talk.mp3"
    ),
    "h7 check boxes": Capture(
        part('Content-Disposition: form-data; name="tag"', b"a")
        + part('Content-Disposition: form-data; name="tag"', b"b")
        + part(AUDIO)
        + END,
        "talk.mp3",
        {"tag": "a, b"},
    ),
    "h7 Apache HttpClient in Latin-1": Capture(
        part(
            'Content-Disposition: form-data; name="title"\r\n'
            "Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit",
            b"Gru\xdf",
        )
        + part(AUDIO + "\r\nContent-Transfer-Encoding: binary")
        + END,
        "talk.mp3",
        {"title": "Gruß"},
    ),
    "h7 Spring with XML and JSON parts": Capture(
        part('Content-Disposition: form-data; name="a"\r\nContent-Type: application/xml', b"<a/>")
        + part('Content-Disposition: form-data; name="b"\r\nContent-Type: application/json', b"{}")
        + part(AUDIO)
        + END,
        "talk.mp3",
        {"a": "<a/>", "b": "{}"},
    ),
    "h6 quoted boundary with a blank after it": Capture(
        part(AUDIO) + END, "talk.mp3", content_type=f'multipart/form-data; boundary="{B}" ; charset=utf-8'
    ),
    "h1 filename* whose UTF-8 is not escaped": Capture(
        part('Content-Disposition: form-data; name="file"; filename="x.mp3"; filename*=UTF-8\'\'über.mp3') + END,
        "über.mp3",
    ),
    "h7 aliases of Latin-1 and of Shift_JIS": Capture(
        part('Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=latin1', b"Gru\xdf")
        + part('Content-Disposition: form-data; name="b"\r\nContent-Type: text/plain; charset=cp1252', b"\x80")
        + part('Content-Disposition: form-data; name="c"\r\nContent-Type: text/plain; charset=sjis', b"\x93\xfa")
        + part(AUDIO)
        + END,
        "talk.mp3",
        {"a": "Gruß", "b": "€", "c": "日"},
    ),
    "h7 JSON of a named kind": Capture(
        part('Content-Disposition: form-data; name="a"\r\nContent-Type: application/vnd.api+json', b"{}")
        + part(AUDIO)
        + END,
        "talk.mp3",
        {"a": "{}"},
    ),
    "h2 an encoded word in a character set that does not exist": Capture(
        part('Content-Disposition: form-data; name="file"; filename="=?iso-8859-12?Q?talk?=.mp3"') + END,
        "=?iso-8859-12?Q?talk?=.mp3",
    ),
    "h8 MediaRecorder blob with a type": Capture(
        part('Content-Disposition: form-data; name="file"; filename="blob"\r\nContent-Type: audio/mpeg') + END,
        "blob.mp3",
    ),
    "h8 blob without a type": Capture(
        part('Content-Disposition: form-data; name="file"; filename="blob"\r\nContent-Type: application/octet-stream')
        + END,
        "blob.mp3",
    ),
    "h8 a file without a name": Capture(
        part('Content-Disposition: form-data; name="file"\r\nContent-Type: application/octet-stream') + END,
        "recording.mp3",
    ),
    "h14 Persian with a zero-width non-joiner": Capture(
        part('Content-Disposition: form-data; name="file"; filename="' + PERSIAN + '"\r\nContent-Type: audio/mpeg')
        + END,
        PERSIAN,
    ),
    "old Windows client in cp1252": Capture(
        part(AUDIO.replace("talk", "TONE")).replace(b"TONE", b"t\xf6ne") + END, "töne.mp3"
    ),
    "Safari": Capture(
        part('Content-Disposition: form-data; name="file"; filename="a%22b.mp3"\r\nContent-Type: audio/mpeg') + END,
        'a"b.mp3',
    ),
    "curl with backslashes": Capture(
        part('Content-Disposition: form-data; name="file"; filename="a\\"b.mp3"\r\nContent-Type: audio/mpeg') + END,
        'a"b.mp3',
    ),
}


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("size", ["whole", "split"])
async def test_a_capture_becomes_a_ready_upload(served: Served, name: str, size: str) -> None:
    """The form of a real client is 201, with the name and the fields that its user gave."""
    capture = CAPTURES[name]
    step = len(capture.body) if size == "whole" else 61
    pieces = [capture.body[start : start + step] for start in range(0, len(capture.body), step)]
    answer = await served.raw_form(pieces, content_type=capture.content_type)
    assert answer.status == 201, answer.body
    told = answer.json()
    assert told["filename"] == capture.filename
    assert await served.kept(told) == FILE
    upload = (await served.client.get(f"/v1/uploads/{told['upload_id']}")).json()
    assert upload["metadata"] == capture.metadata


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (part('Content-Disposition: form-data; name="note"', b"n" * 1025), 422),
        (part(f'Content-Disposition: form-data; name="{"n" * 65}"', b"x"), 422),
        (part('Content-Disposition: form-data; name="note"', b"n" * 600) * 2, 422),
        (part('Content-Disposition: form-data; name="sha256"', b"no checksum"), 422),
        (part('Content-Disposition: form-data; name="size_bytes"', b"many"), 422),
    ],
)
async def test_h7_a_wrong_field_is_refused_before_the_file(served: Served, fields: bytes, status: int) -> None:
    """A field that must be refused is refused when it is read, not after a file of 120 MB."""
    file = large_mp3(8_000_000)
    body = fields + part(AUDIO, file) + END
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    answer = await served.raw_form(pieces, content_type=f"multipart/form-data; boundary={B}", pause=0.01)
    assert answer.status == status, answer.body
    assert answer.sent_bytes < len(file)
    assert await served.uploads() == []


async def test_h7_more_fields_than_metadata_are_refused(served: Served) -> None:
    """The number of parts is bounded, whatever they are called."""
    fields = b"".join(part(f'Content-Disposition: form-data; name="f{number}"', b"x") for number in range(40))
    answer = await served.raw_form(fields + part(AUDIO) + END, content_type=f"multipart/form-data; boundary={B}")
    assert answer.status == 400, answer.body
    assert await served.uploads() == []


async def test_h8_a_nameless_text_is_no_recording(served: Served) -> None:
    """Without a name, and with bytes of no known format, there is no extension to accept."""
    body = part('Content-Disposition: form-data; name="file"; filename="blob"', b"just text") + END
    answer = await served.raw_form(body, content_type=f"multipart/form-data; boundary={B}")
    assert answer.status == 400, answer.body
    await served.assert_nothing_left()
