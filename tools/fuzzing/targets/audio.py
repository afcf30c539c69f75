"""Audio as files, file objects and pipes, in formats that libsndfile or FFmpeg writes, and their headers alone."""

from __future__ import annotations

import io
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import soundfile

from streamrvq.audio.byte_source import ByteSource, Source
from streamrvq.audio.files import open_audio
from streamrvq.audio.opening import promised

from ..target import Target, scratch, written

#: The format that a file's name promises does not matter to libsndfile, save for .raw and .mp3.
_FORMATS = {"wav": "PCM_16", "w64": "FLOAT", "rf64": "PCM_24", "aiff": "PCM_16", "au": "ULAW", "caf": "PCM_S8",
            "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}  # fmt: skip
#: Containers that FFmpeg writes, with codecs; and the samples of each channel in them.
_LONG = 4096
_CONTAINERS = (("ipod", "aac"), ("adts", "aac"), ("matroska", "flac"), ("asf", "wmav2"), ("mpegts", "mp2"),
               ("flv", "aac"), ("wv", "wavpack"))  # fmt: skip


def _read(data: bytes) -> None:
    _read_from(written("audio.bin", data))


def _read_from(source: Source, **settings: Any) -> None:
    with open_audio(source, downmix=True, **settings) as reader:
        for _ in range(64):  # a compressed file may hold hours
            if not len(reader.read(4096)):
                break


def _kept(data: bytes) -> None:
    """As a file object, with whatever there is of it."""
    _read_from(io.BytesIO(data), truncated="keep", track=0)


def _piped(data: bytes) -> None:
    _read_from(cast(Source, OnceOnly(data)))


class OnceOnly(io.RawIOBase):
    """What a pipe gives: a few bytes at a time, once."""

    def __init__(self, data: bytes, step: int = 1000) -> None:
        self._rest, self._step = data, step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = self._step if size < 0 else min(size, self._step)
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


def _header(data: bytes) -> None:
    source = ByteSource(io.BytesIO(data))
    promise = promised(source, False)
    promise.fault(source, 2)


def _seeds() -> list[bytes]:
    pcm = np.sin(np.arange(400) / 9).astype(np.float32) / 2
    seeds = []
    for name, subtype in _FORMATS.items():
        path = scratch(f"seed.{name}")
        soundfile.write(path, np.stack([pcm, -pcm], 1), 16000, subtype=subtype, format=name.upper())
        seeds.append(path.read_bytes())
    # FFmpeg decodes nothing of a single packet of AAC or WMA.
    long = np.sin(np.arange(_LONG) / 9).astype(np.float32) / 2
    return seeds + [_encoded(container, codec, np.stack([long, -long])) for container, codec in _CONTAINERS]


def _encoded(container: str, codec: str, pcm: npt.NDArray[np.float32]) -> bytes:
    """Samples ``[C, n]`` as FFmpeg writes them."""
    whole = io.BytesIO()
    with av.open(whole, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=16000, layout="stereo")
        stream.bit_rate = 64_000
        stream.codec_context.open()
        step = stream.codec_context.frame_size or pcm.shape[1]
        for at in range(0, pcm.shape[1], step):
            block = np.ascontiguousarray(pcm[:, at : at + step])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 16000, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return whole.getvalue()


TARGETS = (
    Target("audio", "an audio file", _read, _seeds),
    Target("audio-kept", "an audio file as a file object, whatever of it is there", _kept, _seeds),
    Target("audio-pipe", "audio that comes through a pipe", _piped, _seeds),
    Target("audio-header", "the header of an audio file", _header, _seeds),
)
