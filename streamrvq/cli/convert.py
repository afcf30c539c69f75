"""``streamrvq convert``: weights from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from ..errors import WeightsError
from ..weights import load_weights, save_weights
from ..weights.load import SUFFIXES, Layout
from .common import JsonOption, SeededOption, note, out, print_json, source_of


def convert(
    source: Annotated[
        str, typer.Argument(help="A preset's name, a .safetensors or .pth file, or a Hugging Face folder.")
    ],
    target: Annotated[Path, typer.Argument(help="A .safetensors or .pth file, or a folder.")],
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="streamrvq, descript or huggingface. Default: as the target's name says."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store float16 where that changes no value.")] = False,
    seeded: SeededOption = False,
    json: JsonOption = False,
) -> None:
    """Write weights in another layout; the codec hash stays, unless a note says otherwise."""
    if layout not in (None, *get_args(Layout)):
        raise WeightsError(f"layout is {layout!r}; wanted one of {', '.join(get_args(Layout))}")
    wanted = [suffix for suffix, of in SUFFIXES.items() if of == layout]
    if wanted and target.suffix.lower() not in wanted:
        raise WeightsError(
            f"{target} would hold layout {layout}, which is read only from a name in {' or '.join(wanted)}: rename it"
        )
    weights = load_weights(source_of(source, seeded))
    save_weights(weights, target, layout, half)  # type: ignore[arg-type]  # checked above
    # Reading the file again checks the conversion. Weight norm (.pth) may change a weight by one unit in the last
    # place, and with it the codec hash. The user is told, because tokens are valid for one hash only.
    written = load_weights(target)
    same = written.codec_hash == weights.codec_hash
    if json:
        print_json({
            "source": source, "target": str(target), "codec": written.name, "codec_hash": written.codec_hash,
            "source_codec_hash": weights.codec_hash, "trained": written.trained,
            "status": "trained" if written.trained else "untrained",
        })  # fmt: skip
        return
    out().print(f"{target}: {written.name}{'' if written.trained else ' (untrained)'}, codec {written.codec_hash[:12]}")
    if not same:
        note(f"the codec hash was {weights.codec_hash[:12]} before: this layout splits weights, which rounds some")
