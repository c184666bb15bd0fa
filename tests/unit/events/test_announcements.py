"""Changes are announced in few notifications, to this process at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.database.notify import PAYLOAD_BYTES, Announcements
from gateway.domain.errors import DatabaseUnavailable
from gateway.events.wakeups import Wakeups


class Sent:
    """Keep what is sent; hold the first notification until it is released."""

    def __init__(self, *, fails: bool = False) -> None:
        self.payloads: list[list[str]] = []
        self.release = asyncio.Event()
        self._fails = fails

    async def __call__(self, payloads: Sequence[str]) -> None:
        self.payloads.append([*payloads])
        await self.release.wait()
        if self._fails:
            raise DatabaseUnavailable


async def _settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_first_is_sent_at_once_and_later_ones_together() -> None:
    """What comes while a notification is on its way goes into the next one, each topic once."""
    sent = Sent()
    announcements = Announcements(sent)
    announcements.add("acme", "1")
    await _settle()
    assert sent.payloads == [[f"{announcements.sender} acme 1"]]
    for number in ("2", "3", "2"):
        announcements.add("acme", number)
    sent.release.set()
    await announcements.close()
    assert sent.payloads[1:] == [[f"{announcements.sender} acme 2 3"]]


async def test_a_payload_is_never_too_large() -> None:
    """Thousands of topics make several payloads that PostgreSQL takes, and none is lost."""
    sent = Sent()
    sent.release.set()
    announcements = Announcements(sent)
    topics = [f"{number:040}" for number in range(2000)]
    announcements.add(*topics)
    await announcements.close()
    [payloads] = sent.payloads
    assert all(len(one) <= PAYLOAD_BYTES for one in payloads)
    assert [topic for one in payloads for topic in one.split(" ")[1:]] == topics


async def test_an_outage_stops_nothing() -> None:
    """A notification that cannot be sent is lost; the next one is sent."""
    sent = Sent(fails=True)
    sent.release.set()
    announcements = Announcements(sent)
    announcements.add("1")
    await announcements.close()
    announcements.add("2")
    await announcements.close()
    assert [one[0].split(" ")[1] for one in sent.payloads] == ["1", "2"]


async def test_this_process_is_woken_once() -> None:
    """It is woken before the notification is sent, and does not listen to its own."""
    announcements = Announcements(Sent())
    wakeups = Wakeups("", "", own_sender=announcements.sender)
    announcements.wake = wakeups.wake
    with wakeups.subscribe("acme") as waker:
        announcements.add("acme", "1")
        assert waker.is_set()
        waker.clear()
        wakeups.receive(f"{announcements.sender} acme 1")
        assert not waker.is_set()
        wakeups.receive("by:another acme 1")
        assert waker.is_set()
        waker.clear()
        wakeups.receive("acme 1")
        assert waker.is_set()
