"""Run work on daemon threads, which never keep a process alive, while the calling thread can be interrupted."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")

# Ten checks a second: a progress bar moves smoothly, and a stop is noticed at once.
TICK_SECONDS = 0.1
# A thread inside a socket call cannot be woken. It ends later, by its timeout; nothing waits for it longer than this.
STOP_SECONDS = 2.0


class PartLimit:
    """Bound how many parts are being sent, over all uploads of a client.

    A thread that hangs in a socket call after its upload was stopped would keep its permit until the call times out.
    The upload, named by *owner*, takes such permits back; the thread sends nothing more.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: dict[int, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def permit(self, owner: object, check: Callable[[], None]) -> Iterator[None]:
        """Hold one permit; *check* is called while waiting for one and may raise."""
        with self._changed:
            while self._free < 1:
                check()
                self._changed.wait(TICK_SECONDS)
            self._free -= 1
            self._held[id(owner)] = self._held.get(id(owner), 0) + 1
        try:
            yield
        finally:
            self._release(owner, 1)

    def reclaim(self, owner: object) -> None:
        """Release the permits that threads of *owner* still hold."""
        self._release(owner, self._held.get(id(owner), 0))

    def _release(self, owner: object, count: int) -> None:
        with self._changed:
            count = min(count, self._held.get(id(owner), 0))
            if count == 0:
                return
            self._free += count
            self._held[id(owner)] -= count
            if self._held[id(owner)] == 0:
                del self._held[id(owner)]
            self._changed.notify_all()


def run_parallel(
    items: Iterable[int], work: Callable[[int], None], *, threads: int, stop: threading.Event, tick: Callable[[], None]
) -> None:
    """Call *work* for each item on up to *threads* threads, and *tick* in this thread; raise the first failure.

    *stop* is set on a failure and on an exception in the calling thread (KeyboardInterrupt); *work* must check it.
    """
    waiting = deque(items)
    failures: list[BaseException] = []

    def loop() -> None:
        while not stop.is_set():
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as exc:  # noqa: BLE001 - raised again in the calling thread
                failures.append(exc)
                stop.set()

    workers = [
        threading.Thread(target=loop, name=f"gateway-part-{number}", daemon=True)
        for number in range(min(threads, len(waiting)))
    ]
    for thread in workers:
        thread.start()
    try:
        for thread in workers:
            while thread.is_alive() and not stop.is_set():
                thread.join(TICK_SECONDS)
                tick()
    except BaseException:
        stop.set()
        raise
    finally:
        _join(workers, stop)
    if failures:
        raise failures[0]
    tick()


def _join(workers: list[threading.Thread], stop: threading.Event) -> None:
    if not stop.is_set():
        return
    timeout = STOP_SECONDS
    for thread in workers:
        thread.join(timeout)
        # One timeout for all threads together, not one for each.
        timeout = timeout if not thread.is_alive() else 0.0


def run_each(
    items: Iterable[Item], work: Callable[[Item], Result], *, threads: int, cancel: Callable[[], None]
) -> Iterator[Result]:
    """Yield the results of *work* in the order in which they come, with up to *threads* at once; it must not raise.

    Items are read only when a thread is free, so *items* may be endless. When the iterator is closed, or an exception
    such as KeyboardInterrupt ends it, no more items are started and *cancel* is called.
    """
    waiting, source_lock, stop = iter(items), threading.Lock(), threading.Event()
    results: queue.Queue[Result | BaseException | None] = queue.Queue()

    def loop() -> None:
        try:
            while not stop.is_set():
                with source_lock:
                    item = next(waiting, _NO_ITEM)
                if isinstance(item, _NoItem):
                    break
                results.put(work(item))
        except BaseException as exc:  # noqa: BLE001 - raised again in the calling thread
            results.put(exc)
        results.put(None)

    workers = [threading.Thread(target=loop, name=f"gateway-file-{n}", daemon=True) for n in range(threads)]
    for thread in workers:
        thread.start()
    try:
        ended = 0
        while ended < threads:
            result = _next_result(results)
            if result is None:
                ended += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                yield result
    except BaseException:
        cancel()
        raise
    finally:
        stop.set()
        _join(workers, stop)


def _next_result(results: queue.Queue[T]) -> T:
    """Wait in steps: on Windows a wait without a timeout cannot be interrupted by Ctrl-C."""
    while True:
        with suppress(queue.Empty):
            return results.get(timeout=TICK_SECONDS)


class _NoItem:
    """Mark the end of the items; None may be an item."""


_NO_ITEM = _NoItem()
