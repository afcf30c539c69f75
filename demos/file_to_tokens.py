"""A file to a token file and back.

It is encoded while it is read, the tokens are written and read again, and a stream decodes them to a .wav.

python demos/file_to_tokens.py [AUDIO] [FOLDER]
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np
from _audio import DEFAULT
from _ending import leave

import streamrvq
from streamrvq.audio.writing import write_audio
from streamrvq.resampling import resampler_between
from streamrvq.tokens import TokenFile, read_tokens, write_tokens


async def encode(source: Path, codec: streamrvq.Codec) -> tuple[np.ndarray, int, int]:
    """The codes [K, T] of a file, its rate and how many samples it has. It is read block by block, at full speed."""
    parts = [np.zeros((codec.n_codebooks, 0), np.int64)]
    async with streamrvq.tokenize(streamrvq.File(source, realtime=False, downmix=True), codec) as tokens:
        async for item in tokens:
            parts.append(item.codes)
        return np.concatenate(parts, axis=1), tokens.sample_rate, tokens.stats().samples


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="streamrvq-"))
    codec = streamrvq.load()

    codes, rate, samples = asyncio.run(encode(source, codec))
    path = folder / f"{source.stem}.safetensors"
    write_tokens(path, TokenFile(codes, codec.name, codec.codec_hash, codec.trained, codec.sample_rate,
                                 codec.hop_length, rate, samples,
                                 resampler=resampler_between(rate, codec.sample_rate)))  # fmt: skip
    size = f"{codes.shape[1]} frames × {codes.shape[0]} codes, {codec.bitrate / 1000:.2f} kbit/s"
    print(f"{source.name}: {samples / rate:.2f} s → {size}")
    print(f"{path}: {path.stat().st_size} bytes")

    tokens = read_tokens(path)
    stream = codec.decoder_stream()
    parts = [stream.push(tokens.codes[:, start : start + 10]) for start in range(0, tokens.codes.shape[1], 10)]
    pcm = np.concatenate([*parts, stream.flush()])[: tokens.pcm_length]
    wav = folder / f"{source.stem}.decoded.wav"  # a name that the source itself cannot have
    write_audio(wav, pcm, codec.sample_rate)
    meaning = "" if codec.trained else " (untrained: it will not sound like the original)"
    print(f"{wav}: {len(pcm) / codec.sample_rate:.2f} s decoded{meaning}")


if __name__ == "__main__":
    leave(main)
