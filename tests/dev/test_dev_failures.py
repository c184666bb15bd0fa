"""What `gateway dev` says on a disk that takes nothing, about a broken part, and about a store without keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.dev import minio
from gateway.dev.default_key import keys_of_own_store
from gateway.dev.processes import StackError, free_ports
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from tests.conftest import missing
from tests.processes import Process, make_mp3, upload_by_hand

pytestmark = pytest.mark.timeout(600)


def _refused(folder: Path, *arguments: str, before: Sequence[str] = (), **environment: str) -> str:
    """Run `gateway dev` that must end with 1 and one line to standard error; return the line."""
    result = subprocess.run(
        [*before, sys.executable, "-m", "gateway", "dev", *arguments],
        cwd=folder,
        env={**os.environ, "GATEWAY_PORT": "0", "GATEWAY_DATA_DIR": "data", **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    return line


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A folder that cannot be written to is named with the reason."""
    (tmp_path / "file").touch()
    assert (
        _refused(tmp_path, GATEWAY_DATA_DIR="file/data")
        == f"Cannot write to {tmp_path / 'file' / 'data'}: Not a directory."
    )


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    """The line has the first error of PostgreSQL: its later ones are consequences. Files may have 1 MB here."""
    line = _refused(tmp_path, "--store", "seaweedfs", before=("prlimit", "--fsize=1000000", "--"))
    assert line.startswith("PostgreSQL could not make its data files: FATAL:  could not write to file ")
    assert line.endswith(": File too large")


def test_a_broken_store_is_named_with_its_reason(database_url: str, tmp_path: Path) -> None:
    """A store that ends at once is one line with its own first error."""
    broken = tmp_path / "bin" / "minio"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'FATAL Unable to use the drive: broken'; echo 'error: bye'; exit 7\n")
    broken.chmod(0o755)
    path = f"{broken.parent}{os.pathsep}{os.environ['PATH']}"
    line = _refused(tmp_path, "--store", "minio", GATEWAY_DATABASE_URL=database_url, PATH=path)
    assert line.startswith("MinIO ended with code 7: FATAL Unable to use the drive: broken (log: ")


@pytest.fixture(scope="module")
def default_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """Run a MinIO that nobody gave another key."""
    if minio.find_binary() is None:
        missing("no minio on PATH or in Go's bin folder: make minio builds it")
    given = {"MINIO_ROOT_USER": "minioadmin", "MINIO_ROOT_PASSWORD": "minioadmin"}
    server = minio.start(tmp_path_factory.mktemp("minio"), environment=given)
    yield server
    server.stop()


def test_a_minio_with_its_default_key_needs_no_settings(
    database_url: str, default_minio: StoreServer, tmp_path: Path
) -> None:
    """Its address is enough: the gateway gets three keys of its own, one line says so, and a file gets ready."""
    settings = {"GATEWAY_PORT": "0", "GATEWAY_DATA_DIR": "data", "GATEWAY_DATABASE_URL": database_url}
    for _ in range(2):
        own = {**settings, "GATEWAY_S3_ENDPOINT": default_minio.endpoint}
        with Process("dev", cwd=tmp_path, environment=own) as dev:
            said = dev.wait_for("This MinIO has its default key, so three keys of the gateway are made in it")
            assert default_minio.endpoint in said.string
            address, key = dev.wait_for(r"Address +(http://\S+)")[1], dev.wait_for(r"Key +(\S+)")[1]
            dev.wait_for("Ctrl-C stops everything")
            assert upload_by_hand(address, key, make_mp3(tmp_path / "tone.mp3")).json()["state"] == "ready"
    assert list((tmp_path / "data").glob("minio*")) == [tmp_path / "data" / "minio-keys"]


@pytest.mark.parametrize(
    "own", ["http://192.0.2.1:9000", "https://store.example.com", "http://127.0.0.1.example.com:9000"]
)
def test_another_machine_is_not_sent_a_default_key(own: str, tmp_path: Path) -> None:
    """No request is sent: a store elsewhere needs the keys of its owner."""
    settings = Settings(_env_file=None, s3_endpoint=own)
    with pytest.raises(
        StackError, match=r"needs a key: set GATEWAY_S3_ACCESS_KEY_ID and GATEWAY_S3_SECRET_ACCESS_KEY\.$"
    ):
        keys_of_own_store(settings, tmp_path)


def test_a_store_with_another_key_asks_for_it(store_server: StoreServer, tmp_path: Path) -> None:
    """SeaweedFS, or a MinIO whose key was changed: one line says which settings are missing."""
    settings = Settings(_env_file=None, s3_endpoint=store_server.endpoint)
    with pytest.raises(StackError, match=r"needs a key: .*, and it is no MinIO with its default key"):
        keys_of_own_store(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_down_is_said(tmp_path: Path) -> None:
    """Nothing listens there: one line with the address."""
    settings = Settings(_env_file=None, s3_endpoint=f"http://localhost:{free_ports(1)[0]}")
    with pytest.raises(StackError, match=r"The store at http://localhost:.* refuses or does not answer"):
        keys_of_own_store(settings, tmp_path)


def test_given_keys_are_used_as_they_are(tmp_path: Path) -> None:
    """Where the settings name a key, no other one is tried."""
    settings = Settings(_env_file=None, s3_endpoint="http://127.0.0.1:9", s3_access_key_id="mine")
    assert keys_of_own_store(settings, tmp_path) == {}
