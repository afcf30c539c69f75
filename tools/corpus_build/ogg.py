"""Ogg pages: libsndfile chooses a random serial number; here it becomes the same in every run.

Knows: the page header and its checksum (RFC 3533). Does not know: what the pages carry.
"""

from __future__ import annotations

from .errors import CorpusError

_SERIAL, _CHECKSUM, _SEGMENTS, _HEADER = slice(14, 18), slice(22, 26), 26, 27


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_TABLE = _table()


def with_serial(data: bytes, serial: int = 1) -> bytes:
    """An Ogg file of one stream with ``serial`` in its pages, and the checksums that belong to them.

    Raises:
        CorpusError: the data is not whole Ogg pages.
    """
    pages, start = [], 0
    while start < len(data):
        page_body = start + _HEADER + data[start + _SEGMENTS]
        end = page_body + sum(data[start + _HEADER : page_body])
        page = bytearray(data[start:end])
        if page[:4] != b"OggS" or len(page) != end - start:
            raise CorpusError(f"byte {start} of an Ogg file begins no whole page; encode the clip again")
        page[_SERIAL] = serial.to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(page).to_bytes(4, "little")
        pages.append(bytes(page))
        start = end
    return b"".join(pages)


def _checksum(page: bytearray) -> int:
    value, table = 0, _TABLE
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value
