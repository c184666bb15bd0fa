"""Measure what a thousand watchers cost the other requests of one API process.

Requests (get and sign, alternating, every fortieth a create) come at a fixed rate, and a part a second goes to the
store, while nobody watches, while a thousand event streams watch one upload, one upload each, and the whole tenant.
Rounds alternate, so that a machine whose speed changes changes it for all. Watchers read in a process of their own;
everything shares this machine's cores.

    python -m tests.bench.watchers [--watchers 1000] [--rate 40] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import multiprocessing.synchronize
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from urllib.parse import urlsplit

import aiohttp
import psutil

from tests.bench.api import MIB, serving

GET_READY_SECONDS = 120.0
CREATE_EVERY = 40
PART_BYTES = 5 * MIB
CONNECTS_AT_ONCE = 20


async def _listen(address: str, key: str, paths: list[str], opened: Synchronized[int], told: Synchronized[int]) -> None:
    """Open an event stream for each path and count what arrives."""
    parts = urlsplit(address)
    door = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def stream(path: str) -> None:
        async with door:
            while True:
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
                writer.write(head.encode())
                status = await reader.readline()
                if not any(later in status for later in (b" 429 ", b" 503 ")):
                    break
                # The streams of the last round are not all closed yet, or the machine is busy with other things.
                writer.close()
                await asyncio.sleep(0.2)
            assert b" 200 " in status, status
            while await reader.readline() != b"\r\n":
                pass
            opened.value += 1
        while line := await reader.readline():
            if line.startswith(b"event:"):
                told.value += 1

    await asyncio.gather(*(stream(path) for path in paths))


def _watch(address: str, key: str, paths: list[str], opened: Synchronized[int], told: Synchronized[int]) -> None:
    asyncio.run(_listen(address, key, paths, opened, told))


@contextmanager
def watching(address: str, key: str, paths: list[str]) -> Iterator[Synchronized[int]]:
    """Have a process watch *paths*; give the counter of events that arrived."""
    context = multiprocessing.get_context("spawn")
    opened: Synchronized[int] = context.Value("i", 0)
    told: Synchronized[int] = context.Value("i", 0)
    process = context.Process(target=_watch, args=(address, key, paths, opened, told), daemon=True)
    process.start()
    deadline = time.monotonic() + GET_READY_SECONDS
    while opened.value < len(paths):
        assert process.is_alive(), "the watchers' process died"
        assert time.monotonic() < deadline, f"{opened.value} of {len(paths)} streams opened"
        time.sleep(0.05)
    try:
        yield told
    finally:
        process.terminate()
        process.join()


class Load:
    """Send requests at a fixed rate, whether or not the last one is answered, and time each from when it was due."""

    def __init__(self, session: aiohttp.ClientSession, address: str, rate: float) -> None:
        self.session = session
        self.address = address
        self.gap = 1.0 / rate
        self.small = {"filename": "a.mp3", "size_bytes": 1000}
        self.upload = ""
        self.parts = iter(range(1, 1000))

    async def call(self, method: str, path: str, body: object | None = None) -> dict[str, object]:
        """Send one request and read the whole answer."""
        async with self.session.request(method, f"{self.address}{path}", json=body) as answer:
            content: dict[str, object] = await answer.json()
            assert answer.status in (200, 201), content
            return content

    async def one(self, number: int) -> None:
        """Send the request with this number."""
        path = f"/v1/uploads/{self.upload}"
        if number % CREATE_EVERY == 0:
            await self.call("POST", "/v1/uploads", self.small)
        elif number % 2:
            await self.call("GET", path)
        else:
            await self.call("POST", f"{path}/parts/sign", {"part_numbers": list(range(1, 11))})

    async def send_parts(self) -> None:
        """Send a part a second to the store, watched or not, so that there is progress."""
        async with aiohttp.ClientSession() as store:
            for number in self.parts:
                signed = await self.call("POST", f"/v1/uploads/{self.upload}/parts/sign", {"part_numbers": [number]})
                (part,) = signed["parts"]  # type: ignore[misc]  # the parts of our own answer
                async with store.put(part["url"], data=bytes(PART_BYTES)) as answer:
                    assert answer.status == 200, await answer.text()
                await asyncio.sleep(1)

    async def run(self, seconds: float) -> list[float]:
        """Give the latencies, seconds."""
        sending = asyncio.create_task(self.send_parts())
        try:
            return await self._requests(seconds)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _requests(self, seconds: float) -> list[float]:
        began = time.perf_counter()
        latencies: list[float] = []

        async def timed(number: int) -> None:
            due = began + number * self.gap
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self.one(number)
            latencies.append(time.perf_counter() - due)

        await asyncio.gather(*(timed(number) for number in range(int(seconds / self.gap))))
        return latencies


async def measure(chosen: argparse.Namespace, address: str, key: str, process: psutil.Process) -> None:
    """Print the table."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(session, address, chosen.rate)
        await _until_ready(load)
        large = {"filename": "a.mp4", "size_bytes": 5000 * MIB, "part_size_bytes": PART_BYTES}
        load.upload = str((await load.call("POST", "/v1/uploads", large))["upload_id"])
        many = [str((await load.call("POST", "/v1/uploads", load.small))["upload_id"]) for _ in range(chosen.watchers)]
        scenes = {
            "nobody": [],
            "one upload": [f"/v1/uploads/{load.upload}/events"] * chosen.watchers,
            "an upload each": [f"/v1/uploads/{upload}/events" for upload in many],
            "the tenant": ["/v1/events"] * chosen.watchers,
        }
        await load.run(3)
        found: dict[str, list[list[float]]] = {name: [] for name in scenes}
        costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in scenes}
        for _ in range(chosen.rounds):
            for name, paths in scenes.items():
                latencies, cost = await _scene(load, address, key, paths, process, chosen.seconds)
                print(f"{name}: p99 {statistics.quantiles(latencies, n=100)[98] * 1000:.0f} ms", file=sys.stderr)
                found[name].append(latencies)
                costs[name].append(cost)
        _print(found, costs)


