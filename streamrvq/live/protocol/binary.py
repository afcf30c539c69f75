"""Binary messages: a 16-byte header, then samples or codes. Their order, positions and sizes are checked here.

The header, little-endian: kind u8 (1 PCM, 2 CODES), flags u8 (1 = final), codebooks u16 (0 for PCM), seq u32, pos u64.

Whatever bytes come, `Incoming` returns an array or raises `ProtocolError`, and nothing else.

Knows: bytes, arrays, the order of messages. Does not know: codecs, sockets, asyncio.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...audio.pcm import as_array, as_pcm
from ...audio.sample_formats import FORMATS
from ...errors import InputError, ProtocolError

HEADER = struct.Struct("<BBHIQ")
FINAL = 1


class PayloadKind(enum.IntEnum):
    """What a binary message carries."""

    PCM = 1
    CODES = 2


_KINDS = {int(kind): kind for kind in PayloadKind}


class Packet(NamedTuple):
    """One binary message: the fields of its header, and its payload."""

    kind: PayloadKind
    final: bool  #: whether it is the last one of its direction
    codebooks: int  #: 0 for PCM
    seq: int  #: number of the message in its direction, modulo 2³²
    pos: int  #: index of its first sample at the client's rate, or of its first frame
    payload: bytes

    def to_bytes(self) -> bytes:
        """The message as it is sent."""
        return HEADER.pack(self.kind, FINAL * self.final, self.codebooks, self.seq, self.pos) + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Packet:
        """The inverse of `to_bytes`.

        Raises:
            ProtocolError: `to_bytes` never makes such bytes.
        """
        if len(data) < HEADER.size:
            raise ProtocolError(f"a binary message of {len(data)} bytes; its header alone has {HEADER.size}")
        number, flags, codebooks, seq, pos = HEADER.unpack_from(data)
        kind = _KINDS.get(number)
        if kind is None:
            raise ProtocolError(f"a binary message of kind {number}; wanted 1 (PCM) or 2 (CODES)")
        if flags not in (0, FINAL):
            raise ProtocolError(f"flags are {flags}; wanted 0, or 1 for the final message")
        if (codebooks == 0) != (kind is PayloadKind.PCM):
            raise ProtocolError(f"codebooks is {codebooks} in a {kind.name} message; wanted 0 in PCM, else ≥ 1")
        return cls(kind, flags == FINAL, codebooks, seq, pos, bytes(data[HEADER.size :]))


@dataclasses.dataclass(frozen=True)
class PayloadFormat:
    """How a stream's messages carry samples and codes, and which codes are valid."""

    format: str = "s16le"  #: of PCM: one of `FORMATS`
    size: int = 65536  #: entries of a codebook
    codebooks: range = range(1, 65536)  #: codes per frame that a CODES message may have


class Incoming:
    """Checks and unpacks one direction's messages: all of one kind, none missing, none after the final one.

    Args:
        kind: what the messages carry.
        payload_format: how they carry it.

    Attributes:
        kind: as given.
        pos: index of the sample or frame that the next message must begin with.
        final: whether the final message has come.
    """

    def __init__(self, kind: PayloadKind, payload_format: PayloadFormat) -> None:
        self.kind, self.pos, self.final = kind, 0, False
        self._format = FORMATS[payload_format.format]
        self._size, self._codebooks = payload_format.size, payload_format.codebooks
        self._seq = 0

    def take(
        self, data: bytes, check: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = lambda array: array
    ) -> npt.NDArray[Any]:
        """Unpack the next message: samples ``[n]``, int16 or float32, or codes int64 ``[K, n]``; n ≥ 0.

        Args:
            data: the message.
            check: what else is done to samples before they count; its exceptions are passed on.

        Raises:
            ProtocolError: the message breaks the rules. Nothing has changed then.
        """
        packet = Packet.from_bytes(data)
        if packet.kind != self.kind:
            raise ProtocolError(f"a {packet.kind.name} message; this direction carries {self.kind.name}")
        if self.final:
            raise ProtocolError("a binary message after the final one; nothing may follow it")
        if packet.seq != self._seq:
            raise ProtocolError(f"seq is {packet.seq}; wanted {self._seq}: messages are missing or mixed up")
        if packet.pos != self.pos:
            raise ProtocolError(
                f"pos is {packet.pos}; wanted {self.pos}: every sample or frame counts, lost ones are told by gap"
            )
        array = check(self._samples(packet)) if self.kind == PayloadKind.PCM else self._codes(packet)
        self._seq = (self._seq + 1) % 2**32
        self.pos += array.shape[-1]
        self.final = packet.final
        return array

    def skip(self, count: int) -> None:
        """Count samples that were lost before they were sent."""
        self.pos += count

    def check_end(self, count: int) -> None:
        """Check what the other side says in the end: that so many samples or frames were sent.

        Raises:
            ProtocolError: another number has come.
        """
        if count != self.pos:
            unit = "samples" if self.kind == PayloadKind.PCM else "frames"
            raise ProtocolError(f"the other side says it sent {count} {unit}; {self.pos} came: the end is missing")

    def renumber(self) -> None:
        """Resume over another connection: messages are numbered from 0 again, positions continue.

        The final message, which may have come, comes again.
        """
        self._seq, self.final = 0, False

    def _samples(self, packet: Packet) -> npt.NDArray[Any]:
        width = self._format.width
        if len(packet.payload) % width:
            raise ProtocolError(f"{len(packet.payload)} bytes of PCM; wanted whole samples of {width} bytes")
        return self._format.read(packet.payload)

    def _codes(self, packet: Packet) -> npt.NDArray[np.int64]:
        levels = packet.codebooks
        if levels not in self._codebooks:
            first, last = self._codebooks[0], self._codebooks[-1]
            raise ProtocolError(f"codebooks is {levels}; wanted {first if first == last else f'{first} to {last}'}")
        if len(packet.payload) % (2 * levels):
            raise ProtocolError(f"{len(packet.payload)} bytes of codes; wanted whole frames of {levels} × 2 bytes")
        codes = np.frombuffer(packet.payload, "<u2").reshape(-1, levels).T.astype(np.int64)
        if codes.size and codes.max() >= self._size:
            level, frame = (int(i) for i in np.argwhere(codes >= self._size)[0])
            raise ProtocolError(
                f"code {codes[level, frame]} at codebook {level}, frame {packet.pos + frame}; wanted 0 to "
                f"{self._size - 1}"
            )
        return codes


