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
"""Looked at in one sweep; the rest waits for the next."""


async def remove_temporary_files(gateway: Gateway) -> int:
    """Remove what a process that was cut off or too late wrote for an upload that has ended; return how many files.

    Only names that are an upload_id of ours are touched, and only when nobody has written to them for a lease: the
    folder may be shared with other programs.
    """
    limits = gateway.streams
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
