"""Bound the open connections of a server process, in all and for each client address."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.domain.addresses import Network, address_of, client_name, is_in

SPARE_DESCRIPTORS = 64
"""File descriptors for the listener, log, wake-ups, temporary files and connections that are being closed."""

MOST_DESCRIPTORS = 65_536
"""The soft limit of open files is raised to the hard limit, but not further than this."""

Waiting = Literal["idle", "small_body"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open; connections from *exempt* networks count in all and not for their address."""

    total: int
    per_address: int
    exempt: Sequence[Network] = ()


class Closable(Protocol):
    """A connection that can be closed to make room."""

    @property
    def waiting_for_client(self) -> Waiting | None:
        """Return the event that the server waits for; None while the connection does work that must not be aborted."""

    @property
    def closed(self) -> bool:
        """Say whether the connection is closed or about to be."""

    def close_for_room(self) -> None:
        """Close the connection now, without an answer."""


class Connections:
    """Count the open connections of a process.

    A new connection is always accepted while another one only waits for its client: that one is closed instead, the
    oldest first, at the address that holds most. A client that opens connections and sends nothing, or sends single
    bytes, therefore keeps nobody else out.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        # In the order in which they were opened.
        self._open: dict[Closable, str] = {}
        self._addresses: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Closable, host: str) -> bool:
        """Count a new connection; return False when there is no room and none can be made."""
        address = client_name(host)
        if self._is_full(address):
            self._forget_closed()
        if self._counts(host) and self._addresses[address] >= self._limits.per_address and not self._make_room(address):
            return False
        if len(self._open) >= self._limits.total and not self._make_room(self._busiest()):
            return False
        self._open[connection] = address
        self._addresses[address] += 1
        return True

    def remove(self, connection: Closable) -> None:
        """Remove a closed connection. It may be repeated."""
        address = self._open.pop(connection, None)
        if address is not None:
            # Subtracting a Counter drops what is at zero, so that past addresses take no memory.
            self._addresses -= Counter({address: 1})

    def _counts(self, host: str) -> bool:
        peer = address_of(host)
        return peer is None or not is_in(peer, self._limits.exempt)

    def _is_full(self, address: str) -> bool:
        return len(self._open) >= self._limits.total or self._addresses[address] >= self._limits.per_address

    def _busiest(self) -> str:
        return max(self._addresses, key=self._addresses.__getitem__)

    def _forget_closed(self) -> None:
        for connection in [connection for connection in self._open if connection.closed]:
            self.remove(connection)

    def _make_room(self, address: str) -> bool:
        """Close one connection of *address* that waits for its client, idle ones first, the oldest first."""
        for kind in ("idle", "small_body"):
            for connection, holder in self._open.items():
                if holder == address and connection.waiting_for_client == kind:
                    self.remove(connection)
                    connection.close_for_room()
                    return True
        return False


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def limits_within(
    descriptors: int, *, wanted: int, per_address: int, pools: int, exempt: Sequence[Network]
) -> ConnectionLimits:
    """Return limits that leave room for the database's and the store's *pools* under the limit of open files."""
    total = max(1, min(wanted, descriptors - pools - SPARE_DESCRIPTORS))
    return ConnectionLimits(total, min(per_address, total), exempt)
