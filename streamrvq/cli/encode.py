"""``streamrvq encode``: audio files and folders to token files.

With ``--shards`` it writes one corpus (encode_shards.py). With ``-`` it reads raw samples from stdin and writes JSON
lines (pipes.py).

Knows: which files there are, where their tokens go, how to continue after a bad file. Does not know: the formats of
audio and tokens.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..audio.find import audio_in
from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..corpus.encoding.encoder import Coded, Encoder, Read
from ..corpus.encoding.open import open_encoder
from ..corpus.encoding.reading import Closed, Done, Failed, Opened, Task
from ..errors import InputError, StreamRVQError, TokensError
from ..resampling import resampler_between
from ..tokens import TokenFile, read_tokens
from .common import (
    CodecOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    ThreadsOption,
    complain,
    identity,
    out,
    print_json,
    title,
)  # fmt: skip
from .encode_shards import PackOption, bytes_of, channel_policy, device_list, encode_shards
from .pipes import encode_stdin
from .progress import AudioProgress
from .stored.dac_files import store


def encode(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Audio files or folders, or - for raw samples on stdin. With --shards also globs, and manifests in "
            ".jsonl, .csv, .tsv or .parquet with a column of paths."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="A folder, or for one file a .safetensors name. Default: beside the audio."
        ),
    ] = None,
    codec: CodecOption = DEFAULT_CODEC,
    n_quantizers: Annotated[int | None, typer.Option("--n-quantizers", help="Levels. Default: all.")] = None,
    tail: Annotated[
        str, typer.Option("--tail", help="pad: fill the last hop with zeros; valid: only frames that need no padding.")
    ] = "pad",
    downmix: Annotated[
        bool, typer.Option("--downmix", help="Take the mean of several channels, which are refused otherwise.")
    ] = False,
    rate: Annotated[int | None, typer.Option("--rate", help="With -: sample rate in Hz. Default: the codec's.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="With -: s16le (default), f32le, mulaw or alaw, one channel.")
    ] = None,
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
            "--workers", help="With --shards: processes, with --threads 1 each. Default: one per core, or per device."
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
    """Audio to tokens: files or folders to .safetensors or to shards, or a pipe of raw samples to JSON lines."""
    if shards is not None:
        if "-" in sources or output is not None or rate is not None or format is not None:
            raise InputError(
                "--shards goes without -, -o, --rate and --format: it reads files and writes to its folder"
            )
        encode_shards(
            sources, shards, codec, json, engine=engine, n_quantizers=n_quantizers, tail=tail,
            channels=channel_policy(downmix, each_channel), segment_seconds=600.0 if segment is None else segment,
            shard_bytes=bytes_of(shard_mib), pack=pack, workers=workers, threads=threads or 1,
            devices=device_list(device, devices), readers=readers, ray=ray, retry_failed=retry_failed,
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
        if len(sources) > 1 or output is not None or downmix or readers is not None:
            raise InputError(
                "- goes alone, without -o, --downmix and --readers; it reads one channel and writes JSON lines to "
                "stdout"
            )
        encode_stdin(load(codec, engine, threads, device=device), rate, format or "s16le", n_quantizers, tail)
        return
    if rate is not None or format is not None:
        raise InputError("--rate and --format go with -, raw samples on stdin; a file says its own")
    jobs, failures = _plan(sources, output)
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
        for number, tokens in _encoded(encoder, jobs, n_quantizers, tail, downmix, progress):
            try:
                ends[number] = _write(jobs[number], tokens, downmix)
            except (StreamRVQError, OSError) as error:
                ends[number] = {"source": str(jobs[number].source), "error": str(error)}
                progress.print_error(error)
        for _, end in sorted(ends.items()):
            (failures if "error" in end else done).append(end)
        speed = progress.speed
    if json:
        print_json({**identity(opened), "speed": speed, "files": done, "failed": failures})
    elif done or len(failures) > 1:
        seconds = sum(item["seconds"] for item in done)
        rest = f", {len(failures)} failed" if failures else ""
        where = f" → {done[0]['tokens']}" if len(done) == 1 else ""
        out().print(
            f"{len(done)} encoded{rest}: {seconds:.1f} s of audio at {speed:.1f} s a second, {title(opened)}{where}",
            soft_wrap=True,
        )
    if failures:
        raise typer.Exit(2)


def _write(job: _Job, tokens: TokenFile | Exception, downmix: bool) -> dict[str, Any]:
    """Write a file's tokens, and say what they are. Raises what it was given, or that they cannot be written."""
    if isinstance(tokens, Exception):
        raise tokens
    job.target.parent.mkdir(parents=True, exist_ok=True)
    store(job.source, job.target, tokens, downmix)
    return {
        "source": str(job.source), "tokens": str(job.target), "frames": tokens.codes.shape[1],
        "n_quantizers": tokens.codes.shape[0], "seconds": tokens.seconds, "source_rate": tokens.source_rate,
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Job:
    """A file to encode, and where its tokens go."""

    source: Path
    target: Path


def _plan(sources: list[str], output: Path | None) -> tuple[list[_Job], list[dict[str, str]]]:
    """The files to encode with their targets, and those that cannot be: two share a target, or it holds no tokens."""
    single = output is not None and output.suffix in (".safetensors", ".dac")
    if single and (len(sources) > 1 or os.path.isdir(sources[0])):
        raise InputError(f"-o {output} is one file; wanted a folder for several sources")
    taken: dict[Path, Path] = {}
    jobs, failures = [], []
    for source, relative in _audio_files(sources):
        target = source.with_suffix(".safetensors") if output is None else output / relative.with_suffix(".safetensors")
        if single and output is not None:
            target = output
        other = taken.setdefault(target, source)
        if other is not source:
            error = f"{source} and {other} would both be written to {target}; rename one, or give each a folder with -o"
        elif os.path.exists(target) and not _is_token_file(target):
            error = f"{target} is there already and holds no tokens; move it away, or choose another folder with -o"
        else:
            jobs.append(_Job(source, target))
            continue
        failures.append({"source": str(source), "error": error})
    return jobs, failures


def _is_token_file(path: Path) -> bool:
    try:
        read_tokens(path)
    except TokensError:
        return False
    return True


def _audio_files(sources: list[str]) -> list[tuple[Path, Path]]:
    """Every audio file, with the relative path that it gets under -o."""
    found: list[tuple[Path, Path]] = []
    for text in sources:
        source = Path(text)
        if not os.path.isdir(source):  # unlike Path's, it takes a name that is too long
            found.append((source, Path(source.name)))
            continue
        inside = audio_in(source)
        found += [(path, path.relative_to(source)) for path in inside]
    return found


class _Tokens:
    """What has come of a file so far."""

    def __init__(self, codec: Codec, levels: int | None, tail: str) -> None:
        self._codec, self._tail = codec, tail
        self.parts = [np.zeros((levels or codec.n_codebooks, 0), np.uint16)]
        self.rate, self.position = codec.sample_rate, 0

    def whole(self) -> TokenFile:
        """All of it."""
        codec = self._codec
        return TokenFile(
            codes=np.concatenate(self.parts, axis=1), codec=codec.name, codec_hash=codec.codec_hash,
            trained=codec.trained, sample_rate=codec.sample_rate, hop_length=codec.hop_length, source_rate=self.rate,
            num_samples=self.position, tail=self._tail, resampler=resampler_between(self.rate, codec.sample_rate),
        )  # fmt: skip


def _encoded(
    encoder: Encoder, jobs: list[_Job], levels: int | None, tail: str, downmix: bool, progress: AudioProgress
) -> Iterator[tuple[int, TokenFile | Exception]]:
    """Each job's number with its tokens, or why there are none, as it is done: several may be encoded at once."""
    begun: dict[int, _Tokens] = {}
    latest = -1  # the job that the bar shows
    tasks = (Task(str(job.source), "mean" if downmix else "one") for job in jobs)
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
