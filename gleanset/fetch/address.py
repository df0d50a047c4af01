"""The address guard: Gleanset does not connect into private networks.

The check sits where the socket is made, so the address that is checked is the address that is connected to: for names
that change their answer (DNS rebinding), for every spelling of an IP address, and again at every redirect.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# IPv6 that wraps an IPv4 address (mapped, NAT64, 6to4, Teredo): a way into private networks, not to pictures.
_WRAPPED_IPV4 = tuple(IPv6Network(n) for n in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32"))

# The only part of IPv6 that is given out. Outside of it `ipaddress` calls some networks global, as the site-local
# fec0::/10; inside of it, older Pythons do not know that 3fff::/20 is for documentation.
_GIVEN_OUT, _DOCUMENTATION = IPv6Network("2000::/3"), IPv6Network("3fff::/20")

AddrInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]


class PrivateAddressError(OSError):
    """The address is not on the public internet.

    The text is constant: of several failed addresses, aiohttp keeps the exception only when all texts are alike.
    """

    def __init__(self) -> None:
        super().__init__("the address is not public")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether `address` is a unicast address of the public internet and not this machine's own."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address):
        if address not in _GIVEN_OUT or address in _DOCUMENTATION:
            return False
        if any(address in network for network in _WRAPPED_IPV4):
            return False
    return not _is_own(address)


def names_private(host: str) -> bool:
    """Whether the host says itself, without being resolved, that it is not public: an address, or localhost."""
    try:
        return not is_public(ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """A socket can be bound to this machine's own addresses only, public ones included."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def guarded_socket(info: AddrInfo) -> socket.socket:
    """An aiohttp `socket_factory` that refuses addresses that are not public."""
    family, kind, proto, _, target = info
    if not is_public(ip_address(target[0].partition("%")[0])):
        raise PrivateAddressError
    return socket.socket(family, kind, proto)
