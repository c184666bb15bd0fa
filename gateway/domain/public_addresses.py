"""Tell addresses of the public internet from all others, by lists of our own.

Python's `is_global` follows the registry of the release it came with, and calls multicast, NAT64 of a loopback address
and (depending on the version) 6to4 of one global.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with the clouds' metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

_UNICAST = IPv6Network("2000::/3")
"""All that IANA has given out. Mapped, compatible, NAT64, link-local, unique local and multicast lie outside."""

_NOT_UNICAST = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, with Teredo, which carries an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether *address* is a host of the public internet, for certain."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address.scope_id is not None or address not in _UNICAST:
        return False
    return not any(address in network for network in _NOT_UNICAST)
