"""Mutate real media until something gives: `python -m tests.fuzz.detection [--files 200000] [--seed 1]`.

Files come from ffmpeg and, where the environment variable DETECTION_CORPUS names a folder, from there too. An
answer is within the budget of reads and bytes, JSON without NUL and under 50 ms of CPU; memory stays flat.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import traceback
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Run as a file, not as a module, this folder is all that Python knows.
sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.detection import inspect_bytes
from gateway.detection.source import MAX_BYTES, MAX_READS
from tests.unit.detection import media
from tests.unit.detection.mistakes import loud

MOST_MS = 50.0
# Allocators keep some; a leak of one verdict a file would be far over this after 200,000 files.
MOST_GROWTH_MIB = 32
LARGEST_FILE = 400_000
EDGES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(slots=True)
class Tally:
    """What a run saw."""

    checks: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    # An array, not a list: 200,000 float objects would hide a leak of that size.
    times_ms: array[float] = field(default_factory=lambda: array("d"))
    slowest: tuple[float, str] = (0.0, "")
    most_reads: int = 0
    most_bytes: int = 0


def corpus() -> dict[str, bytes]:
    """Return the files to begin with."""
    files = dict(media.all_genuine())
    if folder := os.environ.get("DETECTION_CORPUS"):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.stat().st_size <= LARGEST_FILE:
                files[path.name] = path.read_bytes()
    return files


def mutate(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Change a file in one to four ways, mostly near its beginning, where the structure is."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        _change(changed, other, draw)
    return bytes(changed)


def _change(data: bytearray, other: bytes, draw: random.Random) -> None:
    reach = min(len(data), draw.choice((16, 64, 512, 4096, len(data) or 1)))
    at = draw.randrange(reach) if reach else 0
    span = draw.choice((1, 2, 4, 8, 16, 64, 512))
    match draw.randrange(9):
        case 0:
            data[at : at + 1] = bytes((draw.randrange(256),))
        case 1:
            width = draw.choice((1, 2, 3, 4, 8))
            value = draw.choice((*EDGES, len(data), draw.getrandbits(32))) & ((1 << 8 * width) - 1)
            data[at : at + width] = value.to_bytes(width, draw.choice(("big", "little")))
        case 2:
            data[at : at + span if draw.random() < 0.7 else len(data)] = b""
        case 3:
            data[at:at] = draw.randbytes(span)
        case 4:
            data[at : at + span] = bytes((draw.choice((0, 0x20, 0x47, 0x7F, 0xFF)),)) * span
        case 5:
            data[at:at] = data[at : at + span]
        case 6:
            start = draw.randrange(len(other) or 1)
            data[at : at + span] = other[start : start + span]
        case 7:
            data[at:] = other[at:]
        case _:
            payload = draw.choice(tuple(media.PAYLOADS.values()))
            data[at:at] = payload


def look(name: str, data: bytes, tally: Tally) -> None:
    """Inspect one file and note what is wrong with the answer."""
    began = time.process_time()
    try:
        with loud():
            verdict = inspect_bytes(data)
    except Exception:  # noqa: BLE001 - whatever it is, it is what this looks for
        tally.problems.append(f"{name}: {traceback.format_exc(limit=-3)}")
        return
    spent = (time.process_time() - began) * 1000
    if spent > MOST_MS:
        # Another process on the machine may have taken the cache: the file is slow when it is slow again.
        began = time.process_time()
        inspect_bytes(data)
        spent = min(spent, (time.process_time() - began) * 1000)
    tally.times_ms.append(spent)
    tally.slowest = max(tally.slowest, (spent, name))
    tally.most_reads = max(tally.most_reads, verdict.reads)
    tally.most_bytes = max(tally.most_bytes, verdict.bytes_read)
    tally.checks[verdict.check or "accepted"] += 1
    if verdict.accepted != (verdict.check is None) or verdict.accepted != (verdict.reason is None):
        tally.problems.append(f"{name}: accepted, check and reason disagree: {verdict}")
    if "\\u0000" in json.dumps(verdict.to_dict(), allow_nan=False):
        tally.problems.append(f"{name}: a NUL in the answer")


def run(files: int, seed: int) -> Tally:
    """Look at so many mutated files."""
    draw = random.Random(seed)
    originals = corpus()
    names = list(originals)
    tally = Tally()
    process = psutil.Process()
    before = 0
    for number in range(files):
        name = draw.choice(names)
        data = mutate(originals[name], originals[draw.choice(names)], draw)
        look(f"{name} (seed {seed}, file {number})", data, tally)
        if number == files // 10:
            before = process.memory_info().rss
        if (number + 1) % max(1, files // 10) == 0:
            print(f"{number + 1:>8} files, {process.memory_info().rss / 2**20:.0f} MiB", flush=True)
    growth = (process.memory_info().rss - before) / 2**20
    print(f"memory grew {growth:.1f} MiB from the first tenth to the end")
    if growth > MOST_GROWTH_MIB:
        tally.problems.append(f"memory grew {growth:.0f} MiB")
    return tally


def main() -> int:
    """Run and report; 1 when anything gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = run(options.files, options.seed)
    times = sorted(tally.times_ms)
    print(f"{len(times)} answers: {dict(tally.checks.most_common())}")
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"CPU ms: median {middle:.2f}, 99 % {late:.2f}, most {times[-1]:.2f}")
    print(f"slowest: {tally.slowest[1]}; most reads {tally.most_reads}, most bytes {tally.most_bytes}")
    if times[-1] > MOST_MS:
        tally.problems.append(f"{tally.slowest[1]} took {times[-1]:.0f} ms")
    if tally.most_reads > MAX_READS or tally.most_bytes > MAX_BYTES:
        tally.problems.append("an answer cost more than the budget")
    for problem in tally.problems[:20]:
        print(problem)
    print(f"{len(tally.problems)} problems")
    return bool(tally.problems)


if __name__ == "__main__":
    sys.exit(main())
