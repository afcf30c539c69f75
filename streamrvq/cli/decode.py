"""``streamrvq decode``: stored tokens to an audio file; ``-``: JSON lines on stdin.

Knows: that tokens belong to one codec, and what is refused before anything is computed. Does not know: how tokens are
found (stored/), how audio files are written (audio/writing.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..audio.sample_formats import check_rate_given
from ..audio.writing import FORMATS, AudioWriter, check_target, format_of, write_audio
from ..codec import Codec, load
from ..config import DEFAULT_CODEC, PRESETS
from ..engine.base import Floats
from ..errors import InputError, TokensError
from ..system.foreign_data import one_line, shown
from ..tokens import Signal
from ..weights.hub import RELEASED
from .common import (
    DeviceOption,
    EngineOption,
    JsonOption,
    RateOption,
    ThreadsOption,
    hertz,
    identity,
    note_untrained,
    offer_presets,
    out,
    print_json,
    refuse_ignored,
    title,
)
from .pipes import code_lines, sample_format, write_samples
from .progress import AudioProgress
from .stored.dac_files import decode_dac, is_dac
from .stored.signals import ChannelOption, FromOption, PathOption, ToOption, find_signal, holds_signals, span_of
from .stored.spans import decoded


def decode(
    tokens: Annotated[
        str,
        typer.Argument(help="A token file, a shard or a folder of either (see --path), or - for JSON lines on stdin."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help=f"A name with the format's ending ({' '.join(FORMATS)}), or - for raw samples."
        ),
    ] = None,
    path: PathOption = None,
    channel: ChannelOption = None,
    start: FromOption = None,
    stop: ToOption = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            help="Default: the preset that the tokens name; for - the default codec.",
            autocompletion=offer_presets,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Decode tokens of another codec.")] = False,
    rate: RateOption = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="Samples: s16le (default) or f32le; raw ones also mulaw or alaw."),
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Tokens back to audio: a file in the format of its name, or raw samples."""
    named = hertz(rate)
    _check_output(tokens, output, json, format)
    asked: dict[str, Any] = {"engine": engine, "threads": threads, "device": device}
    if is_dac(tokens):
        if output is None or output == "-" or any(given is not None for given in (named, path, start, stop)):
            raise InputError(
                f"{tokens} is decoded whole and at its own rate, to a file; give -o a name, and leave --rate, --path, "
                "--from and --to out"
            )
        refuse_ignored({"--force": force}, f"{tokens}, which does not say which codec made it")
        _decode_dac(tokens, output, codec, channel, format, json, **asked)
        return
    raw = output in (None, "-")
    if raw:
        check_rate_given(format or "s16le", named)
    if tokens == "-":
        if any(given is not None for given in (path, channel, start, stop)):
            raise InputError("--path, --channel, --from and --to go with stored tokens; - is read to its end")
        opened, name, seconds = load(codec or DEFAULT_CODEC, **asked), "-", 0.0
        at = named or _rate_for(output, opened.sample_rate)
        _check_audio(output, at, format)
        parts = of_lines(opened, at, force)
    else:
        signal = find_signal(tokens, path, channel)
        begin, end = span_of(start, stop, signal.seconds, signal.path)
        at = named or _rate_for(output, signal.sample_rate)
        _check_audio(output, at, format)
        opened = codec_of(signal, tokens, codec, force, **asked)
        name, seconds = Path(signal.path).name, end - begin
        parts = decoded(opened, signal, at, begin, None if stop is None else end)
    if raw:
        note_untrained(opened)
        for part in parts:
            write_samples(part, format or "s16le")
        return
    assert output is not None
    with AudioProgress(1, show=not json and tokens != "-") as progress:
        progress.begin(name, seconds)
        most = None if tokens == "-" else math.ceil(seconds * at)
        with AudioWriter(output, at, floats=format == "f32le", samples=most) as writer:
            for part in parts:
                writer.write(part)
                progress.advance(len(part) / at)
        speed = progress.speed
    seconds = writer.count / at
    if json:
        which = {} if tokens == "-" or not holds_signals(tokens) else {"path": signal.path}
        print_json({
            **identity(opened), "tokens": tokens, **which, "audio": output, "audio_rate": at, "samples": writer.count,
            "seconds": seconds, "speed": speed,
        })  # fmt: skip
        return
    other = f" at {at} Hz" if at != opened.sample_rate else ""
    out().print(f"{output}: {seconds:.1f} s{other} decoded at {speed:.1f} s a second with {title(opened)}")


def _decode_dac(
    tokens: str, output: str, codec: str | None, channel: int | None, format: str | None, json: bool, **asked: Any
) -> None:
    opened, pcm, at = decode_dac(tokens, codec, channel, **asked)
    _check_audio(output, at, format)
    write_audio(output, pcm, at, floats=format == "f32le")
    if json:
        print_json({**identity(opened), "tokens": tokens, "audio": output, "audio_rate": at, "samples": len(pcm)})
    else:
        out().print(f"{output}: {len(pcm) / at:.1f} s decoded with {title(opened)}")


def _check_output(tokens: str, output: str | None, json: bool, format: str | None) -> None:
    """Refuse what does not fit together. Raises `InputError`."""
    law = sample_format(format or "s16le").law
    if output is None and tokens != "-":
        raise InputError(
            f"no output was named; give -o {Path(tokens).stem}.decoded.wav, or -o - for raw samples on stdout"
        )
    if output in (None, "-"):
        if json:
            raise InputError("raw samples and --json both write to stdout; choose one, or name a file with -o")
        return
    format_of(output)
    if law is not None:
        raise InputError(
            f"--format {format} goes with raw samples on stdout; wanted s16le or f32le for a WAV file, or leave it out"
        )


def _rate_for(output: str | None, rate: int) -> int:
    """The rate, Hz, if nobody asked for one: the codec's, or what the format of the file has in its place."""
    return rate if output in (None, "-") else format_of(output).rate_for(rate)


def _check_audio(output: str | None, rate: int, format: str | None) -> None:
    if output not in (None, "-"):
        check_target(output, rate, floats=format == "f32le")


def codec_of(signal: Signal, place: str, codec: str | None, force: bool, **asked: Any) -> Codec:
    """The codec to decode with: ``codec``, else the preset that the tokens name. Its hash must be that of the tokens.

    Tokens of a released model that call it untrained were made with its seeded stand-in, as all were once.

    Any other name in the tokens is only shown: a file that is decoded does not choose what is opened. ``asked``: as
    `load` takes it.
    """
    if codec is None and signal.codec not in PRESETS:
        raise TokensError(
            f"{place} was encoded with {shown(signal.codec)}, which is no preset; give it with --codec: "
            "a file that tokens name is not opened"
        )
    weights = "seeded" if codec is None and not signal.trained and signal.codec in RELEASED else None
    opened = load(signal.codec if codec is None else codec, weights=weights, **asked)
    if opened.codec_hash != signal.codec_hash and not force:
        raise TokensError(
            f"{place} holds tokens of codec {shown(signal.codec)} ({one_line(signal.codec_hash[:12])}); "
            f"this is {opened.name} ({opened.codec_hash[:12]}): "
            "give the right one with --codec, or --force to decode anyway"
        )
    return opened


def of_lines(codec: Codec, rate: int, force: bool) -> Iterator[Floats]:
    """The samples of the JSON lines on stdin, as they come."""
    stream = codec.decoder_stream(sample_rate=rate)
    for codes in code_lines(codec, force):
        yield stream.push(codes)
    yield stream.flush()
