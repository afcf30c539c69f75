"""A file to a token file and back.

It is encoded while it is read, the tokens are written and read again, and a stream decodes them to a .wav.

python demos/file_to_tokens.py [AUDIO] [FOLDER]
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from _audio import DEFAULT

import streamrvq
from streamrvq.audio.writing import write_audio
from streamrvq.resampling import resampler_between
from streamrvq.tokens import TokenFile, read_tokens, write_tokens


async def encode(source: Path, codec: streamrvq.Codec) -> np.ndarray:
    """The codes [K, T] of a file, read and encoded block by block at full speed."""
    async with streamrvq.tokenize(streamrvq.File(source, realtime=False), codec) as tokens:
        return np.concatenate([item.codes async for item in tokens], axis=1)


source = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="streamrvq-"))
codec = streamrvq.load()
info = soundfile.info(source)

codes = asyncio.run(encode(source, codec))
path = folder / f"{source.stem}.safetensors"
write_tokens(path, TokenFile(codes, codec.name, codec.codec_hash, codec.trained, codec.sample_rate, codec.hop_length,
                             info.samplerate, info.frames,
                             resampler=resampler_between(info.samplerate, codec.sample_rate)))  # fmt: skip
kbps = codec.bitrate / 1000
print(f"{source.name}: {info.duration:.2f} s → {codes.shape[1]} frames × {codes.shape[0]} codes, {kbps:.2f} kbit/s")
print(f"{path}: {path.stat().st_size} bytes")

tokens = read_tokens(path)
stream = codec.decoder_stream()
parts = [stream.push(tokens.codes[:, start : start + 10]) for start in range(0, tokens.codes.shape[1], 10)]
pcm = np.concatenate([*parts, stream.flush()])[: tokens.pcm_length]
wav = folder / f"{source.stem}.wav"
write_audio(wav, pcm, codec.sample_rate)
meaning = "" if codec.trained else " (untrained: it will not sound like the original)"
print(f"{wav}: {len(pcm) / codec.sample_rate:.2f} s decoded{meaning}")
