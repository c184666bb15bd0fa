"""Watch an upload, or all uploads of a tenant, from any position of the event log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from gateway.context import Gateway
from gateway.database import api_keys, upload_tokens
from gateway.domain.errors import Unauthenticated
from gateway.domain.events import BEGINNING, Position
from gateway.domain.principal import Principal
from gateway.domain.upload import FINAL_STATES
from gateway.events.feeds import EventLog
from gateway.events.subscription import Message, Subscription
from gateway.uploads.access import load
from gateway.watching.event_logs import TenantLog, UploadLog

_FINAL = frozenset(state.value for state in FINAL_STATES)


class Watch:
    """Deliver every event after a position: first the events in the log, then new ones.

    The feed delivers the events after *joined*. The events between the watcher's position and *joined* are read here.
    """

    def __init__(
        self, log: EventLog, subscription: Subscription, *, after: Position, joined: Position, final: bool | None
    ) -> None:
        self.position = after
        self._log = log
        self._subscription = subscription
        self._joined = joined
        self._catching_up = log.order(after) < log.order(joined)
        self._final = final

    @property
    def ended(self) -> bool:
        """Say whether no event can follow."""
        return bool(self._final) and not self._catching_up

    async def next_messages(self, seconds: float) -> list[Message]:
        """Return the next messages, or none after *seconds*.

        Raises StreamClosed when the gateway ends the stream, and Unavailable when the log cannot be read.
        """
        if self._catching_up:
            page = await self._log.read(self.position, self._joined)
            self._catching_up = page.has_more
            return self._new(page.messages)
        return self._new(await self._subscription.next_messages(seconds))

    def _new(self, messages: Sequence[Message]) -> list[Message]:
        """Drop messages that the watcher already has: another process may have read the log earlier than this one."""
        fresh: list[Message] = []
        for message in messages:
            if message.position is not None:
                if self._log.order(message.position) <= self._log.order(self.position):
                    continue
                self.position = message.position
                if self._final is not None and message.event in _FINAL:
                    self._final = True
            fresh.append(message)
        return fresh


@asynccontextmanager
async def watch_upload(
    gateway: Gateway, principal: Principal, upload_id: UUID, after: Position | None = None
) -> AsyncIterator[Watch]:
    """Watch one upload until its final state; without a position, from its creation.

    Raises NotFound, TooManyWatchers, Unavailable.
    """
    upload = await load(gateway, principal, upload_id)
    log = UploadLog(gateway, upload)
    async with gateway.feeds.watch(upload.tenant_id, log, principal.token_id) as (subscription, joined):
        # A feed that other watchers keep open may not have read the final event yet, but the log has it.
        until = await log.end() if upload.is_final else joined
        yield Watch(log, subscription, after=after or BEGINNING, joined=until, final=upload.is_final)


@asynccontextmanager
async def watch_tenant(gateway: Gateway, principal: Principal, after: Position | None = None) -> AsyncIterator[Watch]:
    """Watch all uploads of the principal's tenant; without a position, from now.

    Raises TooManyWatchers, Unavailable.
    """
    log = TenantLog(gateway, principal.tenant_id)
    async with gateway.feeds.watch(principal.tenant_id, log) as (subscription, joined):
        yield Watch(log, subscription, after=after or joined, joined=joined, final=None)


async def require_valid_credentials(gateway: Gateway, principal: Principal) -> None:
    """Raise Unauthenticated once the API key or upload token that opened a stream is revoked or expired."""
    if principal.external:
        # The application checked its own credentials when the stream was opened.
        return
    if principal.token is not None:
        good = await upload_tokens.is_current(gateway.database, principal.token.token_id)
    else:
        good = await api_keys.find_live(gateway.database, principal.key_id) is not None
    if not good:
        raise Unauthenticated
