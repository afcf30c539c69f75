"""``streamrvq mic``: tokens from a microphone as you speak: a moving picture, JSON lines, or a token file.

Knows: what to do with each item, and what ends a run: --seconds, Ctrl-C, the device. Does not know: devices, gaps,
PortAudio's threads (live/sources/), files (recording.py), pictures (screen/mic_view.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.pcm import Pcm
from ..audio.rates import samples_in
from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..errors import InputError, SourceError
from ..live.items import Frames, Gap
from ..live.latency import latency_budget
from ..live.sources.microphone import Microphone
from ..live.tokens import Tokens, tokenize
from ..live.worker import Worker
from ..system.interrupts import ended_by_signals
from ..tokens.journal import recover
from ..tokens.journal_names import JOURNAL, damaged_of
from .common import (
    CodecOption,
    EngineOption,
    SeededOption,
    ThreadsOption,
    hertz,
    identity,
    note_untrained,
    out,
    print_json,
    refuse_ignored,
    source_of,
    title,
)
from .pipes import LineWriter
from .recording import Recording
from .screen.mic_view import MicView, latency_table, latency_words
from .stored.token_writer import empty_tokens

#: What an infinite sample counts as in the meter.
_LOUDEST = float(np.finfo(np.float32).max)


def mic(
    codec: CodecOption = DEFAULT_CODEC,
    seeded: SeededOption = False,
    device: Annotated[
        str | None, typer.Option("--device", help="An index, or a name or part of one (`streamrvq devices`).")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="HZ", help="Sample rate, such as 48000 or 48k. Default: the device's."),
    ] = None,
    block: Annotated[
        int | None, typer.Option("--block", help="Samples per block from the device. Default: what suits it.")
    ] = None,
    channel: Annotated[int | None, typer.Option("--channel", help="The channel to take, counted from 0.")] = None,
    downmix: Annotated[bool, typer.Option("--downmix", help="Take the mean of the first two channels.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after this time. Default: at Ctrl-C.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Record to a .safetensors file, crash-safe (see --recover).")
    ] = None,
    n_quantizers: Annotated[int | None, typer.Option("--n-quantizers", help="Levels. Default: all.")] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    engine_device: Annotated[
        str | None, typer.Option("--engine-device", help="Where to compute, as --device of the other commands.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: frames, gaps, and finally a summary.")
    ] = False,
    recovered: Annotated[
        Path | None, typer.Option("--recover", help="Make the token file of a recording that was interrupted.")
    ] = None,
) -> None:
    """Tokens from a microphone as you speak. Ctrl-C ends it, with nothing lost."""
    if recovered is not None:
        if not recovered.name:
            raise InputError(f"--recover is {str(recovered)!r}; wanted the name of a recording")
        refuse_ignored(
            {
                "--codec": codec != DEFAULT_CODEC, "--seeded": seeded, "--device": device is not None,
                "--rate": rate is not None, "--block": block is not None, "--channel": channel is not None,
                "--downmix": downmix, "--seconds": seconds is not None, "--out": output is not None,
                "--n-quantizers": n_quantizers is not None, "--engine": engine != "auto",
                "--threads": threads is not None, "--engine-device": engine_device is not None,
            },
            "--recover, which makes the token file that a recording was to become",
        )  # fmt: skip
        tokens = recover(recovered)
        (levels, frames), path = tokens.codes.shape, str(recovered).removesuffix(JOURNAL)
        kept = str(damaged_of(path)) if damaged_of(path).exists() else None
        if json:
            print_json({
                "source": f"{path}.journal", "tokens": path, "frames": frames, "n_quantizers": levels,
                "seconds": tokens.seconds, "source_rate": tokens.source_rate, "damaged": kept,
            })  # fmt: skip
            return
        out().print(f"{path}: {frames} frames, {tokens.seconds:.2f} s, recovered from {path}{JOURNAL}")
        if kept is not None:
            out().print(f"{kept}: the journal, which is damaged behind these frames and has more there")
        return
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds is {seconds}; wanted more than 0")
    named = int(device) if device is not None and device.isdecimal() else device
    source = Microphone(hertz(rate), named, block=block, channel=channel, downmix=downmix)
    asyncio.run(
        _run(
            _MeteredSource(source, seconds),
            load(source_of(codec, seeded), engine, threads, device=engine_device),
            n_quantizers,
            output,
            json,
        )
    )


class _MeteredSource:
    """A microphone whose level is measured, and which ends after a number of seconds."""

    def __init__(self, mic: Microphone, seconds: float | None) -> None:
        self.mic, self.seconds = mic, seconds
        self.rms = self.peak = 0.0

    @property
    def sample_rate(self) -> int | None:
        return self.mic.sample_rate

    @property
    def start_time(self) -> float | None:
        return self.mic.start_time

    async def __aiter__(self) -> AsyncGenerator[Pcm | Gap, None]:
        assert self.mic.sample_rate is not None
        left = None if self.seconds is None else samples_in(self.seconds, self.mic.sample_rate)
        async with contextlib.aclosing(self.mic.__aiter__()) as items:
            async for item in items:
                count = item.samples if isinstance(item, Gap) else len(item)
                if left is not None and count >= left:
                    count, item = left, self._cut(item, left)
                if not isinstance(item, Gap) and len(item):
                    self.rms, self.peak = _level(item)
                yield item
                if left is not None and not (left := left - count):
                    return

    @staticmethod
    def _cut(item: Pcm | Gap, count: int) -> Pcm | Gap:
        return dataclasses.replace(item, samples=count) if isinstance(item, Gap) else item[:count]


def _level(block: Pcm) -> tuple[float, float]:
    """The root mean square and the peak of ``[n]``. A driver may give anything, and nobody has checked it yet."""
    wide = np.nan_to_num(block.astype(np.float64), posinf=_LOUDEST, neginf=-_LOUDEST)
    return float(np.sqrt(np.mean(np.square(wide)))), float(np.abs(wide).max())


async def _run(source: _MeteredSource, codec: Codec, levels: int | None, output: Path | None, json: bool) -> None:
    mic, signals = source.mic, contextlib.ExitStack()
    worker = Worker("streamrvq-mic")  # disks and terminals may be slow; meanwhile the queue of tokens fills
    try:
        async with mic, tokenize(source, codec, n_quantizers=levels) as tokens:
            recording = None if output is None else Recording(output, empty_tokens(codec, tokens.sample_rate, levels))
            try:
                sink: _JsonSink | _PictureSink
                sink = _JsonSink(codec, tokens.sample_rate) if json else _PictureSink(codec, mic)
            except BaseException:  # the terminal is gone, say
                if recording is not None:
                    recording.discard()
                raise
            signals.enter_context(ended_by_signals(asyncio.get_running_loop(), mic.stop))
            complete = False
            try:
                async for item in tokens:
                    figures = _Figures(codec, source, tokens) if sink.due else None
                    await worker.run(_write, recording, sink, item, figures)
                complete = True
            except (SourceError, InputError):  # of the device; everything before it is encoded
                complete = True
                raise
            finally:
                try:
                    if recording is not None:
                        samples = tokens.stats().position if complete else None
                        await worker.run(recording.finish, samples)
                finally:  # on a full disk, too: a terminal gets its cursor back
                    await worker.run(sink.close, _Figures(codec, source, tokens), recording)
    finally:
        signals.close()
        await worker.close()


def _write(
    recording: Recording | None, sink: _JsonSink | _PictureSink, item: Frames | Gap, figures: _Figures | None
) -> None:
    if recording is not None:
        recording.add(item)  # first, so that everything shown is on disk
    sink.write(item, figures)


class _Figures:
    """The figures at one moment, gathered on the event loop."""

    def __init__(self, codec: Codec, source: _MeteredSource, tokens: Tokens) -> None:
        self.mic, self.tokens = source.mic.stats(), tokens.stats()
        self.budget = latency_budget(codec, tokens.sample_rate, self.mic, self.tokens)
        self.rms, self.peak, self.seconds = source.rms, source.peak, self.tokens.position / tokens.sample_rate

    @property
    def status(self) -> str:
        """The figures as one line."""
        mic, tokens = self.mic, self.tokens
        drift = "" if mic.drift_ppm is None else f", drift {mic.drift_ppm:+.0f} ppm"
        lost = f"{tokens.lost} samples lost in {tokens.gaps} gaps" if tokens.gaps else "nothing lost"
        overruns = f", {mic.overruns} overruns" if mic.overruns else ""
        return f"{self.seconds:6.2f} s, {tokens.frames} frames, RTF {tokens.rtf:.2f}, {lost}{overruns}{drift}"

    def document(self) -> dict[str, Any]:
        """The figures as a JSON document."""
        budget = self.budget
        sums = {"sum_p50": budget.sum_p50, "sum_p99": budget.sum_p99}
        return {
            "seconds": self.seconds, "rtf": self.tokens.rtf, "microphone": dataclasses.asdict(self.mic),
            "tokens": dataclasses.asdict(self.tokens), "latency": dataclasses.asdict(budget) | sums,
        }  # fmt: skip


class _JsonSink:
    """Writes JSON lines, for a program."""

    due = False

    def __init__(self, codec: Codec, rate: int) -> None:
        self._codec, self._lines = codec, LineWriter(codec, rate)
        note_untrained(codec)

    def write(self, item: Frames | Gap, figures: _Figures | None) -> None:
        if isinstance(item, Frames):
            self._lines.frames(item.index, item.time, item.codes)
        else:
            self._lines.other({"gap": dataclasses.asdict(item)})

    def close(self, figures: _Figures, recording: Recording | None) -> None:
        files = [] if recording is None else [str(path) for path in recording.files]
        self._lines.other({"summary": {**identity(self._codec), **figures.document(), "files": files}})


class _PictureSink:
    """Draws a moving picture, for a person."""

    def __init__(self, codec: Codec, mic: Microphone) -> None:
        head = f"{mic.name}, {mic.sample_rate} Hz → {title(codec)}; Ctrl-C ends it"
        self._view = MicView(head, codec.config.codebook_size)

    @property
    def due(self) -> bool:
        return self._view.due

    def write(self, item: Frames | Gap, figures: _Figures | None) -> None:
        if isinstance(item, Frames):
            self._view.codes(item.codes)
        else:
            self._view.remark(f"gap of {item.samples} samples at {item.position}: {item.reason}")
        if figures is not None:
            self._view.show(figures.rms, figures.peak, figures.status, figures.budget)

    def close(self, figures: _Figures, recording: Recording | None) -> None:
        self._view.close()
        out().print(figures.status)
        out().print(latency_table(figures.budget, out().width))
        out().print(latency_words(figures.budget))
        for path in [] if recording is None else recording.files:
            out().print(f"recorded to {path}")
