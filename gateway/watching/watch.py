"""Watch an upload, or all uploads of a tenant, from any position of the event log on."""

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
    """Give what stands in the log behind a position, first what is there, then what comes.

    The feed hands out what is behind *joined*; what lies between the watcher's position and that is read here, once.
    """

    def __init__(
        self, log: EventLog, subscription: Subscription, *, after: Position, joined: Position, final: bool | None
    ) -> None:
        self.position = after
        self._log = log
        self._subscription = subscription
        self._joined = joined
        self._behind = log.order(after) < log.order(joined)
        self._final = final

    @property
    def ended(self) -> bool:
        """Say whether nothing will come any more."""
        return bool(self._final) and not self._behind

    async def next_messages(self, seconds: float) -> list[Message]:
        """Return the next messages, or none when *seconds* are over.

        Raises StreamClosed when this side ends the stream, and Unavailable when the log cannot be read.
        """
        if self._behind:
            page = await self._log.read(self.position, self._joined)
            self._behind = page.has_more
            return self._new(page.messages)
        return self._new(await self._subscription.next_messages(seconds))

    def _new(self, messages: Sequence[Message]) -> list[Message]:
        """Drop what the watcher had already: it may have come from a process that read the log sooner than this one."""
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
    """Watch one upload to its final state; without a position, from its creation on.

    Raises NotFound, TooManyWatchers, Unavailable.
    """
    upload = await load(gateway, principal, upload_id)
    log = UploadLog(gateway, upload)
    async with gateway.feeds.watch(upload.tenant_id, log, principal.token_id) as (subscription, joined):
        # A feed that others keep alive may not have read yet what the row says already: the end stands in the log.
        until = await log.end() if upload.is_final else joined
        yield Watch(log, subscription, after=after or BEGINNING, joined=until, final=upload.is_final)


@asynccontextmanager
async def watch_tenant(gateway: Gateway, principal: Principal, after: Position | None = None) -> AsyncIterator[Watch]:
    """Watch all uploads of the principal's tenant; without a position, from now on.

    Raises TooManyWatchers, Unavailable.
    """
    log = TenantLog(gateway, principal.tenant_id)
    async with gateway.feeds.watch(principal.tenant_id, log) as (subscription, joined):
        yield Watch(log, subscription, after=after or joined, joined=joined, final=None)


async def require_valid_credentials(gateway: Gateway, principal: Principal) -> None:
    """Raise Unauthenticated once the key or the upload token that a stream was opened with is revoked or over."""
    if principal.external:
        # The application checked its own credentials when the stream was opened.
        return
    if principal.token is not None:
        good = await upload_tokens.is_current(gateway.database, principal.token.token_id)
    else:
        good = await api_keys.find_live(gateway.database, principal.key_id) is not None
    if not good:
        raise Unauthenticated
