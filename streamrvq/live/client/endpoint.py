"""Where a server is, and the way to it: its URL, the token, TLS, a proxy.

Knows: settings and their rules; which proxy the environment names. Does not know: connections, streams.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import ssl as tls
from contextlib import suppress
from numbers import Real
from typing import Literal
from urllib.parse import urlsplit

from ...errors import InputError
from ...system.foreign_data import one_line, shown

#: True: the one that the environment names, if any. None: none. Otherwise its URL.
ProxySetting = str | Literal[True] | None


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A server, as `connect` is told of it; see there for the fields.

    Raises:
        InputError: a value that no server can be reached with.
    """

    url: str
    token: str | None = None
    timeout: float = 30.0  #: seconds to wait for the server
    ssl: tls.SSLContext | None = None  #: None: with wss, the authorities that this system trusts
    proxy: ProxySetting = True

    def __post_init__(self) -> None:
        if not (isinstance(self.url, str) and self.url.startswith(("ws://", "wss://"))):
            raise InputError(f"url is {shown(self.url)}; wanted ws://host:port or wss://host:port")
        if self.ssl is not None and not self.secure:
            raise InputError(f"ssl came with {one_line(self.url)}; it goes with wss://, and ws:// has no TLS")
        if not (self.token is None or isinstance(self.token, str)):
            raise InputError(f"the token is a {type(self.token).__name__}; wanted a string")
        if not (isinstance(self.timeout, Real) and self.timeout > 0):
            raise InputError(f"timeout is {shown(self.timeout)}; wanted seconds, more than 0")
        if not (self.proxy is None or self.proxy is True or isinstance(self.proxy, str)):
            raise InputError(
                f"proxy is {shown(self.proxy)}; wanted a URL, True for the environment's, or None for none"
            )

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("wss://")

    @property
    def route(self) -> str:
        """The URL, and the proxy on the way to it, for messages."""
        try:
            proxy = self.chosen_proxy()
        except Exception:  # then the message is not about the proxy
            proxy = None
        return one_line(self.url) + ("" if proxy is None else f", through {self.proxy_words(proxy)},")

    def proxy_words(self, proxy: str) -> str:
        """A proxy and who chose it, for messages; without its user and password."""
        head, at, rest = proxy.rpartition("@")
        named = one_line(f"{head.partition('://')[0]}://{rest}" if at else rest)
        return f"the proxy {named}{', which the environment names' if self.proxy is True else ''}"

    def chosen_proxy(self) -> str | None:
        """The proxy to connect through; None: directly.

        The environment is read as websockets reads it: ``ws_proxy`` or ``wss_proxy``, ``socks_proxy``,
        ``https_proxy``, ``http_proxy`` for ws:// alone, and ``no_proxy``; on macOS and Windows the system's settings.
        But no proxy of these leads to loopback: that would be the loopback of the proxy's machine.

        Raises:
            ValueError, WebSocketException: the URL is none.
        """
        if self.proxy is not True:
            return self.proxy
        if _is_loopback(urlsplit(self.url).hostname or ""):
            return None
        from websockets.proxy import get_proxy
        from websockets.uri import parse_uri

        return get_proxy(parse_uri(self.url))


def _is_loopback(host: str) -> bool:
    """Whether a host's name or address is that of this machine for itself."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False
