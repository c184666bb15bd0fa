"""Watch how much memory processes take at most."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Self

import psutil

LOOK_SECONDS = 0.02
MIB = 1024 * 1024


class PeakMemory:
    """Sample the resident memory of processes, each with its children, and keep the highest of each."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.peak_mib = dict.fromkeys(pids, 0.0)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            for name, process in self._processes.items():
                self.peak_mib[name] = max(self.peak_mib[name], _resident_mib(process))


def _resident_mib(process: psutil.Process) -> float:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / MIB
