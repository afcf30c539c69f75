"""What the commands share: consoles, the options that every codec takes, and how a codec's name is printed."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ..codec import Codec
from ..errors import InputError

CodecOption = Annotated[str, typer.Option("--codec", help="A preset's name, or a file or folder of weights.")]
EngineOption = Annotated[str, typer.Option("--engine", help="auto, native or torch.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Cores to compute on. Default: the engine's choice.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]


def out() -> Console:
    """stdout, made when it is asked for: tests and pipes exchange it. A pipe is given room enough for a table."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 150)


def err() -> Console:
    """stderr: progress and remarks."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: object) -> int:
    """Print an error as one line on stderr; gives the exit code for it."""
    text = " ".join(str(error).split())
    err().print(f"[bold red]streamrvq: error:[/] {escape(text)}")
    return 2


def note(text: str) -> None:
    """Print a remark on stderr."""
    err().print(f"streamrvq: {escape(text)}")


def print_version(wanted: bool) -> None:
    """What ``--version`` does."""
    if wanted:
        from .. import __version__

        print(f"streamrvq {__version__}")
        raise typer.Exit()


def print_json(document: Any) -> None:
    """One document on stdout."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def note_untrained(codec: Codec) -> None:
    """Say so on stderr, where what goes to stdout is raw or has no room for it."""
    if not codec.trained:
        note(f"{codec.name} is untrained: its codes are exact, but mean nothing")


def title(codec: Codec) -> str:
    """A codec in a few words, for the head of a table."""
    return f"{codec.name}{'' if codec.trained else ' (untrained)'}"


def identity(codec: Codec) -> dict[str, Any]:
    """A codec as every JSON document names it."""
    return {
        "codec": codec.name,
        "codec_hash": codec.codec_hash,
        "trained": codec.trained,
        "status": "trained" if codec.trained else "untrained",
        "sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "engine": codec.engine.description,
    }


def numbers(text: str, option: str) -> list[int]:
    """``"1,2,4"`` as whole numbers of at least 1. Raises `InputError` naming the option."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise InputError(
            f"{option} is {text!r}; wanted whole numbers of at least 1 with commas between, such as 1,4,16"
        )
    return values
