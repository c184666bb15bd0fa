"""Choose the components of `gateway dev`, from the settings and the programs on this machine."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from gateway.auth.api_keys import new_key, parse_key
from gateway.dev import minio
from gateway.dev.processes import StackError, free_ports, is_free
from gateway.domain.errors import Unauthenticated
from gateway.domain.origins import LOOPBACK_ORIGINS
from gateway.settings import Settings

StoreName = Literal["minio", "seaweedfs"]
StoreChoice = Literal["auto", "minio", "seaweedfs"]


@dataclass(frozen=True)
class Choices:
    """The components of one run of the embedded stack. None stands for a component of the user."""

    data_dir: Path
    host: str
    port: int
    key: str
    token_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    store: StoreName | None
    own_database: bool
    allowed_origins: tuple[str, ...]

    @property
    def address(self) -> str:
        """Give the address a browser on this machine uses."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"


def choose(settings: Settings, store: StoreChoice) -> Choices:
    """Make the choices for *settings*.

    Raises:
        StackError: The platform has no embedded parts, the port is taken or the development key has another shape.
    """
    if sys.platform not in ("linux", "darwin"):
        raise StackError(f"gateway dev runs on Linux and macOS, not on {sys.platform}: see infra/compose.yaml.")
    port = _claimed_port(settings)
    own_store = "s3_endpoint" in settings.model_fields_set
    return Choices(
        data_dir=settings.data_dir.resolve(),
        host=settings.host,
        port=port,
        key=_key(settings),
        token_secret=_secret(settings.data_dir / "token-secret", settings.token_secret),
        webhook_secret=_secret(settings.data_dir / "webhook-secret", settings.webhook_secret),
        store=None if own_store else _store(settings.data_dir, store),
        own_database="database_url" in settings.model_fields_set,
        # The page of a developer is on this machine too: the gateway's own at `/`, or that of any development server.
        allowed_origins=tuple(dict.fromkeys((*settings.allowed_origins, *LOOPBACK_ORIGINS))),
    )


def _claimed_port(settings: Settings) -> int:
    port = settings.port or free_ports(1)[0]
    if not is_free(port, settings.host):
        raise StackError(f"Port {port} on {settings.host} is taken: set GATEWAY_PORT to another one (0 picks one).")
    return port


def _key(settings: Settings) -> str:
    """Give the development key: the one that is set, else one made on the first start and kept."""
    file = settings.data_dir / "dev-key"
    if settings.dev_key is not None:
        key = settings.dev_key.get_secret_value()
    elif file.exists():
        key = file.read_text().strip()
    else:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        key = new_key().text
        file.touch(mode=0o600)
        file.write_text(f"{key}\n")
    try:
        parse_key(key)
    except Unauthenticated:
        where = "GATEWAY_DEV_KEY" if settings.dev_key else str(file)
        raise StackError(f"{where} holds no API key: 8 to 200 printable characters without spaces.") from None
    return key


def _secret(file: Path, given: SecretStr | None) -> str:
    """Give a secret: the one that is set, else one made on the first start and kept."""
    if given is not None:
        return given.get_secret_value()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(f"{secrets.token_urlsafe(48)}\n")
    return file.read_text().strip()


def _store(data_dir: Path, choice: StoreChoice) -> StoreName:
    """Pick the store; `auto` stays with the one that holds the data of an earlier start."""
    if choice != "auto":
        return choice
    for name in ("minio", "seaweedfs"):
        other = "seaweedfs" if name == "minio" else "minio"
        if (data_dir / name).exists() and not (data_dir / other).exists():
            return name
    return "minio" if minio.find_binary() else "seaweedfs"


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold *data_dir* for this process; the lock goes with the process, however it ends.

    Raises:
        StackError: Another `gateway dev` runs on it.
    """
    import fcntl  # noqa: PLC0415 - exists on Unix only; Windows is refused before

    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"Another gateway dev runs on {data_dir}: stop it, or set GATEWAY_DATA_DIR to another folder."
            ) from error
        yield
