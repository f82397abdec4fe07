"""Client addresses: found behind trusted proxies, compared with networks, and anonymised for the records."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: Sequence[Network]) -> Address | None:
    """The client's address; None if there is none (a Unix socket) or it cannot be read.

    peer: the address that connected.
    forwarded_for: the X-Forwarded-For header. The rightmost address that is not a trusted proxy's is the client's; those to its
        left are the client's own claim.
    """
    address = parse_address(peer)
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    while hops and address is not None and is_in(address, trusted_proxies):
        address = parse_address(hops.pop())
    return address


def parse_address(text: str | None) -> Address | None:
    """Parse an address with or without brackets, port and zone. IPv4 inside IPv6 (RFC 4291, 2.5.5.2) becomes IPv4."""
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
    """Whether the address belongs to one of the networks."""
    return any(address.version == network.version and address in network for network in networks)


def neighbourhood(address: Address | None) -> str:
    """The unit by which refusals are counted: an IPv4 address, or an IPv6 /64 network, because one host may use all of it."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def anonymised(address: Address | None) -> str | None:
    """192.168.1.x, or the first 48 bits of an IPv6 address: identifies a site, not a desk (REPORT 9.3)."""
    if address is None:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return f"{str(address).rpartition('.')[0]}.x"
    return f"{':'.join(address.exploded.split(':')[:3])}:x"
