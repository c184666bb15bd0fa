"""Which connections are kept and which are closed when there are too many."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cli.connections import ConnectionLimits, Connections, Waiting, limits_within
from gateway.domain.addresses import network_of


@dataclass(eq=False)
class Connection:
    """A connection that notes whether it was closed."""

    waiting_for_client: Waiting | None = "idle"
    closed: bool = False

    def close_for_room(self) -> None:
        """Note it."""
        self.closed = True


def _open(connections: Connections, host: str, count: int, waiting: Waiting | None = "idle") -> list[Connection]:
    made = [Connection(waiting) for _ in range(count)]
    for connection in made:
        assert connections.admit(connection, host)
    return made


def test_j6_one_address_that_holds_all_loses_its_oldest_idle_connection() -> None:
    """A new client is let in when all connections are in use, and the busiest address pays with its oldest one."""
    connections = Connections(ConnectionLimits(total=10, per_address=10))
    quiet = _open(connections, "192.0.2.1", 2)
    flood = _open(connections, "203.0.113.7", 8)
    _open(connections, "192.0.2.2", 1)
    assert [connection.closed for connection in flood] == [True] + [False] * 7
    assert not any(connection.closed for connection in quiet)
    assert len(connections) == 10


def test_j6_an_address_pays_for_its_own_connections() -> None:
    """At its own limit an address loses its oldest waiting connection; a /64 of IPv6 is one address."""
    connections = Connections(ConnectionLimits(total=100, per_address=3))
    first = _open(connections, "2001:db8::1", 3)
    _open(connections, "2001:db8::2", 1)
    assert [connection.closed for connection in first] == [True, False, False]
    assert len(connections) == 3


def test_j6_work_is_never_cut_off_for_a_new_connection() -> None:
    """A connection with a request in hand stays; one whose small body is still coming goes after the idle ones."""
    connections = Connections(ConnectionLimits(total=4, per_address=4))
    busy = _open(connections, "192.0.2.1", 2, None)
    [body] = _open(connections, "192.0.2.1", 1, "small_body")
    [idle] = _open(connections, "192.0.2.1", 1)
    for expected in ((False, True), (True, True)):
        _open(connections, "192.0.2.1", 1, None)
        assert (body.closed, idle.closed) == expected
    refused = Connection()
    assert not connections.admit(refused, "192.0.2.1")
    assert not any(connection.closed for connection in busy)
    connections.remove(busy[0])
    assert connections.admit(refused, "192.0.2.1")


def test_j6_trusted_proxies_count_in_all_only() -> None:
    """A proxy brings the connections of many clients; the limit for each address is not for it."""
    connections = Connections(ConnectionLimits(total=8, per_address=2, exempt=[network_of("10.0.0.0/8")]))
    proxied = _open(connections, "10.0.0.1", 8, None)
    assert not connections.admit(Connection(), "10.0.0.1")
    assert not any(connection.closed for connection in proxied)


def test_j6_upgraded_connections_are_forgotten_once_closed() -> None:
    """A WebSocket that ended leaves room although nobody told the count."""
    connections = Connections(ConnectionLimits(total=2, per_address=2))
    made = _open(connections, "192.0.2.1", 2, None)
    made[0].closed = True
    assert connections.admit(Connection(None), "192.0.2.1")


def test_j6_limits_leave_room_for_the_pools() -> None:
    """Under a low limit of open files the pools keep theirs."""
    limits = limits_within(300, wanted=10_000, per_address=2000, pools=74, exempt=[])
    assert (limits.total, limits.per_address) == (162, 162)
    assert limits_within(65_536, wanted=10_000, per_address=2000, pools=74, exempt=[]).total == 10_000
