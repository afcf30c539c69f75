"""A slice of everything, to be run under ``python -O``, where assert statements are gone.

    python -O tests/support/optimised.py FOLDER

Knows: the public API and the command line; nothing of tests/, which is not a package. It checks with `check`, which
raises whether asserts are there or not. test_optimised.py runs it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import soundfile

import streamrvq
from streamrvq.cli import main as command
from streamrvq.live.server.server import Server
from streamrvq.live.server.settings import ServerSettings
from streamrvq.tokens.file import TokenFile, read_tokens, write_tokens
from streamrvq.tokens.journal import TokenJournal, recover
from streamrvq.weights import save_weights, seeded

RATE = 16_000
CONFIG = streamrvq.CodecConfig(
    encoder_dim=2, encoder_rates=(8, 8), latent_dim=6, decoder_dim=4, decoder_rates=(8, 8), n_codebooks=3,
    codebook_size=64, codebook_dim=3, sample_rate=RATE,
)  # fmt: skip


class Failed(Exception):
    """A check that failed."""


def check(holds: object, what: str) -> None:
    """Raise `Failed` unless it holds."""
    if not holds:
        raise Failed(what)


def same(came: np.ndarray, wanted: np.ndarray, what: str) -> None:
    check(np.array_equal(came, wanted), f"{what}: {came.shape} differs from {wanted.shape}")


def codec_of_file(folder: Path) -> streamrvq.Codec:
    """A codec that has let its weights go, as every loaded one on the native engine."""
    weights = seeded(CONFIG)
    save_weights(weights, folder / "codec.safetensors")
    codec = streamrvq.load(folder / "codec.safetensors", threads=1)
    check(codec.codec_hash == weights.codec_hash, "codec_hash of a loaded codec")
    check(codec.weights.codec_hash == weights.codec_hash, "weights that are read again")
    for book, level in zip(codec.codebooks, range(codec.n_codebooks), strict=True):
        check(book.shape == (64, 3), f"codebook {level}")
    return codec


def streams(codec: streamrvq.Codec, pcm: np.ndarray) -> np.ndarray:
    """Streams, snapshots and a pool against the whole signal."""
    codes = codec.encode(pcm)
    stream = codec.stream()
    parts = [stream.push(pcm[:5000])]
    parked = streamrvq.Snapshot.from_bytes(stream.snapshot().to_bytes())
    stream = codec.stream(snapshot=parked)
    same(np.concatenate([*parts, stream.push(pcm[5000:]), stream.flush()], axis=1), codes, "a parked stream")
    back = codec.decoder_stream()
    same(np.concatenate([back.push(codes[:, :9]), back.push(codes[:, 9:]), back.flush()]), codec.decode(codes), "back")
    pool, came = codec.pool(2), []
    pool.feed(one := pool.open(), pcm)
    pool.close(one)
    while batch := pool.next_batch():
        batch.run()
        came += [output.data for output in pool.complete(batch)]
    same(np.concatenate(came, axis=1), codes, "a pool")
    try:
        stream.push(pcm)
    except streamrvq.StreamClosedError:
        return codes
    raise Failed("a flushed stream took samples")


async def service(codec: streamrvq.Codec, pcm: np.ndarray) -> np.ndarray:
    """A second of audio to a server on loopback."""
    async with (
        Server(codec, ServerSettings(port=0)) as server,
        streamrvq.connect(f"ws://127.0.0.1:{server.port}", sample_rate=RATE) as stream,
    ):

        async def speak() -> None:
            for at in range(0, len(pcm), 1600):
                await stream.send(pcm[at : at + 1600])
            await stream.stop()

        async with asyncio.TaskGroup() as tasks:  # if one side fails, the other ends
            tasks.create_task(speak())
            frames = [item.codes async for item in stream if isinstance(item, streamrvq.Frames)]
    return np.concatenate(frames, axis=1)


def files(codec: streamrvq.Codec, codes: np.ndarray, samples: int, folder: Path) -> None:
    """A token file, and a recording with its journal."""
    tokens = TokenFile(codes=codes, codec=codec.name, codec_hash=codec.codec_hash, trained=False, sample_rate=RATE,
                       hop_length=codec.hop_length, source_rate=RATE, num_samples=samples, tail="pad")  # fmt: skip
    write_tokens(folder / "tokens.safetensors", tokens)
    same(read_tokens(folder / "tokens.safetensors").codes, codes, "a token file")
    journal = TokenJournal(folder / "recording.safetensors", tokens)
    journal.frames(codes)
    try:
        journal.frames(codes[:1])
    except streamrvq.TokensError:
        pass
    else:
        raise Failed("a journal took frames of another number of levels")
    journal.close()
    same(recover(folder / "recording.safetensors").codes, codes, "a recovered recording")


def commands(codec: streamrvq.Codec, pcm: np.ndarray, folder: Path) -> None:
    """``streamrvq encode`` and ``streamrvq decode``."""
    source, made, back = (str(folder / name) for name in ("sound.wav", "sound.safetensors", "back.wav"))
    weights = str(folder / "codec.safetensors")
    soundfile.write(source, pcm, RATE, subtype="FLOAT")
    for arguments in (
        ["encode", source, "-o", made, "--codec", weights],
        ["decode", made, "-o", back, "--codec", weights],
    ):
        try:
            done = command(arguments)
        except SystemExit as end:
            done = end.code
        check(not done, f"streamrvq {' '.join(arguments)}")
    same(read_tokens(made).codes, codec.encode(pcm), "streamrvq encode")
    check(len(soundfile.read(back)[0]) == len(pcm), "streamrvq decode")


def main(folder: Path) -> None:
    check(not __debug__, "run this with python -O")
    pcm = np.random.default_rng(3).normal(0, 0.3, RATE).clip(-1, 1).astype(np.float32)
    codec = codec_of_file(folder)
    codes = streams(codec, pcm)
    same(asyncio.run(service(codec, pcm)), codes, "the service")
    files(codec, codes, len(pcm), folder)
    commands(codec, pcm, folder)
    check(len(streamrvq.load(threads=1).codec_hash) == 64, "codec_hash of the default codec")
    print("every check holds")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
