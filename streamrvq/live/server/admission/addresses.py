"""Which addresses count as one client.

Knows: the forms of addresses. Does not know: sockets, limits.
"""

from __future__ import annotations

import ipaddress
from typing import Any

#: Bits of an IPv6 address that tell clients apart. Whoever has one address has the rest of its /64 too.
_PREFIX_BITS = 64


def address_group(address: Any) -> str:
    """The name under which a peer's address is counted: an IPv4 address, or the /64 of an IPv6 address.

    Args:
        address: as a socket gives it: ``(host, port, …)``. Anything else is one group, "local".
    """
    if not isinstance(address, tuple) or not address:
        return "local"
    host = str(address[0])
    if ":" not in host:
        return host
    try:
        number = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(number), _PREFIX_BITS), strict=False))
