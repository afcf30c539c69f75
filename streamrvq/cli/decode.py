"""``streamrvq decode``: token files to WAV; ``-``: JSON lines on stdin to raw samples on stdout.

Knows: that tokens belong to one codec. Does not know: how audio files are written (audio/files.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.files import write_wav
from ..audio.rates import check_rate, output_length
from ..codec import Codec, load
from ..config import DEFAULT_CODEC, PRESETS
from ..engine.base import Floats
from ..errors import InputError, TokensError
from ..system.foreign_data import one_line, shown
from ..tokens import TokenFile, read_tokens
from .common import (
    DeviceOption,
    EngineOption,
    JsonOption,
    ThreadsOption,
    identity,
    note_untrained,
    out,
    print_json,
    title,
)
from .pipes import code_lines, sample_format, write_samples
from .progress import AudioProgress
from .stored.dac_files import decode_dac, is_dac

#: Frames decoded at a time, some 0.7 s: short enough for the progress bar, and for pipes. An engine may like more.
FRAMES = 64


def decode(
    tokens: Annotated[str, typer.Argument(help="A token file, or - for JSON lines on stdin.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="A .wav name, or - for raw samples on stdout.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option("--codec", help="Default: the preset that the tokens name; for - the default codec.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Decode tokens of another codec.")] = False,
    rate: Annotated[int | None, typer.Option("--rate", help="Of the audio, Hz. Default: the codec's.")] = None,
    format: Annotated[
        str, typer.Option("--format", help="Samples: s16le or f32le; raw ones also mulaw or alaw.")
    ] = "s16le",
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Tokens back to audio: a .safetensors file to WAV, or JSON lines to raw samples."""
    samples = sample_format(format)
    if rate is not None:
        check_rate(rate, "--rate")
    if tokens == "-":
        if output not in (None, "-") or json:
            raise InputError("- goes without --json and writes raw samples to stdout; leave -o out, or redirect")
        _decode_stdin(load(codec or DEFAULT_CODEC, engine, threads, device=device), rate, format, force)
        return
    if output is None:
        raise InputError(f"no output was named; give -o {Path(tokens).stem}.wav, or -o - for raw samples on stdout")
    if output == "-" and json:
        raise InputError("-o - and --json both write to stdout; choose one")
    if output != "-" and samples.law is not None:
        raise InputError(f"--format {format} goes with raw samples on stdout; wanted s16le or f32le for a WAV file")
    if is_dac(tokens):
        _decode_dac(tokens, output, codec, rate, format, json, engine=engine, threads=threads, device=device)
        return
    file = read_tokens(tokens)
    opened = _codec_of(file, tokens, codec, force, engine=engine, threads=threads, device=device)
    rate = rate or opened.sample_rate
    if output == "-":
        note_untrained(opened)
        for part in _decode(opened, file, rate):
            write_samples(part, format)
        return
    with AudioProgress(1, show=not json) as progress:
        progress.begin(Path(tokens).name, file.seconds)
        parts = []
        for part in _decode(opened, file, rate):
            parts.append(part)
            progress.advance(len(part) / rate)
        speed = progress.speed
    pcm = np.concatenate(parts)
    write_wav(output, pcm, rate, subtype="FLOAT" if format == "f32le" else "PCM_16")
    seconds = len(pcm) / rate
    if json:
        print_json(
            {
                **identity(opened),
                "tokens": tokens,
                "audio": output,
                "audio_rate": rate,
                "samples": len(pcm),
                "seconds": seconds,
                "speed": speed,
            }
        )
    else:
        out().print(f"{output}: {seconds:.1f} s decoded at {speed:.1f} s a second with {title(opened)}")


def _decode_dac(
    tokens: str, output: str, codec: str | None, rate: int | None, format: str, json: bool, **asked: Any
) -> None:
    opened, pcm, at = decode_dac(tokens, codec, **asked)
    if output == "-" or rate is not None:
        raise InputError(
            f"{tokens} is decoded at its own rate, {at} Hz, to a file; give -o a name, and leave --rate out"
        )
    write_wav(output, pcm, at, subtype="FLOAT" if format == "f32le" else "PCM_16")
    if json:
        print_json({**identity(opened), "tokens": tokens, "audio": output, "audio_rate": at, "samples": len(pcm)})
    else:
        out().print(f"{output}: {len(pcm) / at:.1f} s decoded with {title(opened)}")


def _codec_of(file: TokenFile, path: str, codec: str | None, force: bool, **asked: Any) -> Codec:
    """The codec to decode with: ``codec``, else the preset that the tokens name. Its hash must be that of the tokens.

    Any other name in the tokens is only shown: a file that is decoded does not choose what is opened. ``asked``: as
    `load` takes it.
    """
    if codec is None and file.codec not in PRESETS:
        raise TokensError(
            f"{path} was encoded with {shown(file.codec)}, which is no preset; give it with --codec: "
            "a file that tokens name is not opened"
        )
    opened = load(file.codec if codec is None else codec, **asked)
    if opened.codec_hash != file.codec_hash and not force:
        raise TokensError(
            f"{path} holds tokens of codec {shown(file.codec)} ({one_line(file.codec_hash[:12])}); "
            f"this is {opened.name} ({opened.codec_hash[:12]}): "
            "give the right one with --codec, or --force to decode anyway"
        )
    return opened


def _decode(codec: Codec, file: TokenFile, rate: int) -> Iterator[Floats]:
    """The samples of a token file at ``rate``, in parts, cut at the end of the signal."""
    stream = codec.decoder_stream(sample_rate=rate)
    # With --force the codec may be another one. Then its own hop decides how many samples the signal has.
    if codec.codec_hash == file.codec_hash:
        left = output_length(file.num_samples, file.source_rate, rate)
    else:
        left = output_length(file.codes.shape[1] * codec.hop_length, codec.sample_rate, rate)
    frames = max(FRAMES, codec.engine.row_hops)
    for start in range(0, file.codes.shape[1], frames):
        part = stream.push(file.codes[:, start : start + frames])[:left]
        left -= len(part)
        yield part
    yield stream.flush()[:left]


def _decode_stdin(codec: Codec, rate: int | None, format: str, force: bool) -> None:
    stream = codec.decoder_stream(sample_rate=rate)
    note_untrained(codec)
    for codes in code_lines(codec, force):
        write_samples(stream.push(codes), format)
    write_samples(stream.flush(), format)
