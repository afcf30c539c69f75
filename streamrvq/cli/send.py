"""``streamrvq send``: send an audio file, a token file or a microphone to a server, and write what it answers.

Knows: what is sent and where the answer is written. Does not know: the protocol (live/client/).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.rates import check_rate
from ..audio.writing import AudioWriter, check_target, format_of
from ..errors import InputError, TokensError
from ..live.client.connect import connect
from ..live.client.stream import RemoteStream
from ..live.items import Frames, Gap
from ..live.protocol.constants import HIGHEST_RATE, LOWEST_RATE
from ..live.sources.file import File, Pace
from ..live.worker import Worker
from ..system.foreign_data import one_line, shown
from ..system.interrupts import ended_by_signals
from ..tokens import TokenFile, read_tokens, write_tokens
from .common import JsonOption, TrackOption, TruncatedOption, hertz, note, out, print_json, reading, refuse_ignored
from .pipes import LineWriter, sample_format
from .recording import Recording
from .service import CaOption, InsecureOption, TokenFileOption, TokenOption, tokens, trust
from .stored.targets import token_file_of_stream

#: Frames of a token file that are sent at a time.
FRAMES = 8


def send(
    arguments: Annotated[list[str], typer.Argument(metavar="[FILE] URL", help="What to send, and ws://host:port.")],
    mic: Annotated[
        bool, typer.Option("--mic", help="Send the microphone instead of a file, until Ctrl-C, with nothing lost.")
    ] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="At the pace of a microphone.")] = False,
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", help="A .safetensors name (for a token file that of audio); - for JSON lines."),
    ] = None,
    n_quantizers: Annotated[int | None, typer.Option("--n-quantizers", help="Levels. Default: all.")] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="HZ",
            help="Sample rate, such as 48000 or 48k. Default: the device's for --mic, the codec's for a token file.",
        ),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="Samples on the wire: f32le, s16le, mulaw or alaw.")
    ] = "f32le",
    downmix: Annotated[bool, typer.Option("--downmix", help="Take the mean of several channels.")] = False,
    truncated: TruncatedOption = "refuse",
    track: TrackOption = None,
    force: Annotated[bool, typer.Option("--force", help="Decode tokens of another codec.")] = False,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    insecure: InsecureOption = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the server.")] = 30.0,
    json: JsonOption = False,
) -> None:
    """Send audio to a server and get its tokens; send tokens and get audio."""
    if len(arguments) != (1 if mic else 2):
        raise InputError("wanted FILE and URL, or --mic and URL")
    sample_format(format)
    hz = hertz(rate, lowest=LOWEST_RATE, highest=HIGHEST_RATE)
    if output == "-" and json:
        raise InputError("-o - and --json both write to stdout; choose one")
    how = {"downmix": downmix, **reading(truncated, track)}
    secret = tokens(token, token_file)
    source, url = arguments[0], arguments[-1]
    common: dict[str, Any] = {
        "format": format, "token": secret[0] if secret else None, "timeout": timeout, "ssl": trust(url, ca, insecure),
    }  # fmt: skip
    stored = not mic and source.endswith(".safetensors")
    if mic:
        of_files = {"--downmix": downmix, "--truncated": truncated != "refuse", "--track": track is not None}
        refuse_ignored(
            {**of_files, "--realtime": realtime, "--force": force},
            "--mic, which sends what a device gives, as it gives it",
        )
    elif not stored:
        refuse_ignored({"--force": force}, f"{one_line(source)}, which is sent as audio; it goes with tokens")
    if output not in (None, "-") and not stored:
        token_file_of_stream(Path(output))
    if insecure:
        note("the server's certificate is not checked: whoever is between can read and change everything")
    if mic:
        asyncio.run(_send_microphone(url, hz, n_quantizers, output, json, common))
        return
    if stored:
        if n_quantizers is not None or downmix or truncated != "refuse" or track is not None:
            raise InputError("--n-quantizers, --downmix, --truncated and --track go with audio, and this is tokens")
        asyncio.run(_send_tokens(source, url, hz, output, realtime, force, json, common))
        return
    if rate is not None:
        raise InputError("--rate goes with --mic and with token files; an audio file says its own")
    file = File(source, realtime=realtime, **how)  # not in the event loop: a pipe may be waited for, until Ctrl-C
    asyncio.run(_send_file(file, source, url, n_quantizers, output, json, common))


async def _send_file(
    file: File, path: str, url: str, n_quantizers: int | None, output: str | None, json: bool, common: dict[str, Any]
) -> None:
    async with file:
        rate = check_rate(file.sample_rate, f"the sample rate of {one_line(path)}", LOWEST_RATE, HIGHEST_RATE)
        async with connect(url, sample_rate=rate, n_quantizers=n_quantizers, **common) as stream:
            empty = _empty_tokens(stream, n_quantizers)
            written = _Written(Path(output), empty) if output not in (None, "-") else None
            stream.feed(file)
            await _write_codes(stream, path, written, output == "-", json)


async def _send_microphone(
    url: str, rate: int | None, n_quantizers: int | None, output: str | None, json: bool, common: dict[str, Any]
) -> None:
    from .. import Microphone  # here, so that a test can replace it

    async with Microphone(rate=rate) as microphone:
        rate = microphone.sample_rate
        async with connect(url, sample_rate=rate, n_quantizers=n_quantizers, **common) as stream:
            empty = _empty_tokens(stream, n_quantizers)
            recording = Recording(Path(output), empty) if output not in (None, "-") else None
            with ended_by_signals(asyncio.get_running_loop(), microphone.stop):
                note("sending the microphone; Ctrl-C ends it")
                stream.feed(microphone)
                await _write_codes(stream, "microphone", recording, output == "-", json)


def _empty_tokens(stream: RemoteStream, levels: int | None) -> TokenFile:
    """What a token file says beside codes and their length."""
    ready = stream.ready
    return TokenFile(
        codes=np.zeros((levels or ready.codebooks, 0), np.int64), codec=ready.codec, codec_hash=ready.codec_hash,
        trained=ready.trained, sample_rate=ready.sample_rate, hop_length=ready.hop, source_rate=stream.sample_rate,
        num_samples=0, resampler=ready.resampler,
    )  # fmt: skip


class _Written:
    """The token file of an audio file: of one signal, since nothing of it is lost. It replaces one that is there.

    Args:
        path: of the token file.
        empty: that file, without frames.

    Attributes:
        files: its path, once it is written.
    """

    def __init__(self, path: Path, empty: TokenFile) -> None:
        self._path, self._empty, self._parts = path, empty, [empty.codes.astype(np.uint16)]
        self.files: list[Path] = []

    def add(self, item: Frames | Gap) -> None:
        """Take the next item."""
        if isinstance(item, Frames):
            self._parts.append(item.codes.astype(np.uint16))

    def finish(self, position: int | None) -> None:
        """Write the file; ``position``: samples of its signal."""
        assert position is not None  # it is whole
        codes = np.concatenate(self._parts, axis=1)
        write_tokens(self._path, dataclasses.replace(self._empty, codes=codes.astype(np.int64), num_samples=position))
        self.files.append(self._path)


async def _write_codes(
    stream: RemoteStream, source: str, written: Recording | _Written | None, as_lines: bool, json: bool
) -> None:
    """Write everything that an encoding stream yields; then print the figures."""
    ready, worker = stream.ready, Worker("streamrvq-send")  # disks may be slow; meanwhile the stream's queue fills
    lines = LineWriter(ready, stream.sample_rate)
    whole = False
    try:
        if not ready.trained:
            note(f"{one_line(ready.codec)} is untrained: its codes are exact, but mean nothing")
        async for item in stream:
            if isinstance(item, Gap):
                note(f"{item.samples} samples were lost at sample {item.position}: {item.reason}")
                if as_lines:
                    lines.other({"gap": dataclasses.asdict(item)})
            elif as_lines and isinstance(item, Frames):
                lines.frames(item.index, item.time, item.codes)
            if written is not None and isinstance(item, (Frames, Gap)):
                await worker.run(written.add, item)
        whole = True
    finally:
        try:
            if written is not None and (whole or isinstance(written, Recording)):  # what was recorded is kept
                samples = None if stream.done is None else stream.done.samples + stream.done.lost
                await worker.run(written.finish, samples)
        finally:
            await worker.close()
    done, stats, files = stream.done, stream.stats(), [] if written is None else [str(path) for path in written.files]
    assert done is not None  # otherwise an error was raised
    p50, p99 = (None if value is None else 1e3 * value for value in (stats.latency_p50, stats.latency_p99))
    if json:
        print_json({
            "source": source, "tokens": files[0] if files else None, "files": files, "codec": ready.codec,
            "codec_hash": ready.codec_hash, "status": "trained" if ready.trained else "untrained",
            "frames": done.frames, "samples": done.samples, "lost": done.lost, "source_rate": stream.sample_rate,
            "resampler": ready.resampler, "latency_ms_p50": p50, "latency_ms_p99": p99,
        })  # fmt: skip
    elif not as_lines:
        seconds = done.samples / stream.sample_rate
        where = f" → {', '.join(files)}" if files else ""
        out().print(f"{source}: {seconds:.2f} s → {done.frames} frames{where}", soft_wrap=True)
        if p50 is not None:
            out().print(f"from a hop's last sample sent to its codes received: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


async def _send_tokens(
    path: str, url: str, rate: int | None, output: str | None, realtime: bool, force: bool, json: bool,
    common: dict[str, Any],
) -> None:  # fmt: skip
    file = read_tokens(path)
    if output is None or output == "-":
        raise InputError(f"no output was named; give -o {Path(path).stem}.decoded.wav")
    floats = common["format"] == "f32le" and format_of(output).floats
    async with connect(url, "decode", sample_rate=rate, **common) as stream:
        ready = stream.ready
        if ready.codec_hash != file.codec_hash and not force:
            raise TokensError(
                f"{path} holds tokens of codec {shown(file.codec)} ({one_line(file.codec_hash[:12])}); "
                f"the server has {one_line(ready.codec)} ({one_line(ready.codec_hash[:12])}): "
                "ask another server, or --force to decode anyway"
            )
        check_target(output, stream.sample_rate, floats)
        stream.feed(_paced(file, ready.sample_rate / ready.hop if realtime else None))
        # Without the padding of the last hop, unless they are of another codec.
        same, frames = ready.codec_hash == file.codec_hash, file.codes.shape[1]
        seconds = file.seconds if same else frames * ready.hop / ready.sample_rate
        most = round(seconds * stream.sample_rate)
        with AudioWriter(output, stream.sample_rate, floats, most) as writer:
            async for part in stream:
                if isinstance(part, np.ndarray):
                    writer.write(part[: max(0, most - writer.count)] if same else part)
    seconds = writer.count / stream.sample_rate
    if json:
        print_json({
            "tokens": path, "audio": output, "codec": ready.codec, "codec_hash": ready.codec_hash,
            "status": "trained" if ready.trained else "untrained", "samples": writer.count, "seconds": seconds,
            "sample_rate": stream.sample_rate,
        })  # fmt: skip
    else:
        out().print(f"{output}: {seconds:.2f} s decoded by {one_line(ready.codec)} at {url}", soft_wrap=True)


async def _paced(file: TokenFile, frame_rate: float | None) -> AsyncIterator[Any]:
    """The codes of a token file, `FRAMES` at a time; if a rate is given, each frame when its sound is due."""
    pace = None if frame_rate is None else Pace(frame_rate)
    for start in range(0, file.codes.shape[1], FRAMES):
        if pace is not None:
            await pace.until(start)
        yield file.codes[:, start : start + FRAMES]
