"""Downloads against a store that cuts, refuses and lies."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway.client import (
    Client,
    ContentMismatch,
    DestinationError,
    Progress,
    StoreRefused,
    Unreachable,
    WrongState,
)
from gateway.client.download import safe_name
from tests.unit.client.conftest import HASTY
from tests.unit.client.standin import KEY, SECRET, StandIn


@pytest.fixture
def ready(client: Client, media: Path) -> str:
    """Send a file of five parts and return its upload's id."""
    return client.upload(media).upload_id


def test_a_file_is_fetched_and_checked(
    client: Client, standin: StandIn, ready: str, media: Path, tmp_path: Path
) -> None:
    """A folder gets the file under its own name, every part checked by SHA-256; no `.part` file stays."""
    (tmp_path / "out").mkdir()
    seen: list[Progress] = []
    done = client.download(ready, tmp_path / "out", progress=seen.append)
    assert done.path == tmp_path / "out" / "talk.mp4"
    assert done.path.read_bytes() == media.read_bytes()
    assert (done.checked, done.resumed_bytes, done.size_bytes) == ("sha256", 0, media.stat().st_size)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["talk.mp4"]
    assert (seen[-1].phase, seen[-1].sent_bytes) == ("done", media.stat().st_size)


def test_h20_the_store_never_sees_the_key(client: Client, standin: StandIn, ready: str, tmp_path: Path) -> None:
    """The request to the store carries no Authorization, also with an own httpx client that has one by default."""
    import httpx

    own = httpx.Client(headers={"Authorization": f"Bearer {KEY}", "Cookie": "a=b"}, follow_redirects=True)
    with own, Client(standin.url, KEY, http_client=own, retry=HASTY, state_folder=tmp_path / "state") as other:
        other.download(ready, tmp_path / "b.mp4")
        with other.open_url(ready) as file:
            file.read()
        other.upload(b"x" * 100, filename="c.mp4")
    to_store = [headers for _, path, headers in standin.seen if path.startswith(("/object/", "/store/"))]
    assert len(to_store) > 5
    assert not any({"Authorization", "Cookie"} & {name.title() for name in headers} for headers in to_store)


@pytest.mark.parametrize("ignore_range", [False, True])
def test_cuts_are_resumed_within_a_call(
    client: Client, standin: StandIn, ready: str, media: Path, tmp_path: Path, ignore_range: bool
) -> None:
    """A connection that is cut goes on at the next byte, also with a server that ignores Range."""
    standin.ignore_range = ignore_range
    standin.object_faults.extend([100_000, (503, "SlowDown"), 150_000 if ignore_range else 50_000])
    assert client.download(ready, tmp_path / "a.mp4").size_bytes == media.stat().st_size
    assert (tmp_path / "a.mp4").read_bytes() == media.read_bytes()


def test_the_same_call_resumes(client: Client, standin: StandIn, ready: str, media: Path, tmp_path: Path) -> None:
    """After a failure the same call keeps the parts that are correct and fetches the rest."""
    standin.object_faults.extend([150_000, *[(503, "SlowDown")] * HASTY.attempts])
    with pytest.raises(StoreRefused) as caught:
        client.download(ready, tmp_path / "a.mp4")
    assert (caught.value.address, SECRET in str(caught.value)) == (standin.url, False)
    [part] = tmp_path.glob(".*.part")
    with part.open("r+b") as file:
        file.seek(70_000)
        file.write(b"damaged")
    done = client.download(ready, tmp_path / "a.mp4")
    assert (done.resumed_bytes, done.checked) == (64 * 1024, "sha256")
    assert (tmp_path / "a.mp4").read_bytes() == media.read_bytes()


def test_wrong_bytes_are_noticed(client: Client, standin: StandIn, ready: str, media: Path, tmp_path: Path) -> None:
    """A part with other bytes is fetched once more; wrong again, the download fails and leaves no file."""
    standin.object_faults.append("wrong")
    client.download(ready, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == media.read_bytes()
    standin.object_faults.extend(["wrong"] * 2)
    with pytest.raises(ContentMismatch):
        client.download(ready, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def test_md5_where_the_store_lists_no_checksums(client: Client, standin: StandIn, ready: str, tmp_path: Path) -> None:
    """Without SHA-256 the etags that are MD5s are compared; without either, the size."""
    standin.list_checksums = False
    assert client.download(ready, tmp_path / "a.mp4").checked == "md5"
    for part in standin.only().parts.values():
        part.etag = "opaque"
    assert client.download(ready, tmp_path / "b.mp4").checked == "size"


def test_a_file_object_gets_the_bytes(client: Client, standin: StandIn, ready: str, media: Path) -> None:
    """An open file is written from where it stands, wrong bytes are taken back."""
    standin.object_faults.append("wrong")
    file = io.BytesIO()
    file.write(b"before")
    done = client.download(ready, file)
    assert done.path is None
    assert file.getvalue() == b"before" + media.read_bytes()


def test_what_cannot_be_fetched(client: Client, standin: StandIn, ready: str, tmp_path: Path) -> None:
    """A file that exists, a folder that does not, an upload that is not ready, a store that says no: named errors."""
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DestinationError, match="exists"):
        client.download(ready, tmp_path / "a.mp4")
    client.download(ready, tmp_path / "a.mp4", overwrite=True)
    with pytest.raises(DestinationError, match="No such file"):
        client.download(ready, tmp_path / "nowhere" / "a.mp4")
    standin.object_faults.extend([(403, "AccessDenied")] * 5)
    with pytest.raises(StoreRefused, match="AccessDenied"):
        client.download(ready, tmp_path / "c.mp4")
    standin.object_faults.clear()
    standin.only().state = "uploading"
    with pytest.raises(WrongState):
        client.download(ready, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def test_open_url_reads(client: Client, standin: StandIn, ready: str, media: Path) -> None:
    """An open file is read in pieces of any size, or iterated; a refusal names the store."""
    with client.open_url(ready) as file:
        assert file.size_bytes == media.stat().st_size
        assert SECRET not in repr(file)
        assert file.read(10) + file.read(100_000) + b"".join(file) == media.read_bytes()
        assert file.read() == b""
    standin.object_faults.append((403, "AccessDenied"))
    with pytest.raises(StoreRefused) as caught, client.open_url(ready):
        pass
    assert caught.value.address == standin.url
    standin.object_faults.append(10)
    with pytest.raises(Unreachable), client.open_url(ready) as file:
        file.read()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.mp3", "a.mp3"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "download"),
        ("C:\\x.mp3", "C__x.mp3"),
        ("a\nb\0.mp3", "a_b_.mp3"),
        ("", "download"),
        ("ü" * 300 + ".mp3", "ü" * 98 + ".mp3"),
    ],
)
def test_names_of_downloads_are_safe(name: str, safe: str) -> None:
    """A file name never leaves its folder, and fits in a file system."""
    assert safe_name(name) == safe
