"""The websocket protocol's fixed values: version, sizes, close codes. PROTOCOL.md beside this file specifies it.

Knows: numbers and what they mean. Does not know: messages (text.py, binary.py), sockets, asyncio, codecs.
"""

from __future__ import annotations

import enum

#: The websocket subprotocol that a client offers and the server accepts.
SUBPROTOCOL = "streamrvq.v1"
#: The protocol version, as in `start`, `resume` and `ready`.
VERSION = 1
#: The largest text message, in characters.
MAX_TEXT = 4096
#: The default of a server's largest message of any kind, in bytes.
MAX_MESSAGE = 32_768
#: The smallest value that a server may set for that: a frame of any codec and a start message fit.
SMALLEST_MAX_MESSAGE = 4096
#: Sample rates that a client may ask for, Hz. Streams of a codec take 1000 to 768 000, but here two allowances count in
#: seconds of audio. A connection may send 400 · 2048 bytes for each (server/intake.py): 819 200, and float32 at 192 kHz
#: are 768 000. It may send 1000 messages for each (server/access.py): at 1000 Hz a flood of one-sample messages would
#: be within that.
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000


class Close(enum.IntEnum):
    """Why a connection ends.

    Before a close by the server, an `error` message gives the reason in words. It is not sent before 1000, or where
    the websocket layer itself ends the connection: 1002, 1007, 1009, and 4429 for pings and small fragments.
    """

    NORMAL = 1000  #: after `done`; or the client left
    WIRE = 1002  #: broken websocket frames
    LOST = 1006  #: never sent: the connection broke, or was cut because the client did not read
    BAD_TEXT = 1007  #: a text message that is not UTF-8
    TOO_BIG = 1009  #: a message larger than `ready.max_message`, or in too many fragments, or a text over MAX_TEXT
    FAILED = 1011  #: the server's own failure
    RESTART = 1012  #: the server is going down; connect again
    FULL = 1013  #: the server is full; try later
    BAD_MESSAGE = 4400  #: a message that is malformed, out of order, of the wrong kind, or holds bad samples or codes
    UNAUTHORIZED = 4401  #: no token, or a wrong one
    NO_SESSION = 4404  #: resume of a session that is not parked here
    VERSION = 4406  #: another subprotocol or version
    TOO_SLOW = 4408  #: no start in time, or nothing received for too long
    FORMAT = 4415  #: a mode, format, rate, number of channels or of quantizers that this server does not have
    TOO_FAST = 4429  #: messages beyond their audio, too many markers or gaps that wait, a flood of pings or fragments
