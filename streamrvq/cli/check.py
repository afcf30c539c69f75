"""``streamrvq check``: a file's codes in chunks of many sizes, compared with the codes of the whole file.

A file at another rate than the codec's is checked twice: resampled first, and by live streams that resample.

Exit code 1 means that some chunking changed the codes, or with --decode the samples by more than rounding. Knows:
options, tables. Does not know: how codes are compared (checking/).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..audio.files import open_audio
from ..audio.pcm import Pcm
from ..audio.rates import samples_in
from ..checking.near_ties import NEAR_TIE
from ..checking.rates import check_chunkings_at, check_decoding_at
from ..checking.table import FRAME_SIZES, SIZES, Chunk, DecodeRow, Row, check_chunkings, check_decoding
from ..codec import Codec, load
from ..errors import InputError
from ..families import encoder_plan
from ..geometry import Distance
from ..resampling import resample_rows
from ..system.foreign_data import shown
from .common import (
    CodecArgument,
    DeviceOption,
    EngineOption,
    JsonOption,
    SeededOption,
    ThreadsOption,
    TrackOption,
    TruncatedOption,
    err,
    hertz,
    identity,
    out,
    print_json,
    reading,
    source_of,
    title,
)
from .screen.tables import print_table

#: What the columns mean, and how near an entry is in the quantiser's terms.
_LEGEND = (
    "A frame differs if one of its codes does. Latent difference: the largest, before the codes are chosen.",
    "Gap: between the float64 {scores} of the two codes where a frame first differs. Within {near_tie:g}, it is a "
    "near-tie.",
    "Margin: between the float64 {scores} of the two best entries there.",
)
_SCORES = {
    Distance.COSINE: "cosines",
    Distance.EUCLIDEAN: "squared distances, as shares of the squares of latent and nearest entry,",
}


def check(
    codec: CodecArgument,
    file: Annotated[str, typer.Argument(help="An audio file; several channels are mixed down.")],
    seeded: SeededOption = False,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How much of the file to use, from its start; inf: all of it.")
    ] = 10.0,
    chunks: Annotated[
        str, typer.Option("--chunks", help="Samples per chunk, with commas between; random: chunks of many sizes.")
    ] = ",".join(map(str, SIZES)),
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="HZ",
            help="Also check streams that resample from this rate, such as 48000 or 48k. Default: the file's.",
        ),
    ] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Also decode in chunks, and compare the samples.")] = False,
    tail: Annotated[
        str, typer.Option("--tail", help="pad: fill the last hop with zeros; valid: only frames that need no padding.")
    ] = "pad",
    truncated: TruncatedOption = "refuse",
    track: TrackOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Encode a file whole and in chunks of many sizes, and count the codes that differ.

    Exit code 1: some do, or with --decode some samples.
    """
    sizes = _sizes(chunks)
    if not seconds > 0:
        raise InputError(f"--seconds is {seconds:g}; wanted more than 0")
    named, how = hertz(rate), reading(truncated, track)
    opened = load(source_of(codec, seeded), engine, threads, device=device)
    opened.stream(tail=tail)  # raises for a bad tail before anything is computed
    own, own_rate = read_signal(file, seconds, **how)
    pcm, at = _moved(own, own_rate, opened.sample_rate), named or own_rate
    with err().status("") as status:
        rows = check_chunkings(opened, pcm, sizes, tail=tail, progress=status.update)
        if at != opened.sample_rate:
            signal = _moved(own, own_rate, at)
            rows += check_chunkings_at(opened, signal, at, sizes, tail=tail, progress=status.update)
        decoded: list[DecodeRow] = []
        if decode:
            status.update("decoding")
            codes = opened.encode(pcm, tail=tail)
            decoded = check_decoding(opened, codes, FRAME_SIZES)
            if at != opened.sample_rate:
                decoded += check_decoding_at(opened, codes, at, FRAME_SIZES)
    passed = all(row.passed for row in rows) and all(row.passed for row in decoded)
    if json:
        print_json({
            **identity(opened), "file": file, "seconds": len(pcm) / opened.sample_rate, "near_tie": NEAR_TIE,
            "passed": passed,
            "rows": [_plain(row) for row in rows], "decode_rows": [_plain_decoded(row) for row in decoded],
        })  # fmt: skip
    else:
        _print(opened, file, len(pcm) / opened.sample_rate, rows, decoded)
    if not passed:
        raise typer.Exit(1)


