"""``streamrvq encode``: audio files and folders to token files.

With ``--shards`` it writes one corpus (encode_shards.py). With ``-`` it reads raw samples from stdin and writes JSON
lines (pipes.py).

Knows: which files there are, where their tokens go, how to continue after a bad file. Does not know: the formats of
audio and tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.find import PassedOver, sentence
from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..corpus.encoding.encoder import Coded, Encoder, Read
from ..corpus.encoding.open import open_encoder
from ..corpus.encoding.reading import Closed, Done, Failed, Opened, Task
from ..errors import InputError, StreamRVQError
from ..tokens import TokenFile
from .common import (
    CodecOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    SeededOption,
    ThreadsOption,
    TrackOption,
    TruncatedOption,
    complain,
    hertz,
    identity,
    note,
    out,
    print_json,
    reading,
    reason_of,
    source_of,
    title,
    truncation,
)  # fmt: skip
from .encode_shards import PackOption, bytes_of, channel_policy, device_list, encode_shards
from .pipes import encode_stdin
from .progress import AudioProgress
from .sources import RawOption, audio_files, open_stdin, raw_option
from .stored.dac_files import store
from .stored.targets import Job, is_one_file, plan, token_file_of_stream
from .stored.token_writer import empty_tokens


def encode(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Audio files or folders, or - for stdin: a container, or else raw samples. With --shards also globs, "
            "and manifests in .jsonl, .csv, .tsv or .parquet with a column of paths."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A folder; or for one file, or -, a name with a suffix, such as x.safetensors. Default: beside the "
            "audio.",
        ),
    ] = None,
    codec: CodecOption = DEFAULT_CODEC,
    seeded: SeededOption = False,
    n_quantizers: Annotated[int | None, typer.Option("--n-quantizers", help="Levels. Default: all.")] = None,
    tail: Annotated[
        str, typer.Option("--tail", help="pad: fill the last hop with zeros; valid: only frames that need no padding.")
    ] = "pad",
    downmix: Annotated[
        bool, typer.Option("--downmix", help="Take the mean of several channels, which are refused otherwise.")
    ] = False,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="HZ", help="With -: sample rate, such as 48000 or 48k. Default: the codec's."),
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="With -: s16le (default), f32le, mulaw or alaw, one channel.")
    ] = None,
    raw: RawOption = None,
    truncated: TruncatedOption = "refuse",
    track: TrackOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    readers: Annotated[
        int | None,
        typer.Option(
            "--readers",
            help="Processes that read files ahead, 0: none. Default: as many as an engine needs that encodes many "
            "files at once.",
        ),
    ] = None,
    json: JsonOption = False,
    shards: Annotated[
        Path | None,
        typer.Option("--shards", help="A folder for Parquet shards of all sources. Repeat the command to continue."),
    ] = None,
    each_channel: Annotated[
        bool, typer.Option("--each-channel", help="With --shards: encode each channel as a signal of its own.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="With --shards: processes, with --threads 1 each. Default: one per core, or up to three per device.",
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option("--devices", help="With --shards: several devices, with commas between; workers take turns."),
    ] = None,
    segment: Annotated[
        float | None, typer.Option("--segment", help="With --shards: at most this many seconds per row. Default: 600.")
    ] = None,
    shard_mib: Annotated[
        float | None,
        typer.Option(
            "--shard-mib", help="With --shards: MiB of audio files per shard. Default: from their total, at most 128."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="With --shards: run on a Ray cluster; auto: the one of this machine; local: a new one.",
        ),
    ] = None,
    pack: PackOption = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --shards: retry the files that failed before.")
    ] = False,
) -> None:
    """Audio to tokens: files or folders to .safetensors or to shards, or a pipe to JSON lines."""
    codec = source_of(codec, seeded)
    if shards is not None:
        if "-" in sources or output is not None or any(given is not None for given in (rate, format, raw)):
            raise InputError(
                "--shards goes without -, -o, --rate, --format and --raw: it reads files and writes to its folder"
            )
        encode_shards(
            sources, shards, codec, json, engine=engine, n_quantizers=n_quantizers, tail=tail,
            channels=channel_policy(downmix, each_channel), segment_seconds=600.0 if segment is None else segment,
            shard_bytes=bytes_of(shard_mib), pack=pack, workers=workers, threads=1 if threads is None else threads,
            devices=device_list(device, devices), readers=readers, ray=ray, retry_failed=retry_failed,
            **reading(truncated, track),
        )  # fmt: skip
        return
    if (
        each_channel
        or retry_failed
        or pack
        or any(given is not None for given in (workers, devices, segment, shard_mib, ray))
    ):
        raise InputError(
            "--each-channel, --workers, --devices, --segment, --shard-mib, --pack, --ray and --retry-failed go with "
            "--shards FOLDER"
        )
    if "-" in sources:
        if len(sources) > 1 or readers is not None:
            raise InputError("- goes alone, and without --readers")
        if output is None and json:
            raise InputError("- writes JSON lines to stdout; leave --json out, or name a token file with -o")
        target = None if output is None else token_file_of_stream(output)
        how = {"downmix": downmix, **reading(truncated, track)}
        said = hertz(rate), format, raw_option(raw)
        opened = load(codec, engine, threads, device=device)  # first, for stdin may be slow to come
        with closing(open_stdin(*said, **how)) as source:
            stored = encode_stdin(opened, source, n_quantizers, tail, target)
        if stored is not None and json:
            print_json({**identity(opened), "files": [stored], "failed": []})
        elif stored is not None:
            out().print(f"{stored['seconds']:.1f} s of audio encoded, {title(opened)} → {output}", soft_wrap=True)
        return
    if rate is not None or format is not None or raw is not None:
        raise InputError("--rate and --format go with -, and so does --raw: a file says its own")
    passed: list[PassedOver] = []
    task = Task("", "mean" if downmix else "one", truncation(truncated), track, pipes=True)
    one_file = is_one_file(output, sources)
    jobs, failures = plan(audio_files(sources, passed), output, one_file)
    opened = load(codec, engine, threads, device=device)
    opened.stream(n_quantizers=n_quantizers, tail=tail)  # raises once for a bad setting, rather than for each file
    done: list[dict[str, Any]] = []
    for failure in failures:
        complain(failure["error"])
    with (
        AudioProgress(len(jobs), show=not json) as progress,
        open_encoder(opened, n_quantizers, tail, readers) as encoder,
    ):
        ends = dict[int, dict[str, Any]]()
        for number, tokens in _encoded(encoder, jobs, n_quantizers, tail, task, progress):
            try:
                ends[number] = _write(jobs[number], tokens, task)
            except (StreamRVQError, OSError) as error:
                ends[number] = {"source": str(jobs[number].source), "error": reason_of(error)}
                progress.print_error(reason_of(error))
        for _, end in sorted(ends.items()):
            (failures if "error" in end else done).append(end)
        speed = progress.speed
    if json:
        print_json(
            {
                **identity(opened),
                "speed": speed,
                "files": done,
                "failed": failures,
                "passed_over": list(map(dataclasses.asdict, passed)),
            }
        )
    elif done or len(failures) > 1:
        seconds = sum(item["seconds"] for item in done)
        rest = f", {len(failures)} failed" if failures else ""
        where = f" → {done[0]['tokens']}" if len(done) == 1 else ""
        out().print(
            f"{len(done)} encoded{rest}: {seconds:.1f} s of audio at {speed:.1f} s a second, {title(opened)}{where}",
            soft_wrap=True,
        )
    if passed:
        note(sentence(passed))
    if failures:
        raise typer.Exit(2)


def _write(job: Job, tokens: TokenFile | Exception, task: Task) -> dict[str, Any]:
    """Write a file's tokens, and say what they are. Raises what it was given, or that they cannot be written."""
    if isinstance(tokens, Exception):
        raise tokens
    job.target.parent.mkdir(parents=True, exist_ok=True)
    store(job.source, job.target, tokens, task)
    return {
        "source": str(job.source), "tokens": str(job.target), "frames": tokens.codes.shape[1],
        "n_quantizers": tokens.codes.shape[0], "seconds": tokens.seconds, "source_rate": tokens.source_rate,
    }  # fmt: skip


