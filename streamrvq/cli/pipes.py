"""Pipes: audio on stdin to JSON lines on stdout, and back.

A line is ``{"index", "time", "codes"}``: the index of its first frame, the time of that frame's first sample in
seconds, and codes ``[K][n]``. The first line also names the codec, so that decoding with another one can be refused,
and the resampler, if the samples had another rate than the codec.
Lines of an untrained codec have ``"status": "untrained"``.

Knows: bytes, lines, when to flush. Does not know: audio files, token files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import Codec
from ..engine.base import Codes
from ..errors import TokensError
from ..live.protocol.text import Ready
from ..resampling import resampler_between
from ..streaming.encoder import EncoderStream
from ..system.foreign_data import foreign_data, one_line, shown
from .common import note_untrained, writing_to_stdout
from .sources import Decoded, RawSamples
from .sources import sample_format as sample_format
from .stored.token_writer import TokenWriter

#: Hops of a container on stdin that are encoded at a time: a tenth of a second, for it may be live.
HOPS = 8
#: Bytes that a line may have. Ten minutes of frames take less.
MAX_LINE_BYTES = 16 << 20
#: Lists and objects that a line may have.
_MOST_LISTS = 1 << 16
_REMEDY = "wanted what `streamrvq encode -` writes"


class LineWriter:
    """Writes frames to stdout as JSON lines, and flushes each line because the reader may be live."""

    def __init__(self, codec: Codec | Ready, source_rate: int) -> None:
        """``codec``: what makes the codes, here or at a server. ``source_rate``: of the samples, Hz."""
        self._untrained = not codec.trained
        if isinstance(codec, Ready):
            name, hop, converter = codec.codec, codec.hop, codec.resampler
        else:
            name, hop = codec.name, codec.hop_length
            converter = resampler_between(source_rate, codec.sample_rate)
        self._codec_fields: dict[str, Any] = {
            "codec": name, "codec_hash": codec.codec_hash, "sample_rate": codec.sample_rate, "hop_length": hop,
            "source_rate": source_rate,
        }  # fmt: skip
        if converter is not None:
            self._codec_fields["resampler"] = converter

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
    codec: Codec, source: RawSamples | Decoded, levels: int | None, tail: str, target: Path | None = None
) -> dict[str, Any] | None:
    """Encode stdin to its end: to JSON lines, each written as soon as its frames are complete, or to a token file.

    Args:
        source: what `open_stdin` found.
        target: the token file. None: lines on stdout.

    Returns:
        What the token file holds; None for lines.

    Raises:
        InputError: bad samples, or an incomplete sample at the end. Everything before it is still encoded.
        AudioFileError: a container that is damaged or cut off.
    """
    stream = codec.stream(sample_rate=source.sample_rate, n_quantizers=levels, tail=tail)
    if target is None:
        note_untrained(codec)
        _encode(codec, stream, source, LineWriter(codec, stream.sample_rate))
        return None
    writer = TokenWriter(target, codec, stream.sample_rate, levels, tail)
    try:
        _encode(codec, stream, source, writer)
    except BaseException:  # an interrupt too: the audio of a pipe does not come again
        writer.finish(stream.samples_received, whole=False)
        raise
    return writer.finish(stream.samples_received, whole=True)


def _encode(
    codec: Codec, stream: EncoderStream, source: RawSamples | Decoded, writer: LineWriter | TokenWriter
) -> None:
    def write(codes: Codes) -> None:
        index = stream.frames_given - codes.shape[1]
        writer.frames(index, index * codec.hop_length / codec.sample_rate, codes)

    for block in source.blocks(HOPS * stream.sample_rate * codec.hop_length // codec.sample_rate + 1):
        write(stream.push(block))
    write(stream.flush())
    source.finish(stream.samples_received)


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
