"""Where a request comes from: behind proxies that are trusted, against the allow list, and anonymised for the records."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: Sequence[Network]) -> Address | None:
    """The client's address; None where there is none (a Unix socket) or none that can be read.

    peer: who connected. forwarded_for: the X-Forwarded-For header, believed only as far as trusted proxies wrote it: from the
    right, the first address that is not one of theirs is the client.
    """
    address = parse_address(peer)
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    while hops and address is not None and is_in(address, trusted_proxies):
        address = parse_address(hops.pop())
    return address


def parse_address(text: str | None) -> Address | None:
    """An address with or without brackets, port and zone; an IPv4 address inside IPv6 (RFC 4291, 2.5.5.2) as IPv4."""
    if not text or len(text) > 128:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address.version == network.version and address in network for network in networks)


def neighbourhood(address: Address | None) -> str:
    """What refusals are counted by: an IPv4 address, or the first 64 bits of an IPv6 one, all of which one host may have."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def anonymised(address: Address | None) -> str | None:
    """192.168.1.x, or the first 48 bits of an IPv6 address: enough to tell a house, not a desk (REPORT 9.3)."""
    if address is None:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return f"{str(address).rpartition('.')[0]}.x"
    return f"{':'.join(address.exploded.split(':')[:3])}:x"
