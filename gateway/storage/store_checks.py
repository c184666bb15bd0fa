"""Hold the results of the store probes, and decide whether uploads are safe."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from gateway.storage.errors import StoreUnsafe

ProbeStatus = Literal["ok", "bad", "unknown"]
UnsafeStore = Literal["refuse", "warn"]

FIRST_RESULTS_SECONDS = 10.0
"""Longest time an upload waits for the first results. After that the store counts as unknown, and uploads go on."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Hold the result of one probe: the attempt, the finding, and the cure in one sentence.

    `exposes_files` marks a finding that lets one user read the file of another, or change a file after its check.
    `keeps_half_parts` marks a store that keeps a part although its sender stopped in the middle.
    """

    name: str
    tried: str
    status: ProbeStatus
    found: str
    cure: str = ""
    exposes_files: bool = False
    keeps_half_parts: bool = False

    def line(self) -> str:
        """Return the result as one line for a log or a terminal."""
        cure = f" {self.cure}" if self.status == "bad" and self.cure else ""
        return f"{self.name}: {self.found}{cure}"


class StoreChecks:
    """Share the results of the newest probes between the start-up task, the use cases and the health route."""

    def __init__(self, unsafe_store: UnsafeStore = "refuse") -> None:
        self._unsafe_store = unsafe_store
        self._first_results: asyncio.Event | None = None
        self.results: tuple[ProbeResult, ...] = ()

    def begin(self) -> None:
        """Announce that probes run. Uploads then wait for the first results."""
        if self._first_results is None:
            self._first_results = asyncio.Event()

    def finish(self, results: tuple[ProbeResult, ...]) -> None:
        """Publish results and release the waiting uploads."""
        self.results = results
        self.release()

    def release(self) -> None:
        """Release the waiting uploads without results."""
        if self._first_results is not None:
            self._first_results.set()

    @property
    def exposing(self) -> tuple[ProbeResult, ...]:
        """Return the findings that expose files."""
        return tuple(result for result in self.results if result.status == "bad" and result.exposes_files)

    @property
    def refuses_uploads(self) -> bool:
        """Say whether uploads are refused now."""
        return self._unsafe_store == "refuse" and bool(self.exposing)

    async def needs_part_checksums(self) -> bool:
        """Say whether the store keeps half a part, so that only a checksum of each part protects an upload."""
        await self._wait()
        return any(result.keeps_half_parts for result in self.results)

    async def require_safe(self) -> None:
        """Wait for the first results; raise StoreUnsafe if they refuse uploads."""
        await self._wait()
        if self.refuses_uploads:
            raise StoreUnsafe(retry_after=60)

    async def _wait(self) -> None:
        if self._first_results is not None and not self._first_results.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._first_results.wait(), FIRST_RESULTS_SECONDS)
