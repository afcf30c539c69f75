"""Audio files, read block by block.

Knows: mono blocks, and which faults are told when. Does not know: formats (opening.py), codecs, rates to convert to,
real time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import repeat, takewhile
from types import TracebackType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import AudioFileError, InputError, StreamBusyError, StreamClosedError
from ..system.copying import NeverCopied
from ..system.foreign_data import foreign_data, is_whole, shown
from ..system.turn import Turn
from .byte_source import ByteSource, Source
from .decoding import ChangedError, Decoder, DecodingError, NotRecognisedError
from .opening import limit_of, open_decoder, promised
from .pcm import Pcm

_COPY, _JOIN = "wanted the whole file: copy it again", "wanted all samples in one piece: join them"
_KEEP = ', or take {} with truncated="keep" (--truncated keep)'
_CONVERT = "wanted one rate and number of channels: convert it, for example with `ffmpeg -i OLD NEW.wav`"
_WANTED = "wanted WAV, FLAC, Ogg, MP3, AIFF or the like: convert it, for example with `ffmpeg -i OLD NEW.wav`"

Truncated = Literal["refuse", "keep"]


def open_audio(
    source: Source, downmix: bool = False, channel: int | None = None, truncated: Truncated = "refuse",
    track: int | None = None,
) -> AudioReader:  # fmt: skip
    """Open audio for reading: WAV, FLAC, Ogg, MP3, AIFF, M4A, WebM and whatever else FFmpeg or libsndfile reads.

    Args:
        source: a path; or an open file object that gives bytes, such as ``io.BytesIO``. One that can seek is read from
            its start. Any other is read once, as it comes, and so is a pipe that has a path.
        downmix: accept several channels, as their mean. Without it they are refused.
        channel: accept several channels, as this one of them, from 0.
        truncated: ``"refuse"`` what ends before its header says, or is damaged; or ``"keep"`` what there is of it.
        track: of several audio tracks, as a film has them, this one, from 0. Without it they are refused.

    Raises:
        AudioFileError: no such file, not audio, or truncated, if the header shows that.
        InputError: several channels or tracks without a choice, no such one, or a source that is no file.
    """
    return AudioReader(source, downmix, channel, truncated, track)


class AudioReader(NeverCopied, error=AudioFileError, holds="an open file", instead="open the file again"):
    """Audio that was opened, read as float32 mono in [−1, 1]. A context manager. Not for two threads at once.

    Arguments are those of `open_audio`, and ``partly``: False where nobody can ask for ``truncated="keep"``, so that no
    error names it as a remedy.

    An exception such as KeyboardInterrupt costs no samples: read again. If it came while they were decoded, then where
    the file stands is not known any more, and every later read is refused. Once it is closed, every read is refused,
    and its attributes stay as they were.

    Attributes:
        path: as it was given; of a file object its name.
        sample_rate: Hz.
        channels: in the file. The samples that are read are mono.
        frames: samples of each channel, according to the file. An estimate where the format does not count them, and
            0 where it says nothing at all.
        position: samples read so far.
        once: whether the source is a pipe, which cannot be opened again.
    """

    def __init__(
        self, source: Source | ByteSource, downmix: bool = False, channel: int | None = None,
        truncated: Truncated = "refuse", track: int | None = None, *, partly: bool = True,
    ) -> None:  # fmt: skip
        if truncated not in get_args(Truncated):
            raise InputError(f'truncated is {truncated!r}; wanted "refuse" or "keep"')
        for name, number in (("channel", channel), ("track", track)):
            if number is not None and not is_whole(number, 0):
                raise InputError(f"{name} is {shown(number)}; wanted a whole number from 0 on, or None")
        self._source = source if isinstance(source, ByteSource) else ByteSource(source)
        self.path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else self._source.name
        self._name, self._keep, self._channel = self._source.name, truncated == "keep", channel
        self._decoder: Decoder | None = None
        self.position, self.once = 0, self._source.once
        self._ahead: list[Pcm] = []  # decoded, but not read yet
        self._copy, self._join = _COPY, _JOIN
        if partly:
            self._copy, self._join = _COPY + _KEEP.format("what there is"), _JOIN + _KEEP.format("the first part")
        self._decoded, self._over, self._damage, self._remedy = 0, False, "", self._copy
        self._decoding = False  # the decoder has moved on, and nobody has its samples yet
        self._closed, self._turn = False, Turn()  # a library that is closed while it decodes ends the process
        try:
            with foreign_data(AudioFileError, self._name, self._copy):
                self._open(track)
                self._check(downmix)
        except BaseException:
            self.close()
            raise

    def _open(self, track: int | None) -> None:
        if self._source.size == 0 or not self._source.at(0, 1):
            raise AudioFileError(f"{self._name} is empty (0 bytes); wanted an audio file: copy it again")
        try:
            self._promise = promise = promised(self._source, self._keep)
            self._decoder = decoder = open_decoder(self._source, promise, track, self._keep)
        except NotRecognisedError as error:
            kind = self._promise.kind
            if kind is not None:
                raise AudioFileError(
                    f"{self._name} begins like {kind}, and is damaged or cut off ({error}); wanted the whole file: "
                    "copy it again"
                ) from None
            raise AudioFileError(f"{self._name} is no audio file that can be read ({error}); {_WANTED}") from None
        except DecodingError as error:
            raise AudioFileError(f"{self._name} cannot be decoded: {error}; {_WANTED}") from None
        self.sample_rate, self.channels = decoder.sample_rate, decoder.channels
        self._limit, self._width = limit_of(promise, decoder), decoder.width * decoder.channels
        self._counted = decoder.frames if promise.samples is None and decoder.exact else promise.samples
        self.frames = self._counted or max(decoder.frames, 0 if self._held_less else self._limit or 0)

    @property
    def _held_less(self) -> bool:
        return self._promise.extent is not None and self._promise.extent.cut

    def _check(self, downmix: bool) -> None:
        if self._channel is not None and not 0 <= self._channel < self.channels:
            raise InputError(f"{self._name} has {self.channels} channels; wanted channel {self._channel}, from 0")
        if self.channels != 1 and not downmix and self._channel is None:
            raise InputError(
                f"{self._name} has {self.channels} channels; wanted 1: pass downmix=True (--downmix) to take their mean"
            )
        fault = None if self._keep else self._promise.fault(self._source, self._width)
        if fault is not None:
            raise AudioFileError(f"{self._name} is cut off: it {fault}; {self._copy}")
        others = None if self._keep else self._promise.others(self._source, self._width)
        if others is not None:
            raise AudioFileError(f"{self._name} would be read in part: {others}; {self._join}")

    def read(self, samples: int) -> Pcm:
        """The next samples, float32 ``[n]``: as many as asked for, fewer at the end of the file, then none.

        Raises:
            AudioFileError: the file is damaged here, or ends too early. All samples before that are returned first.
                Or an exception came while it was decoded.
            InputError: ``samples`` is no whole number from 1 on.
            StreamClosedError: after `close`.
            StreamBusyError: another thread reads.
        """
        if not is_whole(samples, 1):
            raise InputError(f"a block of {shown(samples)} samples was asked for; wanted at least 1, as a whole number")
        try:
            pcm, rest = self._next(samples)
        finally:
            if self._closed:  # meanwhile
                self._release()
        position = self.position + len(pcm)
        # From here to the end of the frame nothing is called, so no interrupt comes after the first store.
        self._ahead, self.position = rest, position
        return pcm

    def _next(self, samples: int) -> tuple[Pcm, list[Pcm]]:
        """What `read` is to give, and what is left then of what was decoded."""
        turn = self._turn
        ours = turn.take(sys._getframe()) and turn is self._turn
        del turn  # which would keep this frame, with all that it has read, and the frame it
        try:
            if self._closed:
                raise StreamClosedError(
                    f"a read of {self._name}, which was closed after sample {self.position}; open it again"
                )
            if not ours:
                raise StreamBusyError(
                    f"two reads at once of {self._name}; wanted one after another, or a reader for each"
                )
            return self._taken(samples)
        finally:
            if ours:
                self._turn = Turn()

    def _taken(self, samples: int) -> tuple[Pcm, list[Pcm]]:
        if self._decoding:
            raise AudioFileError(
                f"{self._name} was interrupted while it was decoded, after sample {self.position}; open it again"
            )
        count = sum(map(len, self._ahead))
        while count < samples and not self._over:
            count += self._decode()
        if self._damage and not count:
            of = f" of {self.frames}" if self.frames else ""
            word = {_CONVERT: "changes", self._join: "goes on"}.get(self._remedy, "is damaged")
            raise AudioFileError(
                f"{self._name} {word} after sample {self.position}{of}: {self._damage}; {self._remedy}"
            )
        pcm = np.concatenate([np.zeros(0, np.float32), *self._ahead])
        return pcm[:samples], [pcm[samples:]]

    def _decode(self) -> int:
        """Decode a block, and give how many samples it has."""
        assert self._decoder is not None
        self._decoding = True
        try:
            block = self._decoder.read()
        except DecodingError as error:
            changed = isinstance(error, ChangedError)  # what follows is audio, and no damage
            self._over, self._damage = True, "" if self._keep and not changed else str(error)
            self._remedy = _CONVERT if changed else self._copy
            self._decoding = False
            return 0
        if self._limit is not None:
            block = block[: max(0, self._limit - self._decoded)]
        self._decoded += len(block)
        self._over = not len(block)
        if self._over and not self._keep:
            self._damage = self._missing()
        self._ahead.append(_mean(block if self._channel is None else block[:, self._channel : self._channel + 1]))
        self._decoding = False
        return len(block)

    def _missing(self) -> str:
        """What the source promised and has not held, now that the decoder has come to its end."""
        if self._counted is not None and self._decoded < self._counted:
            return "it ends there"
        if self._promise.kind == "sox" and self._counted is not None and self._decoded > self._counted:
            return f"its header states {self._counted} samples, and {self._decoded - self._counted} more follow"
        size, whole = self._source.size, self._limit is not None and self._decoded >= self._limit
        if size and not whole and not self._source.at(size - 1, 1):
            return f"it ends there, and had {size} bytes when it was opened"
        assert self._decoder is not None
        if not self._decoded and self._decoder.frames:
            return "no sample of it can be decoded"
        extent = self._promise.extent
        if extent is not None and extent.repaired and self._limit is not None and self._decoded < self._limit:
            return f"its header says that it ends there, and there are {self._limit} samples"
        if extent is not None and extent.behind:
            return f"its header says that it ends there, and {extent.behind} bytes follow"
        if self._source.pipe is None:
            return ""
        pipe = self._source.pipe
        pipe.drain()
        if (others := self._promise.others(self._source, self._width)) is not None:
            self._remedy = self._join
            return others
        behind = b"" if pipe.following is None else pipe.following.first
        if pipe.following is not None and any(behind) and not pipe.following.is_chunk(pipe.given):
            rest = pipe.given - pipe.following.end
            return f"its header says that it ends there, and {rest} bytes follow; put it into a file first"
        fault = self._promise.fault(self._source, self._width)
        return "" if fault is None else f"it {fault}"

    def blocks(self, samples: int) -> Iterator[Pcm]:
        """The rest of the file in blocks of ``samples``, float32 ``[n]``, the last one shorter. Raises as `read`."""
        # A generator would end with an exception, and the next block after it would look like the end of the file.
        return takewhile(len, map(self.read, repeat(samples)))

    def close(self) -> None:
        """Close what was opened here; a file object that was given stays open. It may be closed more than once.

        While another thread reads, its read ends first; then the file is closed.
        """
        self._closed = True
        self._release()

    def _release(self) -> None:
        """Close what was opened here, unless it is being read: whoever reads does it then."""
        turn = self._turn
        ours = turn.take(sys._getframe()) and turn is self._turn
        del turn
        if ours:
            if self._decoder is not None:
                self._decoder.close()
            self._source.close()
            self._turn = Turn()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _mean(block: npt.NDArray[np.float32]) -> Pcm:
    """The mean ``[n]`` of ``[n, C]``. Added in channel order in float64, so that it does not depend on blocks."""
    if block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0])
    with np.errstate(invalid="ignore", over="ignore"):  # a float file may hold anything; whoever uses it refuses that
        total = block[:, 0].astype(np.float64)
        for channel in range(1, block.shape[1]):
            total += block[:, channel]
        mean: Pcm = (total / block.shape[1]).astype(np.float32)
    return mean
