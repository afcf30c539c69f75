"""A server's settings: where it listens, who may connect, how long it waits.

Knows: values and their ranges. Does not know: what they are used for.
"""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

from ...errors import InputError
from ...system.foreign_data import one_line, shown
from ..protocol.constants import MAX_MESSAGE, SMALLEST_MAX_MESSAGE
from .access import check_origin


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The settings of a `Server`. All times are in seconds.

    Raises:
        InputError: a value out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000  #: 0: any free port
    tokens: tuple[str, ...] = ()  #: bearer tokens; empty: every client may connect
    origins: tuple[str, ...] = ()  #: of other pages that may connect; "*": of all pages
    tls_certificate: Path | None = None  #: a PEM file with the chain, and the key if `tls_key` names no other
    tls_key: Path | None = None
    max_streams: int | None = None  #: open at once; None: as many as the machine computes in real time
    max_parked: int = 16  #: streams kept after their connection was lost, to be resumed; 0: none
    #: authenticated ones open at once, with or without a stream; None: 256, or twice the streams if that is more
    max_connections: int | None = None
    max_connections_of_one: int | None = None  #: of these, from one address; an IPv6 /64 is one; None: all
    #: open at once before their request is complete, and as many more before their token has come; the newest get in
    max_unauthenticated: int = 256
    max_unauthenticated_of_one: int = 256  #: of these, from one address; behind a proxy all clients have one address
    max_message: int = MAX_MESSAGE  #: bytes
    gather: float = 0.002  #: how long a step waits for other streams to have a hop
    max_batch: int | None = None  #: the most streams × hops of a step; None: as many as compute within a hop
    start_timeout: float = 10.0  #: for the handshake, and then again for the start message
    idle_timeout: float = 60.0  #: without a message
    send_timeout: float = 10.0  #: for a client to take a message
    park_timeout: float = 30.0  #: for a client to come back after its connection was lost
    close_timeout: float = 2.0  #: for a client to answer a close
    drain_timeout: float = 3.0  #: for clients to stop, once the server stops
    stop_timeout: float = 8.0  #: for the whole stop, computing and sending included

    def __post_init__(self) -> None:
        lowest = {"port": 0, "max_streams": 1, "max_parked": 0, "max_connections": 1, "max_connections_of_one": 1,
                  "max_unauthenticated": 1, "max_unauthenticated_of_one": 1,
                  "max_message": SMALLEST_MAX_MESSAGE, "max_batch": 1}  # fmt: skip
        for name, low in lowest.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name} is {shown(value)}; wanted a whole number of at least {low}")
        if self.port > 65535:
            raise InputError(f"port is {shown(self.port)}; wanted 0 to 65535")
        for name in ("start_timeout", "idle_timeout", "send_timeout", "park_timeout", "close_timeout", "drain_timeout",
                     "stop_timeout"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {shown(getattr(self, name))}; wanted seconds, more than 0")
        if not 0 <= self.gather < 1:
            raise InputError(f"gather is {shown(self.gather)}; wanted seconds, 0 or more and less than 1")
        if any(not token for token in self.tokens):
            raise InputError("a token is empty; wanted at least one character, better 32 random ones")
        if self.tls_key is not None and self.tls_certificate is None:
            raise InputError("tls_key came without tls_certificate; give both, or the certificate with its key inside")
        object.__setattr__(self, "origins", tuple(check_origin(origin) for origin in self.origins))

    def connections_for(self, streams: int) -> int:
        """`max_connections` of a server with so many streams."""
        return max(256, 2 * streams) if self.max_connections is None else self.max_connections

    @property
    def drain_seconds(self) -> float:
        """`drain_timeout`, or half of `stop_timeout` if that is shorter, so that time is left to compute and send."""
        return min(self.drain_timeout, self.stop_timeout / 2)

    def tls(self) -> ssl.SSLContext | None:
        """A TLS context with the certificate loaded; None where there is no certificate.

        Raises:
            InputError: the certificate or its key cannot be loaded.
        """
        if self.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password of ours, OpenSSL would ask for that of an encrypted key on the terminal, and wait.
            context.load_cert_chain(self.tls_certificate, self.tls_key, password="")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot use {self.tls_certificate} as a certificate ({one_line(reason)}); wanted a PEM file "
                "with the chain and its key, or the key in a file of its own, and no password"
            ) from None
        return context
