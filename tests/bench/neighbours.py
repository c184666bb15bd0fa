"""Measure how long another caller's create takes while one upload token or key does the most expensive requests it may.

Everything runs on this machine, against real PostgreSQL and SeaweedFS: the figures hold for one process on a machine
that the client, the database and the store share. Latencies are in milliseconds.

    python -m tests.bench.neighbours [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import orjson

from gateway.auth.api_keys import new_key
from gateway.bootstrap import store_config_of
from gateway.database import api_keys, migrate
from gateway.database.engine import Database
from gateway.dev import postgres, seaweedfs
from gateway.dev.processes import free_ports
from gateway.settings import Settings
from gateway.storage.admin import ensure_bucket
from tests.processes import Process

MIB = 1024 * 1024
CONNECTIONS = 32
LARGE = {"filename": "a.mp4", "size_bytes": 50_000 * MIB // 10, "part_size_bytes": 5 * MIB}
NAMED = orjson.dumps({"parts": [{"part_number": number, "etag": f"{number:032x}"} for number in range(1, 10_001)]})
UNKNOWN = orjson.dumps({f"k{number}": 1 for number in range(160_000)})
SIGN = orjson.dumps({"part_numbers": list(range(1, 1001))})

Attack = Callable[[aiohttp.ClientSession, str, str], Awaitable[int]]


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with session.post(url, data=body) as answer:
        await answer.read()
        return answer.status


ATTACKS: dict[str, Attack | None] = {
    "nobody": None,
    "sign 1,000 parts": lambda session, address, upload: _post(
        session, f"{address}/v1/uploads/{upload}/parts/sign", SIGN
    ),
    "2 MB of unknown JSON": lambda session, address, _: _post(session, f"{address}/v1/uploads", UNKNOWN),
    "complete with 10,000 parts": lambda session, address, upload: _post(
        session, f"{address}/v1/uploads/{upload}/complete", NAMED
    ),
    "create": lambda session, address, _: _post(
        session, f"{address}/v1/uploads", orjson.dumps({"filename": "a.mp3", "size_bytes": 1})
    ),
}


async def _attack(
    session: aiohttp.ClientSession, address: str, upload: str, attack: Attack, ended: asyncio.Event
) -> int:
    """Ask as fast as the gateway lets; return how many requests it took on."""
    served = 0

    async def ask() -> None:
        nonlocal served
        while not ended.is_set():
            try:
                status = await attack(session, address, upload)
            except aiohttp.ClientConnectionError:
                # A large body that is refused before it is read: the connection is closed.
                status = 429
            if status == 429:
                await asyncio.sleep(0.2)
            else:
                served += 1

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return served


async def _measure(address: str, keys: dict[str, str], seconds: float) -> None:
    print("| other caller | served a second | create p50 | create p99 |\n|---|---|---|---|")
    sessions = {
        name: aiohttp.ClientSession(
            headers={"authorization": f"Bearer {key}"}, connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        )
        for name, key in keys.items()
    }
    try:
        body = orjson.dumps({"filename": "a.mp3", "size_bytes": 1})
        async with sessions["attacker"].post(f"{address}/v1/uploads", json=LARGE) as answer:
            upload = (await answer.json())["upload_id"]
        for name, attack in ATTACKS.items():
            ended, latencies = asyncio.Event(), []
            task = None
            if attack is not None:
                task = asyncio.create_task(_attack(sessions["attacker"], address, upload, attack, ended))
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                began = time.perf_counter()
                assert await _post(sessions["victim"], f"{address}/v1/uploads", body) == 201
                latencies.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.05)
            ended.set()
            served = await task if task is not None else 0
            cuts = statistics.quantiles(latencies, n=100)
            print(f"| {name} | {served / seconds:.1f} | {cuts[49]:.0f} | {cuts[98]:.0f} |", flush=True)
    finally:
        for session in sessions.values():
            await session.close()


async def _prepare(environment: dict[str, str]) -> dict[str, str]:
    settings = Settings(
        _env_file=None, **{name.removeprefix("GATEWAY_").lower(): value for name, value in environment.items()}
    )
    await asyncio.to_thread(migrate.upgrade, settings.database_url.get_secret_value())
    await ensure_bucket(store_config_of(settings))
    database = Database(settings.database_url.get_secret_value(), pool_size=2, timeout_seconds=10)
    await database.open()
    keys = {}
    for name in ("attacker", "victim"):
        key = new_key()
        await api_keys.add(database, key_id=key.key_id, tenant_id=name, name="", secret_hash=key.secret_hash)
        keys[name] = key.text
    await database.close()
    return keys


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    with TemporaryDirectory() as name:
        folder = Path(name)
        database, store = postgres.start(folder / "postgres"), seaweedfs.start(folder / "store")
        port = free_ports(1)[0]
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_DATABASE_URL": database.url("postgres"),
            "GATEWAY_S3_ENDPOINT": store.endpoint,
            "GATEWAY_S3_BUCKET": store.bucket,
            "GATEWAY_S3_ACCESS_KEY_ID": store.access_key_id,
            "GATEWAY_S3_SECRET_ACCESS_KEY": store.secret_access_key,
            "GATEWAY_LOG_LEVEL": "warning",
        }
        try:
            keys = asyncio.run(_prepare(environment))
            with Process("serve", cwd=folder, environment=environment):
                address = f"http://127.0.0.1:{port}"
                asyncio.run(_wait(address))
                asyncio.run(_measure(address, keys, seconds))
        finally:
            store.stop()
            database.stop()


async def _wait(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(f"{address}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the gateway did not become ready")


if __name__ == "__main__":
    main()
