"""Run work on threads that never keep a process from ending, while the calling thread stays free to be interrupted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

# Ten looks a second: a progress bar is smooth, and a stop is noticed at once.
TICK_SECONDS = 0.1
# A thread inside a socket call cannot be woken; it ends by its timeout, later, without holding anybody up.
STOP_SECONDS = 2.0


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
