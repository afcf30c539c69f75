"""Decoding with FFmpeg's libraries: everything but plain WAV and AIFF.

They are given one source, and open nothing else: no other file, no address, no playlist. What `ffmpeg -i X -f f32le`
decodes comes out, an encoder's delay taken off as there.

Knows: PyAV. Does not know: what the bytes of a file promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..system import unraised
from ..system.foreign_data import one_line
from .byte_source import ByteSource
from .containers import mpeg_frame
from .decoding import STEP, ChangedError, DecodingError, NotRecognisedError, as_float

#: Containers that hold sound themselves. Playlists, which name other files and addresses, are not among them. Nor is
#: ADX: FFmpeg 8 divides by zero in a damaged one, which ends the process.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,ircam,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,rm,shn,sox,spx,tak,truehd,tta,voc,w64,wav,wv,xwma"
)
#: Containers whose last packet may be half there without a word: a stream that was tapped ends so.
_TAPPED = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "flv", "loas", "mp3", "mpeg", "mpegts"}
#: Containers whose header counts the samples.
_COUNTED = {"ape", "dsf", "mpc", "mpc8", "tak", "tta", "wv"}
#: Entries at the end of an index of which one lies furthest behind in the file.
_LAST_ENTRIES = 64
#: Times in a row that FFmpeg may ask to be called again.
_MOST_RETRIES = 1000
#: FFmpeg's types of samples. PyAV itself does not convert s64.
_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "s64": np.int64, "flt": np.float32, "dbl": np.float64}
#: Bytes of a sample, by the end of the names of codecs for plain numbers.
_PCM_BITS = {"8": 1, "16": 2, "24": 3, "32": 4, "64": 8, "law": 1}


@lru_cache(maxsize=1)
def _audio_decoders() -> str:
    """The only decoders that may be used: those of pictures have no business here. Nor has that of ADX."""
    names = []
    for name in sorted(av.codec.codecs_available):
        try:
            if name != "adpcm_adx" and av.codec.Codec(name, "r").type == "audio":
                names.append(name)
        except ValueError:  # it only encodes
            continue
    return ",".join(names)


class FFmpegDecoder:
    """A `Decoder` of one audio track.

    Args:
        source: its bytes.
        track: of several audio tracks this one, from 0.
        sequential: read from the start to the end, without a look at what may follow the samples.
        to_the_end: read a WAV on to the end of the file, whatever size is stated.
        stated: its header says all about it. Of a pipe little is then read before the first sample is given.
        keep: pass over what cannot be decoded, instead of stopping there.

    Raises:
        NotRecognisedError: no container of the list.
        DecodingError: it holds no sound that can be decoded.
        InputError: several audio tracks, or no such one.
    """

    def __init__(
        self, source: ByteSource, *, track: int | None = None, sequential: bool = False, to_the_end: bool = False,
        stated: bool = False, keep: bool = False,
    ) -> None:  # fmt: skip
        source.rewind()
        self._source, self._keep = source, keep
        self._fault: DecodingError | None = None
        options = {
            "format_whitelist": _DEMUXERS, "codec_whitelist": _audio_decoders(), "protocol_whitelist": "fd,pipe",
            "err_detect": "crccheck",
        }  # fmt: skip
        if to_the_end:
            options["ignore_length"] = "1"
        if stated and source.pipe is not None:  # FFmpeg would look at five seconds, which of a live pipe are to come
            options |= {"analyzeduration": "1", "max_probe_packets": "4"}
        file = source.file
        if source.owned:  # FFmpeg reads by itself: no Python runs there, which an interrupt could break off
            file, options["fd"] = "pipe:" if sequential else "fd:", str(source.file.fileno())
        elif sequential and source.pipe is None:
            file.sequential = True
        unraised.watch()
        try:
            self._container = av.open(file, "r", container_options=options, metadata_errors="replace")
        except (av.error.FFmpegError, ValueError) as error:
            self._check()
            raise NotRecognisedError(_reason(error)) from None
        try:
            self._check()
            self.format: str = self._container.format.name
            self._stream = self._chosen(source.name, track)
            self._begin()
        except BaseException:
            self._container.close()
            raise

    def _check(self) -> None:
        """Raise what came while FFmpeg read."""
        unraised.check()
        self._source.check()

    def _chosen(self, name: str, track: int | None) -> Any:
        tracks = list(self._container.streams.audio)
        if not tracks:
            raise DecodingError("it holds no sound")
        if track is not None and not 0 <= track < len(tracks):
            raise InputError(f"{name} has {len(tracks)} audio tracks; wanted track {track}, from 0")
        if track is None and len(tracks) > 1:
            named = "; ".join(f"{number}: {_described(each)}" for number, each in enumerate(tracks[:16]))
            raise InputError(
                f"{name} has {len(tracks)} audio tracks ({named}); wanted one: choose it with track=N (--track N)"
            )
        return tracks[track or 0]

    def _begin(self) -> None:
        stream = self._stream
        if stream.codec_context is None:
            raise DecodingError("its sound is of a kind that FFmpeg does not decode")
        stream.codec_context.thread_count = 1  # reading stays on its own thread
        if (self.format, stream.codec_context.name) == ("caf", "alac"):
            # A packet of ALAC says how many samples it holds. FFmpeg would take those that the last one lacks off once
            # more, from the samples.
            stream.codec_context.options = {"flags2": "+skip_manual"}
        if stream.codec_context.name == "flac" and not self._keep:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        self.width = 0
        self._frames = self._decoded()
        try:
            first = next(self._frames, None)
        except DecodingError as error:  # told when it is read
            self._fault, first = error, None
        self._first = first
        self.sample_rate: int = stream.rate if first is None else first.sample_rate
        self.channels: int = stream.channels if first is None else first.layout.nb_channels
        if not self.sample_rate or not self.channels:
            raise DecodingError("no sample of it can be decoded")
        codec = stream.codec_context.name
        bits = "law" if codec.endswith("law") else "".join(filter(str.isdigit, codec))
        self.width = _PCM_BITS.get(bits, 0) if codec.startswith("pcm_") else 0
        self.frames, self.exact = self._length(), self.format in _COUNTED

    def _length(self) -> int:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return max(0, round(float(self._stream.duration * self._stream.time_base) * self.sample_rate))
        duration = self._container.duration
        return 0 if duration is None else max(0, round(duration * self.sample_rate / av.time_base))

    def read(self) -> npt.NDArray[np.float32]:
        parts, count = list[npt.NDArray[np.float32]](), 0
        # A pipe may be live: each packet's samples leave at once.
        while self._fault is None and count < (1 if self._source.size is None else STEP):
            try:
                frame, self._first = (self._first or next(self._frames, None)), None
                if frame is None:
                    break
                parts.append(self._samples(frame))
            except DecodingError as error:  # told when what came before it has been given
                self._fault = error
            else:
                count += len(parts[-1])
        if self._fault is not None and not parts:
            raise self._fault
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def _samples(self, frame: Any) -> npt.NDArray[np.float32]:
        channels = frame.layout.nb_channels
        if (frame.sample_rate, channels) != (self.sample_rate, self.channels):
            raise ChangedError(
                f"it goes on at {frame.sample_rate} Hz with {channels} channels, and began at {self.sample_rate} Hz "
                f"with {self.channels}"
            )
        kind = _TYPES.get(frame.format.packed.name)
        if kind is not None and (channels == 1 or not frame.format.is_planar):
            # What `to_ndarray` gives, without its copies: an Opus file has 50 frames a second.
            return as_float(np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels))
        array = frame.to_ndarray()
        return as_float(array.T if frame.format.is_planar else array.reshape(-1, channels))

    def _decoded(self) -> Iterator[Any]:
        """All frames. A packet that cannot be decoded is damage, if others follow it."""
        failed = False
        for packet in self._demuxed():
            try:
                frames = self._stream.codec_context.decode(packet)
            except (av.error.FFmpegError, ValueError) as error:
                self._check()
                failed = failed or not (self._keep or isinstance(error, EOFError) or self._junk(packet))
                continue
            if frames and failed:
                raise DecodingError("it cannot be decoded there")
            yield from frames
        if failed and self.format not in _TAPPED:
            raise DecodingError("it cannot be decoded there")
        if not self._keep and self._lies_beyond():
            raise DecodingError("it ends there")

    def _lies_beyond(self) -> bool:
        """Whether an index places samples behind the end of the file.

        How many there should be is no promise: an edit list may leave out some that are there.
        """
        if not self.format.startswith("mov,") or self._source.size is None:
            return False
        entries = self._stream.index_entries
        last = entries[max(0, len(entries) - _LAST_ENTRIES) :]
        return max((entry.pos + entry.size for entry in last), default=0) > self._source.size

    def _demuxed(self) -> Iterator[Any]:
        packets, retries = self._container.demux(self._stream), 0
        while True:
            unraised.watch()
            try:
                packet = next(packets, None)
            except BlockingIOError:  # it looks for the next packet, and has not found it yet
                self._check()
                retries += 1
                if retries > _MOST_RETRIES:
                    raise DecodingError("it cannot be read there") from None
                packets = self._container.demux(self._stream)
                continue
            except (av.error.FFmpegError, ValueError) as error:
                self._check()
                if not self._keep:
                    raise DecodingError(f"it cannot be read there ({_reason(error)})") from None
                yield av.Packet()  # so that the decoder gives what it holds
                return
            self._check()
            if packet is None:
                return
            retries = 0
            yield packet

    def _junk(self, packet: Any) -> bool:
        """Whether a packet holds nothing, or a tag or a rest between the frames of elementary streams.

        FFmpeg passes over these.
        """
        if not packet.size and packet.pts is not None:  # NUT and FLAC end so
            return True
        if self.format == "wav" and packet.size == 1:  # of GSM, a filling byte that sox counts among the samples
            return True
        head = bytes(packet)[:4] if packet.size < 1 << 20 else b""
        if self.format == "mp3":
            return not mpeg_frame(head)
        return self.format == "aac" and (len(head) < 2 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0)

    def close(self) -> None:
        # FFmpeg would read from a container that is gone, and end the process.
        self._fault, self._first = DecodingError("it was closed"), None
        self._container.close()


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error).rstrip(".")


def _described(stream: Any) -> str:
    context = stream.codec_context
    parts = [context.name, f"{stream.rate} Hz", f"{stream.channels} channels"] if context is not None else ["unknown"]
    parts += [stream.metadata[key] for key in ("language", "title") if stream.metadata.get(key)]
    return one_line(", ".join(parts), 100)
