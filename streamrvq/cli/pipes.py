"""Pipes: raw samples on stdin to JSON lines on stdout, and back.

A line is ``{"index", "time", "codes"}``: the index of its first frame, the time of that frame's first sample in
seconds, and codes ``[K][n]``. The first line also names the codec, so that decoding with another one can be refused.
Lines of an untrained codec have ``"status": "untrained"``.

Knows: bytes, lines, when to flush. Does not know: audio files, token files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..audio.sample_formats import FORMATS, SampleFormat
from ..codec import Codec
from ..engine.base import Codes
from ..errors import InputError, TokensError
from ..streaming.encoder import EncoderStream
from ..system.foreign_data import foreign_data, one_line, shown
from .common import note_untrained, writing_to_stdout
from .stored.token_writer import TokenWriter

#: Bytes that one read requests; it returns earlier with what there is.
READ_BYTES = 1 << 16
#: Bytes that a line may have. Ten minutes of frames take less.
MAX_LINE_BYTES = 16 << 20
#: Lists and objects that a line may have.
_MOST_LISTS = 1 << 16
_REMEDY = "wanted what `streamrvq encode -` writes"


def sample_format(name: str) -> SampleFormat:
    """The format of that name; `InputError` where there is none."""
    if name not in FORMATS:
        raise InputError(f"format is {name!r}; wanted {' or '.join(FORMATS)}, raw samples of one channel")
    return FORMATS[name]


class LineWriter:
    """Writes frames to stdout as JSON lines, and flushes each line because the reader may be live."""

    def __init__(self, codec: Codec, source_rate: int) -> None:
        self._untrained = not codec.trained
        self._codec_fields: dict[str, Any] = {
            "codec": codec.name, "codec_hash": codec.codec_hash, "sample_rate": codec.sample_rate,
            "hop_length": codec.hop_length, "source_rate": source_rate,
        }  # fmt: skip

    def frames(self, index: int, time: float, codes: Codes) -> None:
        """Write frames ``[K, n]``; nothing for n = 0."""
        if not codes.shape[1]:
            return
        line = {"index": index, "time": time, "codes": codes.tolist(), **self._codec_fields}
        if self._untrained:
            line["status"] = "untrained"
        self._codec_fields = {}
        self.other(line)

    def other(self, line: dict[str, Any]) -> None:
        """Write a line of another kind: ``{"gap": …}`` or ``{"summary": …}``."""
        with writing_to_stdout():
            sys.stdout.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
            sys.stdout.flush()


def encode_stdin(
    codec: Codec, rate: int | None, format: str, levels: int | None, tail: str, target: Path | None = None
) -> dict[str, Any] | None:
    """Encode stdin to its end: to JSON lines, each written as soon as its frames are complete, or to a token file.

    Args:
        target: the token file. None: lines on stdout.

    Returns:
        What the token file holds; None for lines.

    Raises:
        InputError: bad samples, or an incomplete sample at the end. Everything before it is still encoded.
    """
    samples = sample_format(format)
    stream = codec.stream(sample_rate=rate, n_quantizers=levels, tail=tail)
    if target is None:
        note_untrained(codec)
        _encode(codec, stream, samples, format, LineWriter(codec, stream.sample_rate))
        return None
    writer = TokenWriter(target, codec, stream.sample_rate, levels, tail)
    try:
        _encode(codec, stream, samples, format, writer)
    except BaseException:  # an interrupt too: the audio of a pipe does not come again
        writer.finish(stream.samples_received, whole=False)
        raise
    return writer.finish(stream.samples_received, whole=True)


def _encode(
    codec: Codec, stream: EncoderStream, samples: SampleFormat, format: str, writer: LineWriter | TokenWriter
) -> None:
    stdin, rest = cast(BufferedReader, sys.stdin.buffer), b""

    def write(codes: Codes) -> None:
        index = stream.frames_given - codes.shape[1]
        writer.frames(index, index * codec.hop_length / codec.sample_rate, codes)

    while data := stdin.read1(READ_BYTES):
        data = rest + data
        whole = len(data) - len(data) % samples.width
        rest = data[whole:]
        write(stream.push(samples.read(data[:whole])))
    write(stream.flush())
    if rest:
        raise InputError(
            f"the stream ended with {len(rest)} bytes of a sample of {samples.width}, after {stream.samples_received} "
            f"whole samples; wanted {format}: check --format, or whether it was cut off"
        )


def code_lines(codec: Codec, force: bool) -> Iterator[Codes]:
    """The codes ``[K, n]`` of each line on stdin.

    Raises:
        TokensError: a line is malformed, frames before it are missing, or it is another codec's (unless ``force``).
    """
    expected, number = 0, 0
    while line := sys.stdin.buffer.readline(MAX_LINE_BYTES):
        number += 1
        if not line.strip():
            continue
        with foreign_data(TokensError, f"line {number} on stdin", _REMEDY):
            codes = _codes_of(line, f"line {number} on stdin", codec, force, expected)
        if codes is not None:
            expected += codes.shape[1]
            yield codes


def _codes_of(line: bytes, what: str, codec: Codec, force: bool, expected: int) -> Codes | None:
    """The codes of a line that ``what`` names; None for one of another kind."""
    # Every list takes thirty times its two bytes. A line of codes has one for each level, and one around them.
    if line.count(b"[") + line.count(b"{") > _MOST_LISTS:
        raise TokensError(f"{what} has more than {_MOST_LISTS} lists; {_REMEDY}")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError, OverflowError) as error:
        raise TokensError(f"{what} is not JSON ({one_line(error, 100)}); {_REMEDY}") from None
    if not isinstance(item, dict):
        raise TokensError(f"{what} is {shown(item)}, and no object with index and codes; {_REMEDY}")
    if "codes" not in item and ("gap" in item or "summary" in item):  # lines of `streamrvq mic --json`
        return None
    if missing := [name for name in ("index", "codes") if name not in item]:
        raise TokensError(f"{what} has no {' and no '.join(missing)}; {_REMEDY}")
    index, listed = item["index"], item["codes"]
    # numpy takes true for 1, and gives every text the room of the longest.
    rows = isinstance(listed, list) and all(isinstance(row, list) for row in listed)
    whole = rows and type(index) is int and all(type(code) is int for row in listed for code in row)
    if whole and len({len(row) for row in listed}) > 1:
        raise TokensError(f"{what} has levels of {' and '.join(str(len(row)) for row in listed[:3])} codes; {_REMEDY}")
    try:
        codes: Codes = np.array(listed if whole else [], np.int64)
    except OverflowError:
        raise TokensError(f"{what} has a code of more than 63 bits; {_REMEDY}") from None
    if codes.ndim != 2 or not codes.size:
        raise TokensError(
            f"{what} has index {shown(index)} and codes {shown(listed)}; wanted whole numbers, and [K][n] of them"
        )
    if index != expected:
        raise TokensError(f"{what} begins at frame {shown(index)}; wanted {expected}: lines are missing or mixed up")
    came = item.get("codec_hash", codec.codec_hash)
    if came != codec.codec_hash and not force:
        raise TokensError(
            f"the lines on stdin are of codec {shown(item.get('codec'))} ({one_line(str(came)[:12])}); this is "
            f"{codec.name} ({codec.codec_hash[:12]}): give --codec, or --force to decode anyway"
        )
    return codes


def write_samples(pcm: Any, format: str) -> None:
    """Write samples in [−1, 1] to stdout as raw bytes and flush; all formats but f32le round and clip them."""
    with writing_to_stdout():
        sys.stdout.buffer.write(sample_format(format).write(pcm).tobytes())
        sys.stdout.buffer.flush()
