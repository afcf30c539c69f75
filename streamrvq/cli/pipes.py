"""Pipes: raw samples on stdin to JSON lines on stdout, and back.

Knows: bytes, lines, and when to flush. A line is ``{"index", "time", "codes"}``: the index of its first frame, the
time of that frame's first sample in seconds, codes ``[K][n]``. The first line also names the codec, so that the way
back can refuse another one's. Lines of an untrained codec say ``"status": "untrained"``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, cast

import numpy as np

from ..audio.pcm import FORMATS, to_int16
from ..codec import Codec
from ..engine.base import Codes
from ..errors import InputError, TokensError
from .common import note_untrained

#: Bytes a read asks for at most; it returns with less as soon as there is any.
READ = 1 << 16
#: Bytes a line may have: 10 minutes of frames are less.
LINE = 16 << 20


def sample_format(name: str) -> np.dtype[Any]:
    """The dtype of ``s16le`` or ``f32le``; `InputError` for another."""
    if name not in FORMATS:
        raise InputError(f"format is {name!r}; wanted s16le or f32le, raw samples of one channel")
    return FORMATS[name]


class LineWriter:
    """Frames as JSON lines on stdout, each at once, for the reader is live too; the first line names the codec."""

    def __init__(self, codec: Codec, source_rate: int) -> None:
        self._untrained = not codec.trained
        self._about: dict[str, Any] = {
            "codec": codec.name, "codec_hash": codec.codec_hash, "sample_rate": codec.sample_rate,
            "hop_length": codec.hop_length, "source_rate": source_rate,
        }  # fmt: skip

    def frames(self, index: int, time: float, codes: Codes) -> None:
        """The line of frames ``[K, n]``; none for n = 0."""
        if not codes.shape[1]:
            return
        line = {"index": index, "time": time, "codes": codes.tolist(), **self._about}
        if self._untrained:
            line["status"] = "untrained"
        self._about = {}
        self.other(line)

    def other(self, line: dict[str, Any]) -> None:
        """A line of another kind: ``{"gap": …}`` or ``{"summary": …}``."""
        sys.stdout.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
        sys.stdout.flush()


def encode_stdin(codec: Codec, rate: int | None, format: str, n_quantizers: int | None, tail: str) -> None:
    """Encode stdin to its end; each line goes out as soon as its frames are there.

    Raises:
        InputError: bad samples, or bytes left over that are no whole sample; what came before is encoded all the same.
    """
    dtype = sample_format(format)
    stream = codec.stream(sample_rate=rate, n_quantizers=n_quantizers, tail=tail)
    note_untrained(codec)
    stdin, rest = cast(BufferedReader, sys.stdin.buffer), b""
    lines = LineWriter(codec, stream.sample_rate)

    def write(codes: Codes) -> None:
        index = stream.frames_given - codes.shape[1]
        lines.frames(index, index * codec.hop_length / codec.sample_rate, codes)

    while data := stdin.read1(READ):
        data = rest + data
        whole = len(data) - len(data) % dtype.itemsize
        rest = data[whole:]
        write(stream.push(np.frombuffer(data[:whole], dtype).astype(dtype.newbyteorder("="), copy=False)))
    write(stream.flush())
    if rest:
        raise InputError(
            f"the stream ended with {len(rest)} bytes of a sample of {dtype.itemsize}, after {stream.samples_received} "
            f"whole samples; wanted {format}: check --format, or whether it was cut off"
        )


def code_lines(codec: Codec, force: bool) -> Iterator[Codes]:
    """The codes ``[K, n]`` of each line on stdin.

    Raises:
        TokensError: a line that is not one of ours, frames missing before it, or another codec's (unless ``force``).
    """
    expected, number = 0, 0
    while line := sys.stdin.buffer.readline(LINE):
        number += 1
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            if "codes" not in item and ("gap" in item or "summary" in item):  # of `streamrvq mic --json`
                continue
            index, listed = item["index"], item["codes"]
            codes = np.array(listed)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise TokensError(
                f'line {number} on stdin is not {{"index", "time", "codes"}} ({type(error).__name__}: {error}); '
                "wanted what `streamrvq encode -` writes"
            ) from None
        if codes.ndim != 2 or codes.dtype.kind not in "iu":
            raise TokensError(
                f"line {number} on stdin has codes {codes.dtype} {list(codes.shape)}; wanted whole numbers [K][n]"
            )
        if index != expected:
            raise TokensError(
                f"line {number} on stdin begins at frame {index!r}; wanted {expected}: lines are missing or mixed up"
            )
        came = item.get("codec_hash", codec.codec_hash)
        if came != codec.codec_hash and not force:
            raise TokensError(
                f"the lines on stdin are of codec {item.get('codec')!r} ({str(came)[:12]}); this is {codec.name} "
                f"({codec.codec_hash[:12]}): give --codec, or --force to decode all the same"
            )
        expected += codes.shape[1]
        yield codes.astype(np.int64)


def write_samples(pcm: Any, format: str) -> None:
    """Samples in [−1, 1] to stdout as raw bytes, at once; s16le is rounded and clipped."""
    dtype = sample_format(format)
    samples = to_int16(pcm) if dtype.kind == "i" else pcm
    sys.stdout.buffer.write(samples.astype(dtype).tobytes())
    sys.stdout.buffer.flush()
