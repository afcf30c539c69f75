"""This package's rows: a codec's streams hop by hop, and its whole-signal calls.

Knows: the public API. Does not know: families, peers.
"""

from __future__ import annotations

from typing import Any

from streamrvq import Codec

from .rows import Row


def rows(codec: Codec, pcm: Any, codes: Any) -> list[Row]:
    """Both directions in both modes, of samples ``[n]`` and their codes ``[K, T]``."""
    hop, levels = codec.hop_length, len(codes)

    def encode() -> None:
        stream = codec.stream(n_quantizers=levels)
        for start in range(0, len(pcm), hop):
            stream.push(pcm[start : start + hop])
        stream.flush()

    def decode() -> None:
        stream = codec.decoder_stream()
        for frame in range(codes.shape[1]):
            stream.push(codes[:, frame : frame + 1])
        stream.flush()

    def row(way: Any, mode: Any, run: Any) -> Row:
        return Row("streamrvq", "own C++", way, mode, run, ours=True)

    return [
        row("encode", "hop by hop", encode),
        row("decode", "hop by hop", decode),
        row("encode", "in bulk", lambda: codec.encode(pcm, n_quantizers=levels)),
        row("decode", "in bulk", lambda: codec.decode(codes)),
    ]
