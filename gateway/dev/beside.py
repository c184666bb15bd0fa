"""Let other commands find a running `gateway dev` by its data folder: a file that is locked while it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = "running.json"


@contextmanager
def announced(data_dir: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Write the settings of the running stack for this user alone, and remove them at the end."""
    import fcntl  # noqa: PLC0415 - exists on Unix only; Windows is refused before

    file = data_dir / FILE
    file.unlink(missing_ok=True)
    # Written with its final permissions from the first byte on: it has the keys of the store.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        # This waits only for a command that tries the lock in this moment.
        fcntl.flock(opened, fcntl.LOCK_EX)
        json.dump(dict(settings), opened)
        opened.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)


def settings_of_running(data_dir: Path) -> Mapping[str, str] | None:
    """Return the settings of the `gateway dev` that runs on *data_dir* now, or None.

    A file that a killed process left behind does not count: the system released its lock.
    """
    if sys.platform not in ("linux", "darwin"):
        return None
    import fcntl  # noqa: PLC0415 - exists on Unix only

    try:
        with (data_dir / FILE).open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = json.load(opened)
            else:
                return None
    except (OSError, ValueError):
        return None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else None
