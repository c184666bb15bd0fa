"""Find the client address of a request, also behind proxies, and group addresses of one client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 16
"""Entries of X-Forwarded-For that are looked at, from the right; nobody has more proxies than that in a row."""

_WRITTEN = re.compile(
    r"([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})(?:%.*)?|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
)
"""A zone (`%eth0`) says something on one machine only and is left out."""

_CLIENT_PREFIX = 64
"""One subscriber gets at least a /64 and can send from any address in it (RFC 6177)."""


def network_of(text: str) -> Network:
    """Parse an address or network of trusted proxies; raise ValueError with what to write instead."""
    try:
        network = ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no address or network: write `10.0.0.7` or `10.0.0.0/8`") from None
        raise ValueError(f"{text!r} is an address within a network: write `{meant}`") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(f"{text!r} is an IPv4 address in disguise: write it as one")
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} trusts everybody: then each client could write its own address")
    return network


def address_of(text: str) -> Address | None:
    """Parse an address, with or without a port, as proxies write it; None for any other text."""
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        return None
    try:
        address = ip_address(next(filter(None, written.groups()), ""))
    except ValueError:
        return None
    # A socket for both families gives IPv4 addresses in this form; all of them would be in one /64.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Say whether an address is in one of *networks*."""
    return any(address in network for network in networks)


def client_behind(proxy: Address, forwarded_for: str, trusted: Sequence[Network]) -> Address:
    """Return the right-most address of X-Forwarded-For that is no trusted proxy's.

    Each proxy adds the address it was called from on the right, so everything left of that may be the client's own
    invention. What is no address ends the search, at the last proxy that was reached.
    """
    reached = proxy
    for entry in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        found = address_of(entry)
        if found is None:
            break
        reached = found
        if not is_in(found, trusted):
            break
    return reached


def client_name(host: str) -> str:
    """Return the name that a client's requests are counted under: its address, of IPv6 the /64 it is in."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        return f"{IPv6Network((int(address) >> _CLIENT_PREFIX << _CLIENT_PREFIX, _CLIENT_PREFIX))}"
    return host if address is None else str(address)


def is_own_host(host: str, own: Sequence[str]) -> bool:
    """Say whether a request to *host* (a name or address, without port) can only have been meant for this server.

    Loopback addresses stay on the client's machine; *own* are the addresses this server listens on.
    """
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(name)
    if address is not None and address.is_loopback:
        return True
    known = {text.lower().strip("[]") for text in own} - {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return name in known
