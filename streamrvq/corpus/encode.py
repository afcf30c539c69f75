"""One source to rows. The audio is pushed into a stream block by block, and the codes are cut into segments.

Only the *codes* are cut: however long a file is, it is one unbroken stream, and its rows joined together equal
`Codec.encode` of the whole. No more than one segment is held.

Knows: streams, what to do with channels, how rows follow one another. Does not know: shards, workers, token files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.files import AudioReader, open_audio
from ..codec import Codec
from ..errors import InputError
from .progress import FileProgress
from .settings import Settings
from .sources import Source

#: Samples read at a time, so that memory does not grow with a file's length. Whole engine steps at the usual hops.
BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A row of a shard, without the columns that all rows have in common. See `tokens.schema`.

    ``codes`` is uint16 ``[K, T]``.
    """

    path: str
    channel: int
    segment: int
    offset: int
    num_samples: int
    source_rate: int
    start_frame: int
    codes: npt.NDArray[np.uint16]


def encoded(codec: Codec, audio: AudioReader, levels: int | None, tail: str) -> Iterator[npt.NDArray[np.uint16]]:
    """The codes of an open file, block by block, uint16 ``[K, n]``. ``audio.position`` says how far the reading is.

    Raises:
        AudioFileError, InputError: the file is damaged, or holds values that are not samples.
    """
    stream = codec.stream(sample_rate=audio.sample_rate, n_quantizers=levels, tail=tail)
    for block in audio.blocks(BLOCK):
        yield stream.push(block).astype(np.uint16)
    yield stream.flush().astype(np.uint16)


def rows_of(codec: Codec, settings: Settings, source: Source, progress: FileProgress) -> Iterator[Row]:
    """The rows of one source, signal by signal, each as soon as its segment is full.

    Raises:
        AudioFileError, InputError: as `encoded`. Rows may have come before: the caller takes all of them or none.
    """
    try:
        source.path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name {source.path!r} is not valid UTF-8, as a column of text must be; rename it"
        ) from None
    number, signals = 0, 1
    while number < signals:
        split = settings.channels == "each"
        with open_audio(source.file, downmix=settings.channels == "mean", channel=number if split else None) as audio:
            signals = audio.channels if split else 1
            parts = _reported(encoded(codec, audio, settings.n_quantizers, settings.tail), audio, signals, progress)
            yield from _segments(parts, settings, audio, source.path, number if split else -1)
        number += 1


def _reported(
    parts: Iterator[npt.NDArray[np.uint16]], audio: AudioReader, signals: int, progress: FileProgress
) -> Iterator[npt.NDArray[np.uint16]]:
    """``parts``, with a report after each of them that samples were read for."""
    whole, before = max(1, audio.frames) / audio.sample_rate * signals, 0
    for part in parts:
        yield part
        if audio.position > before:
            seconds, before = (audio.position - before) / audio.sample_rate, audio.position
            progress.add(seconds / whole, seconds)


def _segments(
    parts: Iterator[npt.NDArray[np.uint16]], settings: Settings, audio: AudioReader, path: str, channel: int
) -> Iterator[Row]:
    """A full segment waits for the next frame, because only the signal's end shows which row is the last one."""
    held: list[npt.NDArray[np.uint16]] = []
    most, frames, segment = settings.segment_frames, 0, 0

    def row(codes: npt.NDArray[np.uint16], end: int | None) -> Row:
        first = segment * most
        offset = min(_sample_of(first, settings, audio.sample_rate), audio.position)
        stop = audio.position if end is None else min(_sample_of(end, settings, audio.sample_rate), audio.position)
        return Row(path, channel, segment, offset, stop - offset, audio.sample_rate, first, codes)

    for part in parts:
        held.append(part)
        frames += part.shape[1]
        if frames <= most:
            continue
        codes = np.concatenate(held, axis=1)
        while codes.shape[1] > most:
            yield row(np.ascontiguousarray(codes[:, :most]), (segment + 1) * most)
            codes, segment = codes[:, most:], segment + 1
        held, frames = [codes.copy()], codes.shape[1]
    yield row(np.concatenate(held, axis=1), None)


def _sample_of(frame: int, settings: Settings, rate: int) -> int:
    """The sample, at ``rate``, at which a frame begins."""
    return frame * settings.hop_length * rate // settings.sample_rate


def columns(rows: list[Row], settings: Settings) -> dict[str, Any]:
    """Rows as the columns of `tokens.schema`, without the codes."""
    return {
        **{name: [getattr(row, name) for row in rows]
           for name in ("path", "channel", "segment", "offset", "num_samples", "source_rate", "start_frame")},
        "frames": [row.codes.shape[1] for row in rows],
        "n_quantizers": [row.codes.shape[0] for row in rows],
        **{name: [getattr(settings, name)] * len(rows) for name in ("sample_rate", "hop_length", "codec_hash")},
    }  # fmt: skip
