"""Measure what webhooks cost an upload's transitions, and what one worker sends.

The first table is the time of one transition (`transitions.apply`, one connection, one after the other)
while 0, 1 and 20 webhooks ask for it; `--against FOLDER` adds the same of another release, checked out there. Rounds
alternate, each in a process of its own: what else the machine does hits all alike, and the best round least. PostgreSQL
does not sync its log: that takes the same time whatever is written. The second table is one `gateway worker` that sends
what waits, and what comes one by one, to a receiver on this machine. Everything shares this machine's cores.

    python -m tests.bench.webhooks [--uploads 300] [--rounds 9] [--messages 6000] [--against FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psutil
import psycopg

from gateway.database import migrate, transitions
from gateway.database.engine import Database
from gateway.dev import postgres
from gateway.domain.object_key import new_upload_id
from gateway.domain.transition import Transition
from gateway.domain.upload import State, Upload
from tests.processes import Process

ROOT = Path(__file__).parents[2]
MOVES = (
    Transition(State.UPLOADING, State.COMPLETING),
    Transition(
        State.COMPLETING,
        State.VALIDATING,
        observed_size_bytes=8585,
        observed_etag=f"{uuid4().hex}-1",
    ),
    Transition(State.VALIDATING, State.READY, detection={"kind": "audio", "container": "mp3", "reads": 1}),
)
EVENTS = ["upload.created", *(f"upload.{one.to_state}" for one in MOVES)]
WARM_UP = 100
ONE_BY_ONE = 100
MOST_MESSAGES = 1_000_000
ENDS_SECONDS = 600.0


async def _open_uploads(database: Database, count: int) -> list[str]:
    """Create uploads that are ready to be completed."""
    made = []
    for _ in range(count):
        now = datetime.now(UTC)
        upload_id = new_upload_id()
        intent = Upload(
            id=upload_id,
            tenant_id="acme",
            state=State.UPLOADING,
            filename="talk.mp3",
            extension="mp3",
            declared_size_bytes=8585,
            declared_content_type=None,
            part_size_bytes=8585,
            part_checksums=None,
            checksums=None,
            metadata={"user_id": "7"},
            bucket="uploads",
            object_key=f"uploads/{upload_id}.mp3",
            content_type="audio/mpeg",
            lease_token=uuid4(),
            created_at=now,
            updated_at=now,
            expires_at=now + timedelta(days=1),
        )
        async with database.connection() as connection:
            await transitions.insert_intent(connection, intent, key_id="bench", counted_bytes=1, lease_seconds=60)
        opened = {"multipart_upload_id": "m", "fence": intent.lease_token, "expires_at": intent.expires_at}
        assert await transitions.open_upload(database, upload_id, **opened) is not None
        made.append(upload_id)
    return made


async def move_all(url: str, count: int) -> float:
    """Bring so many uploads from open to ready and give the seconds of one transition."""
    database = Database(url, pool_size=2, timeout_seconds=30)
    await database.open()
    try:
        warm, timed = await _open_uploads(database, WARM_UP), await _open_uploads(database, count)
        async with database.connection() as connection:
            for some in (warm, timed):
                began = time.perf_counter()
                for upload_id in some:
                    for one in MOVES:
                        assert await transitions.apply(connection, upload_id, one) is not None
                took = time.perf_counter() - began
        return took / count / len(MOVES)
    finally:
        await database.close()


def _moves_of(tree: Path, url: str, count: int) -> float:
    """Run `move_all` with the code in *tree*, in a process of its own."""
    # -P: beside this file lie modules that others are named after.
    command = [sys.executable, "-P", __file__, "--move", url, "--uploads", str(count)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _set_webhooks(url: str, targets: list[str]) -> None:
    """Leave nothing in the database but webhooks to *targets* that ask for every event of an upload."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE uploads, events, webhooks, webhook_deliveries CASCADE")
        for target in targets:
            connection.execute(
                """INSERT INTO webhooks (id, tenant_id, url, description, event_types)
                VALUES (%s, 'acme', %s, '', %s)""",
                (uuid4(), target, EVENTS),
            )
        connection.execute("VACUUM ANALYZE")


def compare_moves(url: str, count: int, rounds: int, against: Path | None) -> None:
    """Print the first table."""
    scenes = {"no webhook": (ROOT, 0), "1 webhook": (ROOT, 1), "20 webhooks": (ROOT, 20)}
    if against is not None:
        scenes = {f"release in {against.name}": (against, 0), **scenes}
    found: dict[str, list[float]] = {name: [] for name in scenes}
    for _ in range(rounds):
        for name, (tree, number) in scenes.items():
            _set_webhooks(url, [f"https://{n}.example.com/" for n in range(number)])
            found[name].append(_moves_of(tree, url, count) * 1000)
    print("| a transition with | best round, ms | median, ms |\n|---|---|---|")
    for name, each in found.items():
        print(f"| {name} | {min(each):.2f} | {statistics.median(each):.2f} |")


