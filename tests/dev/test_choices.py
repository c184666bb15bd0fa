"""`gateway dev` decides what to run, and refuses in one line."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.choices import choose, locked
from gateway.dev.processes import StackError
from gateway.domain.origins import LOOPBACK_ORIGINS
from gateway.settings import Settings

KEY = "gw_0123456789_" + "s" * 43


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Give a folder that is not there yet."""
    return tmp_path / "data"


def _settings(data_dir: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, **({"port": 0} | changes))


def _without_minio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dev.choices.minio.find_binary", lambda: None)


def _with_minio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dev.choices.minio.find_binary", lambda: Path("/bin/minio"))


def test_auto_takes_minio_where_there_is_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--store auto` means MinIO with a `minio` on this machine, else SeaweedFS."""
    _with_minio(monkeypatch)
    assert choose(_settings(data_dir), "auto").store == "minio"
    _without_minio(monkeypatch)
    assert choose(_settings(data_dir), "auto").store == "seaweedfs"


def test_auto_stays_with_the_store_that_holds_the_data(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `minio` that is installed later does not hide the objects SeaweedFS holds."""
    (data_dir / "seaweedfs").mkdir(parents=True)
    _with_minio(monkeypatch)
    assert choose(_settings(data_dir), "auto").store == "seaweedfs"
    assert choose(_settings(data_dir), "minio").store == "minio"


def test_own_parts_replace_embedded_ones(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database URL or a store endpoint in the environment stands for that part."""
    assert not choose(_settings(data_dir), "seaweedfs").own_database
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://127.0.0.1/mine")
    monkeypatch.setenv("GATEWAY_S3_ENDPOINT", "http://127.0.0.1:9")
    choices = choose(_settings(data_dir), "seaweedfs")
    assert choices.own_database
    assert choices.store is None


def test_key_is_made_once_and_kept_private(data_dir: Path) -> None:
    """The development key is random, the same on every start, and readable by its owner only."""
    first = choose(_settings(data_dir), "seaweedfs").key
    assert choose(_settings(data_dir), "seaweedfs").key == first
    assert choose(_settings(data_dir / "other"), "seaweedfs").key != first
    assert stat.S_IMODE((data_dir / "dev-key").stat().st_mode) == 0o600


def test_given_key_is_used_or_refused(data_dir: Path) -> None:
    """GATEWAY_DEV_KEY is the key, and one of another shape is refused without showing it."""
    assert choose(_settings(data_dir, dev_key=KEY), "seaweedfs").key == KEY
    with pytest.raises(StackError, match="GATEWAY_DEV_KEY holds no API key") as caught:
        choose(_settings(data_dir, dev_key="hunter2 hunter2"), "seaweedfs")
    assert "hunter2" not in str(caught.value)


def test_taken_port_is_named(data_dir: Path) -> None:
    """A port that somebody listens on is refused with the setting that changes it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StackError, match=f"Port {other.getsockname()[1]} .*GATEWAY_PORT"):
            choose(_settings(data_dir, port=other.getsockname()[1]), "seaweedfs")


def test_other_platforms_are_told(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without embedded parts gets one line that says what to do."""
    monkeypatch.setattr("gateway.dev.choices.sys.platform", "win32")
    with pytest.raises(StackError, match=r"not on win32: see infra/compose.yaml"):
        choose(_settings(data_dir), "auto")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://localhost:")],
)
def test_address_is_one_a_browser_can_open(data_dir: Path, host: str, address: str) -> None:
    """Listening on every address is shown as the loopback one."""
    assert choose(_settings(data_dir, host=host), "seaweedfs").address.startswith(address)


def test_pages_of_this_machine_may_use_the_store_by_default(data_dir: Path) -> None:
    """Every page that this machine delivers is allowed, under each of its names, and those of the settings beside."""
    choices = choose(_settings(data_dir), "seaweedfs")
    assert choices.allowed_origins == LOOPBACK_ORIGINS
    given = choose(_settings(data_dir, allowed_origins="https://app.example.com,http://localhost:*"), "seaweedfs")
    assert given.allowed_origins[:2] == ("https://app.example.com", "http://localhost:*")
    assert set(given.allowed_origins) == {"https://app.example.com", *LOOPBACK_ORIGINS}


def test_a_data_folder_has_one_user(data_dir: Path) -> None:
    """Two stacks cannot run on one folder; after the first has gone the second may."""
    with locked(data_dir), pytest.raises(StackError, match=r"Another gateway dev .*GATEWAY_DATA_DIR"), locked(data_dir):
        pass
    with locked(data_dir):
        pass
