"""Which decoder a source gets, and what it promised.

Plain WAV and AIFF files are read by libsndfile, everything else by FFmpeg's libraries. Both give what there is. So the
promises are looked up in the headers: what a file must hold, in bytes or in samples.

Knows: both decoders, and when one fails that the other may not. Does not know: mono, blocks, interrupts (files.py).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import InputError
from ..system.foreign_data import shown
from .byte_source import ByteSource
from .chunks import SecondFile
from .containers import ONLY_LIBSNDFILE, container, streamed
from .counts import AlacPackets, alac_packets, first_frame_seen, stated_samples
from .decoding import Decoder, DecodingError, NotRecognisedError
from .ends import SECOND, joined_at, stated_end
from .headers import TAIL, Extent, following, ogg_is_cut, sample_extent
from .libsndfile import SoundFileDecoder
from .wav_format import WavFormat, wav_format

#: Containers whose header says all that FFmpeg would look for in the samples.
_STATED = {"wav", "aiff", "au", "sox", "ircam"}
_SIZES = 16  #: bytes at the end of a CAF's header, which are others when its size is known
_MOST_HEADERS = 8  #: of a file, one after another


class Promise(NamedTuple):
    """What the headers of a source promise. It is looked up before a decoder begins to read.

    Attributes:
        kind: the container's name; None: an unusual one.
        extent: where the samples lie, in containers that say so.
        end: bytes that the source must at least have; None: it does not say.
        samples: of each channel that it must at least have; None: it does not say.
        tail: the last bytes, where they tell something; of a pipe they come later.
        wav: which decoders read it rightly, of a WAV.
        alac: what a CAF of ALAC says of its packets.
        joined: where another file begins, in containers of which ``extent`` is not known; None: nowhere.
    """

    kind: str | None
    extent: Extent | None
    end: int | None
    samples: int | None
    tail: bytes
    wav: WavFormat
    alac: AlacPackets | None = None
    joined: int | None = None

    def fault(self, source: ByteSource, width: int) -> str | None:
        """How the source is shorter than promised in bytes, as a clause; None: it is not, or nobody can say yet.

        Args:
            width: bytes of a sample of all channels, where the format is uncompressed, else 0.
        """
        size, tail = source.size, self.tail
        if source.pipe is not None and source.pipe.ended:
            size, tail = source.pipe.given, source.pipe.tail
        if size is None:
            return None
        if self.extent is not None and self.extent.wanted is not None:
            held = max(0, size - self.extent.start)
            if held < self.extent.wanted and self.extent.wanted not in (size, size - 8):  # see headers.py
                if width:
                    return f"ends at sample {held // width} of {self.extent.wanted // width}"
                return f"holds {held} of its {self.extent.wanted} bytes of samples"
        if self.end is not None and size < self.end:
            return f"holds {size} of its {self.end} bytes"
        return "ends without a stream's last page" if self.kind == "ogg" and ogg_is_cut(tail) else None

    def others(self, source: ByteSource, width: int) -> str | None:
        """What lies behind the samples and would be left out, as a clause; None: nothing, or nobody can say yet.

        Args:
            source: a pipe at its end, or any other.
            width: as `fault` takes it.
        """
        joined, size = self.joined, source.size
        if source.pipe is not None and source.pipe.ended:
            looked_for, size = source.pipe.second, source.pipe.given
            joined = None if looked_for is None else looked_for.begins
        if joined is not None and size is not None:
            return f"another file of {size - joined} bytes was joined behind its {joined} bytes"
        if self.extent is None or self.extent.wanted is None:
            return None
        more, of_files = self.extent.others, self.extent.joined
        if source.pipe is not None and source.pipe.following is not None and source.pipe.ended:
            more, of_files = source.pipe.following.others(source.pipe.given), source.pipe.following.joined
        if not more:
            return None
        first = f"{self.extent.wanted // width} samples" if width else f"{self.extent.wanted} bytes of samples"
        if of_files:
            return f"another file of {more} bytes was joined behind its {first}"
        second = f"{more // width}" if width else f"{more} bytes"
        return f"it holds {first} in its first chunk and {second} more in others, which decoders leave out"


def promised(source: ByteSource, keep: bool) -> Promise:
    """What a source promises. A pipe becomes a file where its container must be read from several places at once.

    Args:
        source: at its start.
        keep: give all there is, whatever is promised. A pipe is then read to its end first if it states one, to find
            what follows that.

    Raises:
        AudioFileError: no room to put a pipe into a file.
    """
    kind = container(source)
    wav = wav_format(source) if kind == "wav" else WavFormat()
    samples = stated_samples(source, kind)
    # FFmpeg takes an encoder's filling from the end of an MP3 only where it knows the end.
    late = kind == "id3" and not first_frame_seen(source)
    if not streamed(kind) or late or (samples is not None and kind in ("id3", "mpeg audio")) or not wav.ffmpeg:
        source.spool()
        samples = stated_samples(source, kind) if late else samples
    extent = sample_extent(source)
    if keep and source.pipe is not None and extent is not None and extent.wanted is not None:
        source.spool()
        extent = sample_extent(source)
    if source.pipe is not None and kind in SECOND:
        source.pipe.second = SecondFile(SECOND[kind])
    if source.pipe is not None and extent is not None:
        source.pipe.following = following(source, extent)
    # sox writes a header into a pipe again and again, when it cannot go back to fill in the sizes.
    for _ in range(_MOST_HEADERS):
        if extent is None or extent.wanted != 0 or not extent.joined or source.size is None:
            break
        head = source.at(0, extent.start)
        last = source.at(source.size - len(head), len(head) - _SIZES)  # and once more at the end, of a CAF
        again = last == head[:-_SIZES] and source.size >= 3 * len(head)
        source.clip(extent.start, source.size - len(head) * again)
        extent = sample_extent(source)
    if keep and extent is not None and extent.wanted is not None and extent.others:
        source.clip(0, source.size - extent.others if extent.joined and source.size else extent.start + extent.wanted)
        extent = sample_extent(source)
    joined = joined_at(source, kind)
    if keep and joined is not None:
        source.clip(0, joined)
        extent = sample_extent(source)
    put = None if source.size is None or extent is None else _sizes_for_ffmpeg(source, kind, extent)
    if put is not None and source.size is not None:
        source.clip(0, source.size, put)
        extent = sample_extent(source)
    tail = source.at(max(0, source.size - TAIL), TAIL) if kind == "ogg" and source.size is not None else b""
    end = stated_end(source, kind) if extent is None else None
    alac = alac_packets(source) if kind == "caf" else None
    return Promise(kind, extent, end, samples, tail, wav, alac, joined)


def _sizes_for_ffmpeg(source: ByteSource, kind: str | None, extent: Extent) -> tuple[int, bytes] | None:
    """Where sizes should stand that FFmpeg takes, in files that state none. None: it takes what is there.

    FFmpeg writes such a W64 into a pipe, and refuses to read it.
    """
    if kind == "w64" and extent.wanted != 0 and extent.held and extent.start < 1 << 16:
        head = source.at(16, extent.start - 16)
        (outer,), (size,) = struct.unpack("<q", head[:8]), struct.unpack("<q", head[-8:])
        if outer >= extent.start and 24 < size < 1 << 62:
            return None
        size = size if 24 < size < 1 << 62 else 24 + extent.held
        return 16, struct.pack("<q", extent.start + extent.held) + head[8:-8] + struct.pack("<q", size)
    if kind == "au" and extent.wanted is None:
        return 8, b"\xff" * 4
    return None


def open_decoder(source: ByteSource, promise: Promise, track: int | None, keep: bool) -> Decoder:
    """Find a decoder. From then on nothing else may read from the source.

    Args:
        source: at its start.
        promise: what it promises.
        track: as `ffmpeg.FFmpegDecoder` takes it.
        keep: give what can be decoded of a damaged source, too.

    Raises:
        NotRecognisedError: no audio that can be read.
        DecodingError: audio that cannot be decoded.
        InputError: of the track.
    """
    decoder = _sound_file(source, promise)
    if decoder is None:
        decoder = _ffmpeg(source, promise.kind, promise.extent, track, keep)
    elif track not in (None, 0):
        decoder.close()
        raise InputError(f"{source.name} has 1 audio track; wanted track {shown(track)}, from 0")
    limit = limit_of(promise, decoder)
    repaired = promise.extent is not None and promise.extent.repaired
    if repaired and (not promise.wav.ffmpeg or (promise.kind != "wav" and not keep)):
        stated = decoder.frames
        if limit is not None and stated < limit:
            decoder.close()
            raise DecodingError(f"its header states {stated} samples, and {limit} are there")
    return decoder


def limit_of(promise: Promise, decoder: Decoder) -> int | None:
    """Samples of each channel after which something else follows; None: the decoder knows."""
    width = decoder.width * decoder.channels
    extent = promise.extent
    if promise.kind == "au":  # behind whose samples nothing follows
        return None
    if promise.alac is not None and promise.alac.samples is not None:
        return promise.alac.samples
    return None if extent is None or extent.wanted is None or not width else extent.wanted // width


def _sound_file(source: ByteSource, promise: Promise) -> Decoder | None:
    """libsndfile's decoder, if it reads this plainly and as the header says, or FFmpeg would misread it."""
    kind, extent, wav = promise.kind, promise.extent, promise.wav
    if kind == "wav" and wav.ffmpeg:
        stated = extent is not None and extent.wanted is not None and not extent.repaired
        if not (source.owned and stated and wav.libsndfile):
            return None
    elif promise.alac is not None and promise.alac.overstated:
        return SoundFileDecoder(source)
    elif kind != "wav" and not (kind == "aiff" and source.size is not None):
        return None
    try:
        decoder = SoundFileDecoder(source)
    except NotRecognisedError:
        if not wav.ffmpeg:
            raise
        return None
    if decoder.plain or not wav.ffmpeg:
        return decoder
    decoder.close()
    return None


def _ffmpeg(source: ByteSource, kind: str | None, extent: Extent | None, track: int | None, keep: bool) -> Decoder:
    from .ffmpeg import FFmpegDecoder  # loaded when it is needed
    from .ogg_links import OggDecoder, is_joined

    if kind == "adx":
        raise DecodingError("a damaged ADX would end the process in FFmpeg, so that none is read")
    if kind in ONLY_LIBSNDFILE:
        return SoundFileDecoder(source)
    wav = kind == "wav"  # behind whose samples FFmpeg would look for chunks, eight bytes at a time
    to_the_end = wav and extent is not None and (extent.wanted is None or extent.repaired)
    try:
        if kind == "ogg" and is_joined(source):
            return OggDecoder(source, track=track, keep=keep)
        return FFmpegDecoder(
            source, track=track, sequential=wav, to_the_end=to_the_end, stated=kind in _STATED, keep=keep
        )
    except NotRecognisedError:
        # mpg123 prints messages on stderr about what begins with FF.
        if source.size is None or kind is not None or source.at(0, 1) == b"\xff":
            raise
        return SoundFileDecoder(source)  # what neither knows is told in its words, which are plainer
