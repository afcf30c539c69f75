"""``streamrvq info``: everything about a codec that follows from its configuration and weights, and what stored tokens
hold. Nothing is computed.

Knows: names and units of a codec's figures. Does not know: how they follow from a configuration (geometry/), stored
tokens (stored/facts.py).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..bench.steps import gflop_per_hop
from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..engine import engines_lacking
from ..families import decoder_plan, encoder_plan, family_of, tensor_shapes
from ..resampling import RESAMPLER
from ..train.runs import summary as training_run
from ..weights.hub import cached, name_of
from .common import (
    EngineOption,
    JsonOption,
    SeededOption,
    ThreadsOption,
    counted,
    identity,
    offer_presets,
    out,
    print_json,
    refuse_ignored,
    source_of,
    title,
)
from .hub.fetch import origin
from .screen.tables import print_table
from .stored.facts import described


def info(
    codec: Annotated[
        str,
        typer.Argument(
            help="A preset's name, owner/name on the Hub, or a file or folder of weights; or a token file, a shard, "
            "or the folder of a bulk or training run.",
            autocompletion=offer_presets,
        ),
    ] = DEFAULT_CODEC,
    seeded: SeededOption = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a codec is: rates, delays, state, cost. Or what stored tokens or a training run hold."""
    of_codecs = {"--seeded": seeded, "--engine": engine != "auto", "--threads": threads is not None}
    if training_run.is_run(codec):
        refuse_ignored(of_codecs, f"{codec}, which is the folder of a training run")
        facts = training_run.facts_of(codec)
        head, lines = f"training run {facts['run']}", training_run.lines_of(facts)
    elif (stored := described(codec)) is not None:
        refuse_ignored(of_codecs, f"{codec}, which holds tokens")
        head, facts, lines = stored
    else:
        opened = load(source_of(codec, seeded), engine, threads)
        facts = codec_facts(opened)
        head, lines = title(opened), _lines(facts)
    if json:
        print_json(facts)
        return
    # No box: a codec's hash has 64 characters, and with the longest name beside it a line of 80 is full.
    table = Table("", "", title=Text(head), show_header=False, title_style="bold", title_justify="left", box=None,
                  pad_edge=False)  # fmt: skip
    table.columns[0].no_wrap = True
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    print_table(out(), table)


def codec_facts(codec: Codec) -> dict[str, Any]:
    """A codec's figures under plain names, which include the unit where one is needed."""
    config, encoder, decoder = codec.config, encoder_plan(codec.config), decoder_plan(codec.config)
    kib = codec.dtype.itemsize / 1024
    shapes = tensor_shapes(config)
    low, high = encoder.receptive_field
    return {
        **identity(codec),
        "from": _from(codec),
        "training": codec.weights.training or None,
        "family": family_of(config).name,
        "frame_rate": codec.frame_rate,
        "n_codebooks": codec.n_codebooks,
        "codebook_size": config.codebook_size,
        "codebook_dim": config.codebook_dim,
        "latent_dim": config.latent_channels,
        "bitrate": codec.bitrate,
        "causal": encoder.causal,
        "first_hops": encoder.first,
        "decoder_first_hops": decoder.first,
        "delay_frames": codec.delay_frames,
        "delay_ms": 1e3 * codec.delay_frames / codec.frame_rate,
        "lookahead_samples": codec.lookahead_samples,
        "lookahead_ms": 1e3 * codec.lookahead_samples / codec.sample_rate,
        "receptive_field": [low, high],
        "decoder_delay_samples": codec.decoder_delay_samples,
        "decoder_delay_ms": 1e3 * codec.decoder_delay_samples / codec.sample_rate,
        "encoder_state_kib": encoder.state_size * kib,
        "decoder_state_kib": decoder.state_size * kib,
        "encoder_gflop_per_second": gflop_per_hop(config, "encode") * codec.frame_rate,
        "decoder_gflop_per_second": gflop_per_hop(config, "decode") * codec.frame_rate,
        "encoder_parameters": _count(shapes, encoder.tensor_names),
        "quantizer_parameters": _count(shapes, encoder.quantizer.tensor_names),
        "decoder_parameters": _count(shapes, decoder.tensor_names),
        "resampler": RESAMPLER,
        "engines_lack": {name: list(missing) for name, missing in engines_lacking(config).items()},
    }


def _from(codec: Codec) -> dict[str, Any] | None:
    """What is known of a codec from the Hub: its commit, its folder here, the licence that its card names."""
    name = None if codec.source is None else name_of(codec.source)
    found = None if name is None else cached(name)
    return None if found is None else origin(found)


def _count(shapes: dict[str, tuple[int, ...]], names: list[str]) -> int:
    return sum(math.prod(shapes[name]) for name in names)


def _status(f: dict[str, Any]) -> str:
    if not f["trained"]:
        return "untrained: its codes are exact, but mean nothing"
    return f"{f['status']}: {f['training']}" if f["training"] else str(f["status"])


def _lines(f: dict[str, Any]) -> list[tuple[str, str]]:
    low, high = f["receptive_field"]
    parts = ("encoder", "quantizer", "decoder")
    hop = f["hop_length"]
    sees = f"{hop}t {high:+d}" if low is None else f"{hop}t {low:+d} … {hop}t {high:+d}"
    first = counted(f["first_hops"], "hop"), counted(f["decoder_first_hops"], "frame")
    came = f["from"]
    return [
        *(() if came is None else (
            ("from", f"{came['repository']} on the Hugging Face Hub"), ("commit", came["commit"]),
            ("files", f"{came['bytes'] / 1e6:.1f} MB in the cache; --json says where"),
            ("licence", came["licence"] or "none named by its card"),
        )),
        ("family", f["family"]),
        ("weights", _status(f)),
        ("codec hash", f["codec_hash"]),
        ("sample rate", f"{f['sample_rate']} Hz"),
        ("hop", f"{f['hop_length']} samples, {f['frame_rate']:.3f} frames a second"),
        ("codebooks", f"{f['n_codebooks']} × {f['codebook_size']} entries × {f['codebook_dim']} dimensions"),
        ("bitrate", f"{f['bitrate'] / 1000:.3f} kbit/s"),
        ("padding", "causal" if f["causal"] else "symmetric"),
        ("encoder delay", f"{f['delay_frames']} frames, {f['delay_ms']:.1f} ms"),
        ("lookahead", f"{f['lookahead_samples']} samples, {f['lookahead_ms']:.1f} ms beyond the frame's own hop"),
        ("receptive field", f"frame t sees samples {'up to ' if low is None else ''}{sees}"),
        ("first step", f"at least {first[0]}, decoding {first[1]}, or the whole signal"),
        ("decoder delay", f"{f['decoder_delay_samples']} samples, {f['decoder_delay_ms']:.1f} ms"),
        ("state a stream", f"encoder {f['encoder_state_kib']:.0f} KiB, decoder {f['decoder_state_kib']:.0f} KiB"),
        ("GFLOP a second", ", ".join(f"{p} {f[f'{p}_gflop_per_second']:.1f}" for p in ("encoder", "decoder"))),
        ("parameters", ", ".join(f"{p} {f[f'{p}_parameters'] / 1e6:.2f} M" for p in parts)),
        ("engine", f["engine"]),
        *((f"{name} engine", f"lacks {', '.join(missing)}") for name, missing in f["engines_lack"].items()),
        ("resampler", f"{f['resampler']}, for audio at other rates"),
    ]  # fmt: skip
