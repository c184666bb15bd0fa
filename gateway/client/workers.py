"""Run work on threads that never keep a process from ending, while the calling thread stays free to be interrupted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

# Ten looks a second: a progress bar is smooth, and a stop is noticed at once.
TICK_SECONDS = 0.1
# A thread inside a socket call cannot be woken; it ends by its timeout, later, without holding anybody up.
STOP_SECONDS = 2.0


class Slots:
    """Bound how many parts are in flight, over everything that shares it.

    A thread that hangs in a socket call after its upload was stopped would keep its slot until it times out, so the
    upload, named by *owner*, takes such slots back: that thread sends nothing more.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._taken: dict[int, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def take(self, owner: object, check: Callable[[], None]) -> Iterator[None]:
        """Hold a slot; *check* is called while waiting for one and may raise."""
        with self._changed:
            while self._free < 1:
                check()
                self._changed.wait(TICK_SECONDS)
            self._free -= 1
            self._taken[id(owner)] = self._taken.get(id(owner), 0) + 1
        try:
            yield
        finally:
            self._give_back(owner, 1)

    def reclaim(self, owner: object) -> None:
        """Take back what threads of *owner* still hold."""
        self._give_back(owner, self._taken.get(id(owner), 0))

    def _give_back(self, owner: object, count: int) -> None:
        with self._changed:
            count = min(count, self._taken.get(id(owner), 0))
            if count == 0:
                return
            self._free += count
            self._taken[id(owner)] -= count
            if self._taken[id(owner)] == 0:
                del self._taken[id(owner)]
            self._changed.notify_all()


def run_parallel(
    items: Iterable[int], work: Callable[[int], None], *, threads: int, stop: threading.Event, tick: Callable[[], None]
) -> None:
    """Call *work* for each item on up to *threads* threads and *tick* in this one; raise the first failure.

    *stop* is set on failure and on an exception in the caller, KeyboardInterrupt among them; *work* must look at it.
    """
    todo = deque(items)
    failures: list[BaseException] = []

    def loop() -> None:
        while not stop.is_set():
            try:
                item = todo.popleft()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as exc:  # noqa: BLE001 - raised again in the calling thread
                failures.append(exc)
                stop.set()

    crew = [
        threading.Thread(target=loop, name=f"gateway-part-{number}", daemon=True)
        for number in range(min(threads, len(todo)))
    ]
    for thread in crew:
        thread.start()
    try:
        for thread in crew:
            while thread.is_alive() and not stop.is_set():
                thread.join(TICK_SECONDS)
                tick()
    except BaseException:
        stop.set()
        raise
    finally:
        _gather(crew, stop)
    if failures:
        raise failures[0]
    tick()


def _gather(crew: list[threading.Thread], stop: threading.Event) -> None:
    if not stop.is_set():
        return
    patience = STOP_SECONDS
    for thread in crew:
        thread.join(patience)
        # One allowance for all of them, not one each.
        patience = patience if not thread.is_alive() else 0.0