class Outgoing:
    """Packs one direction's messages: numbered, and none larger than the other side accepts.

    Args:
        kind: what the messages carry.
        max_message: bytes of a message at most, header included.
        payload_format: how they carry it.

    Attributes:
        kind: as given.
        pos: index of the sample or frame that the next message will begin with.
    """

    def __init__(self, kind: PayloadKind, max_message: int, payload_format: PayloadFormat) -> None:
        self.kind, self.pos = kind, 0
        self._max_payload, self._seq = max_message - HEADER.size, 0
        self._format = FORMATS[payload_format.format]
        self._size, self._codebooks = payload_format.size, payload_format.codebooks

    def check(self, block: Any) -> npt.NDArray[Any]:
        """Check what a user wants to send: samples ``[n]``, int16 or float32, or codes ``[K, n]``, any integers.

        Samples may also be bytes of G.711, uint8, where those are what is sent.

        Raises:
            InputError: it is something else.
        """
        if self.kind == PayloadKind.PCM:
            array = as_array(block, "samples")
            ready = array.dtype == np.int16 or (self._format.law is not None and array.dtype == np.uint8)
            return array if ready and array.ndim == 1 else as_pcm(array, position=self.pos)
        array, most = as_array(block, "codes"), self._codebooks[-1]
        if array.ndim != 2 or array.dtype.kind not in "iu" or array.shape[0] not in self._codebooks:
            raise InputError(
                f"codes are {array.dtype} {list(array.shape)}; wanted integers [K, n], K from 1 to {most} codebooks"
            )
        if array.size and not (array.min() >= 0 and array.max() < self._size):
            raise InputError(f"codes reach from {array.min()} to {array.max()}; wanted 0 to {self._size - 1}")
        return array

    def most(self, levels: int) -> int:
        """Frames of ``levels`` codes, or, with 0 levels, samples, that fit one message."""
        return max(1, self._max_payload // (2 * levels or self._format.width))

    def pack(self, array: npt.NDArray[Any], final: bool = False) -> list[bytes]:
        """Pack samples ``[n]`` or codes ``[K, n]`` that `check` let pass; for n = 0 no message, unless ``final``."""
        codes = self.kind == PayloadKind.CODES
        raw = array.T.astype("<u2", copy=False) if codes else self._format.write(array)
        levels = array.shape[0] if codes else 0
        count = array.shape[-1]
        step = self.most(levels)
        messages = []
        for start in range(0, max(count, int(final)), step):
            part = raw[start : start + step]
            last = final and start + step >= count
            messages.append(Packet(self.kind, last, levels, self._seq, self.pos, part.tobytes()).to_bytes())
            self._seq, self.pos = (self._seq + 1) % 2**32, self.pos + len(part)
        return messages

    def empty(self, levels: int) -> bytes:
        """Pack a message without samples or frames, which only shows that there is a client. ``levels``: 0 for PCM."""
        message = Packet(self.kind, False, levels, self._seq, self.pos, b"").to_bytes()
        self._seq = (self._seq + 1) % 2**32
        return message

    def skip(self, count: int) -> None:
        """Count samples that were lost and will not be sent."""
        self.pos += count
