"""Remove temporary files that outlived their upload."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from pathlib import Path
from uuid import UUID

from gateway.context import Gateway
from gateway.database import receiving
from gateway.streaming import disk

MOST_FILES = 1000
"""Files that one sweep reads; the next sweep does the rest."""


async def remove_temporary_files(gateway: Gateway) -> int:
    """Remove files that a stopped or late process wrote for an ended upload; return their number.

    A file is removed only if its name is the id of one of our uploads and its last write is older than a lease: other
    programs may use the same folder.
    """
    limits = gateway.receiving
    if limits.destination != "disk":
        return 0
    before = time.time() - gateway.policy.lease_seconds
    old = await asyncio.to_thread(_old_files, limits.directory, before)
    ended = await receiving.find_ended_on_disk(gateway.database, old) if old else []
    for _, path in ended:
        await asyncio.to_thread(disk.remove, Path(path))
    return len(ended)


def _old_files(folder: Path, before: float) -> list[UUID]:
    found = []
    for path in islice(folder.glob("*.tmp"), MOST_FILES):
        try:
            if path.stat().st_mtime < before:
                found.append(UUID(path.stem))
        except (ValueError, FileNotFoundError):
            continue
    return found
