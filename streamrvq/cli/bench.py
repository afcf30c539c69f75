"""``streamrvq bench``: the figures of streamrvq.bench as a table or as JSON.

Knows: options, tables. Does not know: how anything is measured (bench/).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.table import Table

from ..bench import HOPS, ROWS, LayerTime, Report, Timed, run_bench
from ..bench.stand_in import stand_in
from ..codec import Codec
from ..config import DEFAULT_CODEC
from ..engine.native import NativeEngine
from ..errors import InputError
from ..weights import load_weights
from .bench_bulk import bench_bulk
from .common import (
    CodecArgument,
    DeviceOption,
    EngineOption,
    JsonOption,
    SeededOption,
    ThreadsOption,
    err,
    identity,
    numbers,
    out,
    print_json,
    refuse_ignored,
    source_of,
    title,
)
from .encode_shards import device_list
from .screen.tables import print_table

_HOPS, _ROWS = ",".join(map(str, HOPS)), ",".join(map(str, ROWS))


def bench(
    codec: CodecArgument = DEFAULT_CODEC,
    seeded: SeededOption = False,
    hops: Annotated[str, typer.Option("--hops", help="Hops per step, with commas between.")] = _HOPS,
    batch: Annotated[str, typer.Option("--batch", help="Streams per step, with commas between.")] = _ROWS,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Measure the decoder too.")] = False,
    official: Annotated[
        bool,
        typer.Option(
            "--official/--no-official", help="Measure the official model of this shape, too; it runs offline."
        ),
    ] = True,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Wall time for each line of the table; slow steps take longer.")
    ] = 2.0,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also time each layer of the native engine, in the smallest step.")
    ] = False,
    paced: Annotated[
        bool,
        typer.Option("--paced", help="Pause between steps, as a live stream does; otherwise run them back to back."),
    ] = False,
    rounds: Annotated[int, typer.Option("--rounds", help="How many times everything is measured, in turn.")] = 3,
    corpus: Annotated[
        list[str] | None,
        typer.Option("--corpus", help="Instead measure `encode --shards` of these sources, beside the bare engine."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="With --corpus: processes. Default: as for encode.")
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    devices: Annotated[
        str | None,
        typer.Option("--devices", help="With --corpus: several devices, with commas between; workers take turns."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a codec's streaming steps beside this machine's limits and the official model."""
    codec = source_of(codec, seeded)
    if corpus:
        refuse_ignored(
            {
                "--engine": engine != "auto", "--threads": threads is not None, "--hops": hops != _HOPS,
                "--batch": batch != _ROWS, "--decode": decode, "--layers": layers, "--paced": paced,
                "--no-official": not official,
            },
            "--corpus, which measures whole runs of `encode --shards`",
            "leave --corpus out",
        )  # fmt: skip
        bench_bulk(codec, corpus, workers, device_list(device, devices), rounds, seconds, json)
        return
    if devices is not None:
        raise InputError("--devices goes with --corpus; wanted one --device")
    if workers is not None:
        raise InputError("--workers goes with --corpus; wanted --threads, or --corpus and what to encode")
    steps, rows = numbers(hops, "--hops"), numbers(batch, "--batch")
    opened = Codec(stand_in(load_weights(codec)), engine=engine, threads=threads, device=device)
    if layers and not isinstance(opened.engine, NativeEngine):
        raise InputError(
            f"--layers times the native engine, and this is {opened.engine.description}; leave it out, or give "
            "--engine native"
        )
    with nullcontext() if json else err().status("") as status:
        report = run_bench(
            opened, hops=steps, rows=rows, decode=decode, official=official, seconds=seconds, rounds=rounds,
            layers=layers, paced=paced,
            progress=None if status is None else status.update,
        )  # fmt: skip
    if json:
        print_json({**identity(opened), **_plain(report)})
    else:
        _print(opened, report)


def _plain(report: Report) -> dict[str, Any]:
    plain = dataclasses.asdict(report)
    for direction in ("encode", "decode"):
        for row, timed in zip(plain[direction], getattr(report, direction), strict=True):
            row["official_ratio"] = _ratio(report, timed)
    return plain


def _ratio(report: Report, timed: Timed) -> float | None:
    """How many times longer the official model takes for a second of one stream; None without the official model."""
    if report.official is None:
        return None
    rtf = report.official.rtf if timed.direction == "encode" else report.official.decode_rtf
    return None if rtf is None else rtf / timed.rtf_per_stream


def _print(codec: Codec, report: Report) -> None:
    console, machine = out(), report.machine
    full = "" if codec.trained else " · weights of full float32, as released ones are"
    console.print(f"{title(codec)} · {codec.engine.description}{full}", style="bold", markup=False)
    if machine is not None:
        load_gflops = machine.fed_gflops
        loaded = "" if load_gflops is None else f", {load_gflops:.0f} of numbers from a core's first cache"
        console.print(
            f"this machine, {machine.threads} threads: {machine.gflops:.0f} GFLOP/s (float32){loaded}; "
            f"{machine.gbytes:.1f} GB/s read", markup=False,
        )  # fmt: skip
    if report.official is None:
        console.print(f"official model: skipped ({report.official_skipped})", markup=False)
    else:
        rtf, back = report.official.rtf, report.official.decode_rtf
        decoding = "" if back is None else f", decoding {back:.3f}"
        console.print(
            f"official model, {report.official.name}, offline, {report.official.audio_seconds:.1f} s of audio: "
            f"RTF encoding {rtf:.3f}{decoding}", markup=False,
        )  # fmt: skip
    for direction, rows in (("encode", report.encode), ("decode", report.decode)):
        if rows:
            print_table(console, _table(direction, rows, report))
    if report.layers:
        print_table(console, _layers(report.layers))
    if report.paced:
        console.print("Steps as far apart as a live stream's.", style="dim")
    console.print("RTF: median step time ÷ audio time of its hops; below 1, all its streams are live.", style="dim")


def _layers(layers: Sequence[LayerTime]) -> Table:
    table = Table("layer", "shape", "µs", "GFLOP/s", "weights GB/s", title="layers, least times", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in layers:
        rates = (f"{row.gflops:.0f}", f"{row.gbytes:.1f}") if row.gflops else ("", "")
        table.add_row(f"{row.direction} {row.name}", row.shape, f"{row.microseconds:.1f}", *rates)
    return table


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _table(direction: str, rows: Sequence[Timed], report: Report) -> Table:
    heads = (
        *("streams", "hops", "steps", "p50 ms", "p99 ms", "RTF", "RTF a stream"),
        *("GFLOP/s", "of peak", "weights GB/s", "of read", "of roofline", "× official"),
    )
    table = Table(*heads, title=direction, title_justify="left")
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        ratio = _ratio(report, row)
        table.add_row(
            str(row.rows), str(row.hops), str(row.steps), f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.rtf:.3f}",
            f"{row.rtf_per_stream:.3f}", f"{row.gflops:.1f}", _share(row.peak_share), f"{row.weights_gbytes:.1f}",
            _share(row.bandwidth_share), _share(row.roofline_share), "–" if ratio is None else f"{ratio:.2f}",
        )  # fmt: skip
    return table