async def _scene(
    load: Load, address: str, key: str, paths: list[str], process: psutil.Process, seconds: float
) -> tuple[list[float], tuple[float, float, float]]:
    """Measure once: latencies, and CPU share, memory in MiB and events a second."""
    with watching(address, key, paths) as told:
        await asyncio.sleep(3)
        before, heard, began = process.cpu_times(), told.value, time.perf_counter()
        latencies = await load.run(seconds)
        took, after = time.perf_counter() - began, process.cpu_times()
        cpu = after.user - before.user + after.system - before.system
        cost = cpu / took, process.memory_info().rss / MIB, (told.value - heard) / took
    await asyncio.sleep(2)
    return latencies, cost


def _print(found: dict[str, list[list[float]]], costs: dict[str, list[tuple[float, float, float]]]) -> None:
    print("| watched | p50 ms | p99 ms | p99 of each round | CPU of the process | MiB | events a second |")
    print("|---|---|---|---|---|---|---|")
    for name, rounds in found.items():
        cuts = statistics.quantiles([one for latencies in rounds for one in latencies], n=100)
        each = ", ".join(f"{statistics.quantiles(one, n=100)[98] * 1000:.0f}" for one in rounds)
        cpu, memory, told = (statistics.median(column) for column in zip(*costs[name], strict=True))
        print(
            f"| {name} | {cuts[49] * 1000:.1f} | {cuts[98] * 1000:.1f} | {each} "
            f"| {cpu:.0%} | {memory:.0f} | {told:,.0f} |"
        )


async def _until_ready(load: Load) -> None:
    for _ in range(600):
        try:
            async with load.session.get(f"{load.address}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the API did not become ready")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", choices=["seaweedfs", "minio"], default="seaweedfs")
    chosen = parser.parse_args()
    with serving(chosen.store) as (address, key, process):
        asyncio.run(measure(chosen, address, key, process))


if __name__ == "__main__":
    main()
