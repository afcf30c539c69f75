"""A signal's codes to rows. Only the *codes* are cut: however long a file is, it is one unbroken stream, and its rows
joined together equal `Codec.encode` of the whole.

Knows: how rows follow one another. Does not know: streams, files, shards, workers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .settings import Settings


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


class Segments:
    """The rows of one signal, each as soon as its segment is full. No more than one segment is held.

    A full segment waits for the next frame, because only the signal's end shows which row is the last one.

    Args:
        settings: of the run.
        path, channel, rate: of the signal; the rate in Hz.
    """

    def __init__(self, settings: Settings, path: str, channel: int, rate: int) -> None:
        self._settings, self._path, self._channel, self._rate = settings, path, channel, rate
        self._held: list[npt.NDArray[np.uint16]] = []
        self._frames = self._segment = 0

    def add(self, codes: npt.NDArray[np.uint16], position: int) -> Iterator[Row]:
        """The rows that the next codes, ``[K, n]``, complete.

        Args:
            codes: uint16.
            position: samples read so far: at least up to the end of the last of these frames, or all.
        """
        self._held.append(codes)
        self._frames += codes.shape[1]
        most = self._settings.segment_frames
        if self._frames <= most:
            return
        codes = np.concatenate(self._held, axis=1)
        while codes.shape[1] > most:
            yield self._row(np.ascontiguousarray(codes[:, :most]), position, (self._segment + 1) * most)
            codes, self._segment = codes[:, most:], self._segment + 1
        self._held, self._frames = [codes.copy()], codes.shape[1]

    def end(self, position: int) -> Row:
        """The last row. ``position``: samples of the signal."""
        none = np.zeros((self._settings.n_quantizers, 0), np.uint16)
        return self._row(np.concatenate([none, *self._held], axis=1), position, None)

    def _row(self, codes: npt.NDArray[np.uint16], position: int, end: int | None) -> Row:
        first = self._segment * self._settings.segment_frames
        offset = min(self._sample_of(first), position)
        stop = position if end is None else min(self._sample_of(end), position)
        return Row(self._path, self._channel, self._segment, offset, stop - offset, self._rate, first, codes)

    def _sample_of(self, frame: int) -> int:
        """The sample, at the signal's rate, at which a frame begins."""
        return frame * self._settings.hop_length * self._rate // self._settings.sample_rate


def columns(rows: list[Row], settings: Settings) -> dict[str, Any]:
    """Rows as the columns of `tokens.schema`, without the codes."""
    return {
        **{name: [getattr(row, name) for row in rows]
           for name in ("path", "channel", "segment", "offset", "num_samples", "source_rate", "start_frame")},
        "frames": [row.codes.shape[1] for row in rows],
        "n_quantizers": [row.codes.shape[0] for row in rows],
        **{name: [getattr(settings, name)] * len(rows) for name in ("sample_rate", "hop_length", "codec_hash")},
    }  # fmt: skip
