"""Measure the API as one real process: requests a second, latency, and CPU a request.

Create, sign and complete run against real PostgreSQL and a real store, all on this machine, so that rates share its
cores with both and with the client; CPU milliseconds are the API process's own.

    python -m tests.bench.api [--seconds 5] [--clients 8] [--store seaweedfs|minio]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil

from gateway.auth.api_keys import new_key
from gateway.database import api_keys, migrate
from gateway.database.engine import Database
from gateway.dev import minio, postgres, seaweedfs
from gateway.dev.processes import free_ports
from gateway.settings import Settings
from gateway.storage.admin import ensure_bucket
from tests.processes import Process, make_mp3

MIB = 1024 * 1024
Call = Callable[[int], Awaitable[None]]


@dataclass
class Result:
    """Figures of one measurement."""

    name: str
    count: int
    seconds: float
    latencies: list[float]
    cpu_seconds: float

    def row(self) -> str:
        """Give a line of the table."""
        cuts = statistics.quantiles(self.latencies, n=100)
        return (
            f"| {self.name} | {self.count / self.seconds:,.0f} | {cuts[49] * 1000:.1f} | {cuts[98] * 1000:.1f} "
            f"| {self.cpu_seconds / self.count * 1000:.2f} |"
        )


@contextmanager
def serving(store_name: str) -> Iterator[tuple[str, str, psutil.Process]]:
    """Run everything and give the API's address, a key and its process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        database = postgres.start(folder / "postgres")
        store = minio.start(folder / "store") if store_name == "minio" else seaweedfs.start(folder / "store")
        port = free_ports(1)[0]
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_DATABASE_URL": database.url("postgres"),
            "GATEWAY_S3_ENDPOINT": store.endpoint,
            "GATEWAY_S3_BUCKET": store.bucket,
            "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
            "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
            "GATEWAY_UNSAFE_STORE": "warn",
            "GATEWAY_LOG_LEVEL": "warning",
            # Counted and never refused: this asks for what a process can do, not for what one key may.
            "GATEWAY_RATE_PER_KEY": "100000",
        }
        try:
            key = asyncio.run(_prepare(environment))
            with Process("serve", cwd=folder, environment=environment) as process:
                yield f"http://127.0.0.1:{port}", key, psutil.Process(process.pid)
        finally:
            store.stop()
            database.stop()


async def _prepare(environment: dict[str, str]) -> str:
    fields = {name.removeprefix("GATEWAY_").lower(): value for name, value in environment.items()}
    settings = Settings(_env_file=None, **fields)
    url = settings.database_url.get_secret_value()
    await asyncio.to_thread(migrate.upgrade, url)
    from gateway.bootstrap import store_config_of

    await ensure_bucket(store_config_of(settings))
    database = Database(url, pool_size=2, timeout_seconds=10)
    await database.open()
    key = new_key()
    await api_keys.add(database, key_id=key.key_id, tenant_id="bench", name="", secret_hash=key.secret_hash)
    await database.close()
    return key.text


class Bench:
    """Call the API from several clients at once."""

    def __init__(self, session: aiohttp.ClientSession, address: str, process: psutil.Process, clients: int) -> None:
        self.session = session
        self.address = address
        self.process = process
        self.clients = clients

    async def post(self, path: str, body: object) -> dict[str, object]:
        """POST and read the whole answer."""
        async with self.session.post(f"{self.address}{path}", json=body) as answer:
            content = await answer.read()
            assert answer.status in (200, 201), content
            import orjson

            parsed: dict[str, object] = orjson.loads(content)
            return parsed

    async def run(self, name: str, call: Call, *, seconds: float, limit: int = 1_000_000) -> Result:
        """Let every client make calls until the time or the calls are used up."""
        latencies: list[float] = []
        numbers = iter(range(limit))
        before = self.process.cpu_times()
        began = time.perf_counter()

        async def client() -> None:
            for number in numbers:
                start = time.perf_counter()
                await call(number)
                latencies.append(time.perf_counter() - start)
                if time.perf_counter() - began > seconds:
                    return

        await asyncio.gather(*(client() for _ in range(self.clients)))
        took = time.perf_counter() - began
        after = self.process.cpu_times()
        cpu = after.user - before.user + after.system - before.system
        return Result(name, len(latencies), took, latencies, cpu)


async def measure(address: str, key: str, process: psutil.Process, seconds: float, clients: int, body: bytes) -> None:
    """Print the table."""
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session, aiohttp.ClientSession() as store:
        await _until_ready(session, address)
        bench = Bench(session, address, process, clients)
        small = {"filename": "a.mp3", "size_bytes": len(body)}
        large = {"filename": "a.mp4", "size_bytes": 5000 * MIB, "part_size_bytes": 5 * MIB}
        upload = (await bench.post("/v1/uploads", large))["upload_id"]
        made: list[str] = []

        async def create(_: int) -> None:
            await bench.post("/v1/uploads", small)

        def sign(count: int) -> Call:
            async def call(_: int) -> None:
                await bench.post(f"/v1/uploads/{upload}/parts/sign", {"part_numbers": list(range(1, count + 1))})

            return call

        async def prepare(_: int) -> None:
            created = await bench.post("/v1/uploads", small)
            (part,) = created["parts"]  # type: ignore[misc]  # the parts of our own answer
            async with store.put(part["url"], data=body) as answer:
                assert answer.status == 200
            made.append(str(created["upload_id"]))

        async def complete(number: int) -> None:
            answer = await bench.post(f"/v1/uploads/{made[number]}/complete", {})
            assert answer["state"] == "ready", answer

        print("| call | a second | p50 ms | p99 ms | CPU ms |\n|---|---|---|---|---|")
        await bench.run("warm up", create, seconds=1)
        print((await bench.run("create", create, seconds=seconds)).row())
        for count in (1, 100, 1000):
            print((await bench.run(f"sign {count:,}", sign(count), seconds=seconds)).row())
        await bench.run("prepare", prepare, seconds=600, limit=int(60 * seconds))
        print((await bench.run("complete, to ready", complete, seconds=600, limit=len(made))).row())
        print(f"\nAPI process: {process.memory_info().rss / MIB:.0f} MiB; {clients} clients at once.")


async def _until_ready(session: aiohttp.ClientSession, address: str) -> None:
    for _ in range(600):
        try:
            async with session.get(f"{address}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the API did not become ready")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--store", choices=["seaweedfs", "minio"], default="seaweedfs")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        body = make_mp3(Path(folder) / "tone.mp3").read_bytes()
    with serving(chosen.store) as (address, key, process):
        asyncio.run(measure(address, key, process, chosen.seconds, chosen.clients, body))


if __name__ == "__main__":
    main()