def read_signal(file: str, seconds: float, **how: Any) -> tuple[Pcm, int]:
    """The first ``seconds`` of a file as mono samples ``[n]``, and their rate in Hz; ``how`` as `open_audio` takes it.

    Raises `AudioFileError`.
    """
    with open_audio(file, downmix=True, **how) as audio:
        return audio.read(max(1, samples_in(seconds, audio.sample_rate))), audio.sample_rate


def _moved(pcm: Pcm, rate: int, wanted: int) -> Pcm:
    """``[n]`` at ``rate``, as samples at another."""
    moved: Pcm = resample_rows(pcm[None], rate, wanted)[0]
    return moved


def _sizes(chunks: str) -> list[Chunk]:
    sizes: list[Chunk] = []
    for part in (part.strip() for part in chunks.split(",")):
        if part != "random" and not (part.isascii() and part.isdigit() and len(part) < 16 and int(part)):
            raise InputError(
                f"--chunks has {shown(part)}; wanted whole numbers of at least 1, or 'random', with commas between"
            )
        sizes.append(part if part == "random" else int(part))
    return sizes


def _plain(row: Row) -> dict[str, Any]:
    plain = dataclasses.asdict(row)
    return {**plain.pop("comparison"), **plain, "passed": row.passed}


def _plain_decoded(row: DecodeRow) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "passed": row.passed}


def _result(row: DecodeRow) -> str | Text:
    if row.passed:
        return "rounding" if row.difference else "equal"
    return Text("DIFFERENT", "red")


def _print(codec: Codec, file: str, seconds: float, rows: Sequence[Row], decoded: Sequence[DecodeRow]) -> None:
    console = out()
    console.print(f"{title(codec)} · {codec.engine.description} · {file}, {seconds:.2f} s", markup=False, style="bold")
    rates = {codec.sample_rate} != {row.sample_rate for row in rows}
    table = Table(*(["Hz"] if rates else []), "chunk", "pushes", "frames", "differing codes", "differing frames",
                  "near-ties", "latent difference", "smallest margin", "largest gap", "result")  # fmt: skip
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in rows:
        found = row.comparison
        differs = not found.equal
        table.add_row(
            *([str(row.sample_rate)] if rates else []), str(row.chunks), str(row.pushes), str(found.frames),
            str(found.differing_codes), str(found.differing_frames), str(found.near_ties),
            *("–" if value is None else f"{value:.2g}" for value in (row.latent_difference, row.smallest_margin)),
            f"{found.largest_gap:.2g}" if differs and found.largest_gap is not None else "–",
            "equal" if not differs else "near-ties" if row.passed else Text("DIFFERENT", "red"),
        )  # fmt: skip
    print_table(console, table)
    if decoded:
        table = Table(*(["Hz"] if rates else []), "frames a chunk", "pushes", "samples", "largest sample difference",
                      "allowed", "result", title="decoding")  # fmt: skip
        for decoded_row in decoded:
            table.add_row(
                *([str(decoded_row.sample_rate)] if rates else []),
                str(decoded_row.chunks),
                str(decoded_row.pushes),
                str(decoded_row.samples),
                f"{decoded_row.difference:.2g}",
                f"{decoded_row.allowed:.2g}",
                _result(decoded_row),
            )
        print_table(console, table)
    if rates:
        console.print("Streams at another rate were parked once on the way, as bytes.", style="dim")
    scores = _SCORES[encoder_plan(codec.config).quantizer.distance]
    for line in _LEGEND:
        console.print(line.format(scores=scores, near_tie=NEAR_TIE), style="dim")
