"""``.dac`` files to samples, as descript's package decodes them: chunk by chunk, at the file's rate and loudness.

A chunk was encoded without padding, and is decoded so: each layer gives only outputs of which all inputs are there. Our
decoders pad. What they give in the middle of a chunk is the same, so it is cut out. With kernel ``k``, dilation ``d``
and padding ``p``, output 0 of an unpadded convolution is output ``p`` of a padded one, here ``d·(k−1)/2``; and output m
of an unpadded transposed one with stride s is output ``m − p`` of a padded one. So the place of the first output is
followed through the layers, and so is the length.

One thing differs: descript's transposed convolutions give their first and last s outputs with half of their inputs, and
keep them. These reach some 600 samples into a chunk, where the two decoders give different samples.

Knows: the shape of DAC's decoder. Does not know: who decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...audio.loudness import Loudness
from ...errors import TokensError
from ...resampling import resampler
from .file import DacFile

#: Dilations of the residual units, with a kernel of 7: they reach 3, 9 and 27 samples to either side.
_REACHES = (3, 9, 27)


class Decoder(Protocol):
    """What decodes codes: a `Codec`."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def n_codebooks(self) -> int: ...

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.floating[Any]]: ...


def middle_of(frames: int, rates: Sequence[int]) -> tuple[int, int]:
    """Where the samples begin, in what a padded decoder gives for a chunk, that an unpadded one gives; and how many.

    Args:
        frames: of the chunk.
        rates: the strides of the decoder's blocks.
    """
    begin, length = 3, frames - 6
    for stride in rates:
        begin, length = begin * stride - (stride + 1) // 2, (length + 1) * stride
        begin, length = begin + sum(_REACHES), length - 2 * sum(_REACHES)
    return begin + 3, length - 6


def decompressed(file: DacFile, codec: Decoder, rates: Sequence[int]) -> npt.NDArray[np.float32]:
    """The samples of a file, float32 ``[channels, samples]`` at its own rate and with its loudness.

    Args:
        file: what was read.
        codec: the one that made the codes, which the file does not name.
        rates: the strides of its decoder's blocks.

    Raises:
        TokensError: the codec has fewer codebooks, or the chunks are too short for it.
        InputError: the file's rate is none that is converted to: 1000 to 768 000 Hz.
    """
    if file.codes.shape[1] > codec.n_codebooks:
        raise TokensError(
            f"the file has {file.codes.shape[1]} codebooks and the codec {codec.n_codebooks}; give the one that made it"
        )
    channels = [np.zeros(0, np.float32)] * len(file.codes)
    for channel, codes in enumerate(file.codes):
        pcm = np.concatenate([np.zeros(0, np.float32), *_chunks(file, codes, codec, rates)])
        measure = Loudness(codec.sample_rate)
        measure.push(pcm)
        pcm = pcm * np.float32(10 ** ((file.input_db - measure.value()) / 20))
        if codec.sample_rate != file.sample_rate:
            converter = resampler(codec.sample_rate, file.sample_rate)
            moved, state = converter.push(converter.start(), pcm)
            pcm = np.concatenate([moved, converter.finish(state)])
        channels[channel] = pcm[: file.original_length]
    return np.stack(channels)


def _chunks(
    file: DacFile, codes: npt.NDArray[np.int64], codec: Decoder, rates: Sequence[int]
) -> list[npt.NDArray[np.float32]]:
    parts = []
    for start in range(0, codes.shape[1], file.chunk_length):
        chunk = codes[:, start : start + file.chunk_length]
        pcm = codec.decode(np.ascontiguousarray(chunk)).astype(np.float32)
        if not file.padding:
            begin, length = middle_of(chunk.shape[1], rates)
            if length < 1 or begin + length > len(pcm):
                raise TokensError(
                    f"the file has chunks of {file.chunk_length} frames, too few for this codec; give the one that "
                    "made it"
                )
            pcm = pcm[begin : begin + length]
        parts.append(pcm)
    return parts
