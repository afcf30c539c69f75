"""``streamrvq play``: stored tokens, JSON lines or an audio file through a sound device.

Knows: what is played, and when it ends. Does not know: devices (live/playback/), how tokens are decoded (stored/).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.files import open_audio
from ..audio.rates import samples_in
from ..codec import load
from ..config import DEFAULT_CODEC
from ..errors import InputError
from ..live.playback.speaker import Speaker
from ..resampling import resampler
from ..system.interrupts import interrupts_raised
from .common import (
    EngineOption,
    ThreadsOption,
    TrackOption,
    TruncatedOption,
    note,
    offer_presets,
    out,
    reading,
    refuse_ignored,
    title,
)
from .decode import codec_of, of_lines
from .progress import AudioProgress
from .stored.facts import is_stored
from .stored.signals import ChannelOption, FromOption, PathOption, ToOption, find_signal, span_of
from .stored.spans import decoded

#: Samples of an audio file that are read at a time.
_BLOCK = 1 << 14


def play(
    source: Annotated[
        str,
        typer.Argument(
            help="A token file, a shard or a folder of either (see --path), an audio file, or - for JSON lines on "
            "stdin."
        ),
    ],
    path: PathOption = None,
    channel: ChannelOption = None,
    start: FromOption = None,
    stop: ToOption = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="An index, or a name or part of one (`streamrvq devices --output`)."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", help="Default: the preset that the tokens name.", autocompletion=offer_presets),
    ] = None,
    truncated: TruncatedOption = "refuse",
    track: TrackOption = None,
    force: Annotated[bool, typer.Option("--force", help="Decode tokens of another codec.")] = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    engine_device: Annotated[
        str | None, typer.Option("--engine-device", help="Where to compute, as --device of the other commands.")
    ] = None,
) -> None:
    """Play tokens or audio through a sound device. Ctrl-C ends it."""
    asked: dict[str, Any] = {"engine": engine, "threads": threads, "device": engine_device}
    how, asked_for = reading(truncated, track), truncated != "refuse" or track is not None
    if asked_for and (source == "-" or is_stored(source)):
        raise InputError("--truncated and --track go with an audio file, and this is tokens; leave them out")
    with ExitStack() as opened:
        if source == "-":
            if any(given is not None for given in (path, channel, start, stop)):
                raise InputError("--path, --channel, --from and --to go with what is stored; - is played to its end")
            used, name, seconds = load(codec or DEFAULT_CODEC, **asked), "-", 0.0
            rate, parts, what = used.sample_rate, of_lines(used, used.sample_rate, force), title(used)
        elif is_stored(source):
            signal = find_signal(source, path, channel)
            begin, end = span_of(start, stop, signal.seconds, signal.path)
            used = codec_of(signal, source, codec, force, **asked)
            rate, name, seconds, what = used.sample_rate, Path(signal.path).name, end - begin, title(used)
            parts = decoded(used, signal, rate, begin, None if stop is None else end)
        else:
            if path is not None or channel is not None:
                raise InputError(f"--path and --channel go with shards, or a folder of token files; {source} is none")
            audio = opened.enter_context(open_audio(source, downmix=True, **how))
            of_tokens = {
                "--codec": codec is not None, "--force": force, "--engine": engine != "auto",
                "--threads": threads is not None, "--engine-device": engine_device is not None,
            }  # fmt: skip
            refuse_ignored(of_tokens, f"{source}, which is audio and is not decoded by a codec")
            rate, name, what = audio.sample_rate, Path(source).name, "an audio file"
            # How long a file says it is may be wrong: it only gives the bar its length.
            begin, end = span_of(start, stop, math.inf, source)
            seconds = max(0.0, min(end, audio.frames / rate) - begin)
            parts = _blocks(audio, samples_in(begin, rate), None if stop is None else samples_in(end, rate))
        named = int(device) if device is not None and device.isdecimal() else device
        with AudioProgress(1, show=source != "-") as progress:
            progress.begin(name, seconds)
            played, speaker = asyncio.run(_play(parts, rate, named, progress))
    if start is not None and not played:
        raise InputError(f"--from is {start:g}; {source} ends before that")
    if speaker.dry:
        note(f"the device had nothing to play {speaker.dry} times: the samples came slower than it plays")
    out().print(f"{played:.1f} s played through {speaker.name} at {speaker.sample_rate} Hz: {name}, {what}")


def _blocks(audio: Any, first: int, last: int | None) -> Iterator[Any]:
    """The samples ``first`` to before ``last`` of an open audio file, in blocks; None: to its end."""
    at = 0
    while (last is None or at < last) and len(block := audio.read(_BLOCK)):
        yield block[max(0, first - at) : None if last is None else last - at]
        at += len(block)


def _next(parts: Iterator[Any]) -> Any:
    """The next samples; None: there are no more. Ctrl-C ends the wait for them, which may be long in a pipe."""
    task = asyncio.current_task()
    with interrupts_raised():
        if task is not None and task.cancelling():  # by one that came before
            raise asyncio.CancelledError
        return next(parts, None)


async def _play(
    parts: Iterator[Any], rate: int, device: int | str | None, progress: AudioProgress
) -> tuple[float, Speaker]:  # fmt: skip
    """Play samples that have ``rate`` Hz. Returns how many seconds they lasted, and the closed device."""
    played = 0.0
    async with Speaker(rate, device) as speaker:
        convert = None if speaker.sample_rate == rate else resampler(rate, speaker.sample_rate)
        state = None if convert is None else convert.start()
        while (part := _next(parts)) is not None:
            pcm = np.clip(np.asarray(part, np.float32), -1.0, 1.0)
            if convert is not None and state is not None:
                heard, state = convert.push(state, pcm)
            else:
                heard = pcm
            await speaker.play(heard)
            played += len(pcm) / rate
            progress.advance(len(pcm) / rate)
        if convert is not None and state is not None:
            await speaker.play(convert.finish(state))
        await speaker.finish()
    return played, speaker
