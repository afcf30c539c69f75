"""The first message of TLS, the ClientHello: how many bytes of it there are.

A server signs something for each, which takes longer than all else before a token has come. Whoever sends all but the
last byte on hundreds of connections, and then the last bytes at once, decides when that happens. So a hello is looked
at while it is still with the kernel, and TLS begins when it is complete, and its turn has come.

Knows: the form of records and of this message (RFC 8446, 4 and 5.1). Does not know: sockets, what the message says.
"""

from __future__ import annotations

#: Bytes of a hello with its records. Those of today's browsers have up to 2000.
MAX_HELLO_BYTES = 16_384
#: Parts that it may come in.
_MOST_RECORDS = 4
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4


def hello_bytes(data: bytes) -> int | None:
    """How many bytes there must be before TLS begins, or before more can be said.

    Args:
        data: what has come.

    Returns:
        At most ``len(data)``: the hello is complete. More: so many are wanted. None: this is not a hello that this
        server accepts.
    """
    message, at = b"", 0
    for _ in range(_MOST_RECORDS):
        head = data[at : at + _RECORD_HEAD]
        length = int.from_bytes(head[3:5], "big")
        if (head and head[0] != _HANDSHAKE) or (len(head) == _RECORD_HEAD and not length):
            return None
        if len(head) < _RECORD_HEAD:
            return at + _RECORD_HEAD
        begin, at = at + _RECORD_HEAD, at + _RECORD_HEAD + length
        message += data[begin:at]
        if (message and message[0] != _CLIENT_HELLO) or at > MAX_HELLO_BYTES:
            return None
        if len(data) < at:
            return at
        if len(message) >= _MESSAGE_HEAD and len(message) >= _MESSAGE_HEAD + int.from_bytes(message[1:4], "big"):
            return at
    return None