def _receive(port: Synchronized[int], count: Synchronized[int], times: SynchronizedArray[float]) -> None:
    """Take messages on a free port and note when each came."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        times[count.value] = time.monotonic()
        count.value += 1
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


class Receiver:
    """A receiver in a process of its own."""

    def __init__(self, port: Synchronized[int], count: Synchronized[int], times: SynchronizedArray[float]) -> None:
        self.url = f"http://127.0.0.1:{port.value}/"
        self.count = count
        self.times = times

    def wait(self, count: int) -> None:
        """Wait for so many messages."""
        deadline = time.monotonic() + ENDS_SECONDS
        while self.count.value < count:
            assert time.monotonic() < deadline, f"{self.count.value} of {count} messages came"
            time.sleep(0.002)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    context = multiprocessing.get_context("spawn")
    port: Synchronized[int] = context.Value("i", 0)
    count: Synchronized[int] = context.Value("i", 0)
    times: SynchronizedArray[float] = context.Array("d", MOST_MESSAGES)
    process = context.Process(target=_receive, args=(port, count, times), daemon=True)
    process.start()
    try:
        while not port.value:
            assert process.is_alive(), "the receiver died"
            time.sleep(0.05)
        yield Receiver(port, count, times)
    finally:
        process.terminate()
        process.join()


@contextmanager
def working(folder: Path, url: str) -> Iterator[psutil.Process]:
    """Run a worker. Its store is never asked for anything."""
    environment = {
        "GATEWAY_DATABASE_URL": url,
        "GATEWAY_S3_ENDPOINT": "http://127.0.0.1:9",
        "GATEWAY_S3_ACCESS_KEY_ID": "nobody",
        "GATEWAY_S3_SECRET_ACCESS_KEY": "nothing",
        "GATEWAY_WEBHOOK_SECRET": "w" * 32,
        "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
        "GATEWAY_LOG_LEVEL": "error",
    }
    with Process("worker", cwd=folder, environment=environment) as process:
        yield psutil.Process(process.pid)


def _send_waiting(folder: Path, url: str, webhooks: int, messages: int) -> str:
    """Let a worker send what waits for it, and give a line of the table."""
    with receiving() as receiver:
        _set_webhooks(url, [receiver.url] * webhooks)
        each = messages // webhooks // len(EVENTS)
        asyncio.run(move_all(url, max(1, each - WARM_UP)))
        with psycopg.connect(url) as connection:
            (owed,) = connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone() or (0,)
        with working(folder, url) as worker:
            receiver.wait(owed // 10)
            began, before = time.monotonic(), worker.cpu_times()
            sent = receiver.count.value
            receiver.wait(owed)
            took, after = time.monotonic() - began, worker.cpu_times()
        sent = owed - sent
        cpu = after.user - before.user + after.system - before.system
        return f"| waiting, to {webhooks} | {sent / took:,.0f} | {cpu / sent * 1000:.1f} | | |"


def _send_one_by_one(folder: Path, url: str) -> str:
    """Have a worker send one message at a time as it is written, and give a line of the table."""

    async def run(receiver: Receiver) -> list[float]:
        database = Database(url, pool_size=2, timeout_seconds=30)
        await database.open()
        try:
            delays = []
            for number, upload_id in enumerate(await _open_uploads(database, ONE_BY_ONE)):
                await asyncio.to_thread(receiver.wait, ONE_BY_ONE + number)
                await asyncio.sleep(0.2)
                async with database.connection() as connection:
                    moved = await transitions.apply(connection, upload_id, MOVES[0])
                assert moved is not None
                database.announcements.add(*moved.topics)
                written = time.monotonic()
                await asyncio.to_thread(receiver.wait, ONE_BY_ONE + number + 1)
                delays.append(receiver.times[ONE_BY_ONE + number] - written)
            return delays
        finally:
            await database.close()

    with receiving() as receiver:
        _set_webhooks(url, [receiver.url])
        with working(folder, url):
            cuts = statistics.quantiles(asyncio.run(run(receiver)), n=100)
    return f"| one by one, to 1 | | | {cuts[49] * 1000:.0f} | {cuts[98] * 1000:.0f} |"


def send(folder: Path, url: str, messages: int) -> None:
    """Print the second table."""
    print("\n| messages | a second | CPU ms each | written to received, p50 ms | p99 ms |\n|---|---|---|---|---|")
    for webhooks in (1, 20):
        print(_send_waiting(folder, url, webhooks, messages))
    print(_send_one_by_one(folder, url))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--move", metavar="URL", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.move:
        print(asyncio.run(move_all(chosen.move, chosen.uploads)))
        return
    with TemporaryDirectory() as name:
        database = postgres.start(Path(name) / "postgres", durable=False)
        try:
            url = database.url("postgres")
            migrate.upgrade(url)
            compare_moves(url, chosen.uploads, chosen.rounds, chosen.against and chosen.against.resolve())
            send(Path(name), url, chosen.messages)
        finally:
            database.stop()


if __name__ == "__main__":
    main()