class _Tokens:
    """What has come of a file so far."""

    def __init__(self, codec: Codec, levels: int | None, tail: str) -> None:
        self._codec, self._tail = codec, tail
        self.parts = [np.zeros((levels or codec.n_codebooks, 0), np.uint16)]
        self.rate, self.position = codec.sample_rate, 0

    def whole(self) -> TokenFile:
        """All of it."""
        empty = empty_tokens(self._codec, self.rate, None, self._tail)
        return dataclasses.replace(empty, codes=np.concatenate(self.parts, axis=1), num_samples=self.position)


def _encoded(
    encoder: Encoder, jobs: list[Job], levels: int | None, tail: str, task: Task, progress: AudioProgress
) -> Iterator[tuple[int, TokenFile | Exception]]:
    """Each job's number with its tokens, or why there are none, as it is done: several may be encoded at once."""
    begun: dict[int, _Tokens] = {}
    latest = -1  # the job that the bar shows
    tasks = (task._replace(file=str(job.source)) for job in jobs)
    for number, item in encoder.run(enumerate(tasks)):
        file = begun.setdefault(number, _Tokens(encoder.codec, levels, tail))
        match item:
            case Opened(_, rate, _, samples):
                file.rate, latest = rate, number
                progress.begin(jobs[number].source.name, samples / rate)
            case Coded(codes, _):
                file.parts.append(codes)
            case Read(position) | Closed(position):
                progress.advance((position - file.position) / file.rate, shown=number == latest)
                file.position = position
            case Failed(error):
                del begun[number]
                yield number, error
            case Done():
                yield number, begun.pop(number).whole()
