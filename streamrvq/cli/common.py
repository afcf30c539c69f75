"""What the commands share: consoles, the options that choose a codec, and how a codec is named in the output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.text import Text

from ..audio.files import Truncated
from ..audio.rates import HIGHEST_RATE, LOWEST_RATE, check_rate
from ..codec import Codec
from ..config import PRESETS
from ..errors import InputError, StreamRVQError
from ..system.foreign_data import one_line, shown
from ..weights.load import with_weights

_HERTZ = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(k)?(?:hz)?", re.IGNORECASE | re.ASCII)
_MOST = 4000  #: characters of a message
_MOST_NUMBER = 65536  #: hops of a step or of a push, rows of a batch


def counted(number: int, noun: str) -> str:
    """A number and what it counts: "1 file", "2 files"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _offer(*words: str) -> Callable[[str], list[str]]:
    """What a shell's Tab key completes to. Where none of the words fits, shells offer the names of files."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


offer_presets = _offer(*PRESETS)
CodecArgument = Annotated[
    str,
    typer.Argument(
        help="A preset's name, owner/name on the Hub, or a file or folder of weights.", autocompletion=offer_presets
    ),
]
CodecOption = Annotated[
    str,
    typer.Option(
        "--codec",
        help="A preset's name, owner/name on the Hub, or a file or folder of weights.",
        autocompletion=offer_presets,
    ),
]
SeededOption = Annotated[
    bool, typer.Option("--seeded", help="Random weights in the shape of a preset; their codes mean nothing.")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", help="auto, native, torch or cuda.", autocompletion=_offer("auto", "native", "torch", "cuda")
    ),
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Cores to use. Default: the engine's choice.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="Where to compute: cuda, cuda:1. Default: the CPU, or as --engine says.")
]
TruncatedOption = Annotated[
    str,
    typer.Option(
        "--truncated",
        metavar="refuse|keep",
        help="What to do with audio that ends before its header says, or is damaged: refuse it, or keep what there is.",
    ),
]
TrackOption = Annotated[
    int | None, typer.Option("--track", help="Of several audio tracks, as a film has them, this one, from 0.")
]
RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="HZ", help="Sample rate, such as 48000 or 48k. Default: the codec's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]


class _Stdout(Console):
    """Says that it was stdout, if that could not be written to."""

    def print(self, *objects: Any, **how: Any) -> None:
        with writing_to_stdout():
            super().print(*objects, **how)


def out() -> Console:
    """A console on the present stdout, which tests replace. On a pipe it is wide enough for a table.

    It prints text as it is: a name like ``[/x]`` is no markup. ``COLUMNS`` is heeded everywhere.
    """
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 150
    return _Stdout(highlight=False, markup=False, emoji=False, width=width)


def err() -> Console:
    """A console on stderr, for progress and remarks. On a pipe each is one line, and on a terminal no word is cut."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stderr.isatty())


def source_of(codec: str, seeded: bool) -> str:
    """What `load` is to be given for a codec and ``--seeded``."""
    return os.fspath(with_weights(codec, "seeded" if seeded else None))


def print_words(console: Console, text: Text) -> None:
    """Print a text in lines of whole words: one that is longer than a line, such as a path, stays in one piece."""
    line = Text()
    for word in text.split(" "):
        if line and line.cell_len + 1 + word.cell_len > console.width:
            console.print(line, soft_wrap=True)
            line = Text()
        line = Text.assemble(line, " " if line else "", word)
    console.print(line, soft_wrap=True)


def _say(text: Text) -> None:
    """Print one sentence on stderr: one line, or on a terminal lines of whole words."""
    console = err()
    if console.soft_wrap:
        console.print(text)
    else:
        print_words(console, text)


def complain(error: object) -> int:
    """Print an error as one line on stderr, whatever it holds. Returns the exit code for it."""
    _say(Text.assemble(("streamrvq: error:", "bold red"), " ", one_line(error, _MOST)))
    return 2


def reason_of(error: BaseException) -> str:
    """An error in words. The system's own, of a full disk or of missing rights, says which file it is about."""
    if not isinstance(error, OSError) or isinstance(error, StreamRVQError):
        return str(error)
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror or error}{where}"


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """What fails inside says that stdout could not be written to. That a reader went away stays as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = "stdout"
        raise


def note(text: str) -> None:
    """Print a remark on stderr."""
    _say(Text(f"streamrvq: {one_line(text, _MOST)}"))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    with writing_to_stdout():
        json.dump(document, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")


def note_untrained(codec: Codec) -> None:
    """Warn on stderr if a codec is untrained, where stdout cannot say so."""
    if not codec.trained:
        note(f"{codec.name} is untrained: its codes are exact, but mean nothing")


def title(codec: Codec) -> str:
    """A codec's name for the head of a table."""
    return f"{codec.name}{'' if codec.trained else ' (untrained)'}"


def identity(codec: Codec) -> dict[str, Any]:
    """The fields that identify a codec in every JSON document."""
    return {
        "codec": codec.name,
        "codec_hash": codec.codec_hash,
        "trained": codec.trained,
        "status": "trained" if codec.trained else "untrained",
        "sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "engine": codec.engine.description,
    }


def refuse_ignored(options: dict[str, bool], what: str, instead: str = "") -> None:
    """Refuse options that would change nothing, rather than ignore them.

    Args:
        options: the name of each, and whether it was given.
        what: what it came with, and why it means nothing there.
        instead: what else to do than to leave it out.

    Raises:
        InputError: one was given.
    """
    given = [name for name, came in options.items() if came]
    if given:
        *others, last = given
        names, them = (f"{', '.join(others)} and {last}", "them") if others else (last, "it")
        rest = f", or {instead}" if instead else ""
        raise InputError(f"{names} came with {what}; leave {them} out{rest}")


def truncation(text: str) -> Truncated:
    """What ``--truncated`` says. Raises `InputError`."""
    if text == "refuse" or text == "keep":
        return cast(Truncated, text)
    raise InputError(f"--truncated is {shown(text)}; wanted refuse or keep")


def reading(truncated: str, track: int | None) -> dict[str, Any]:
    """``--truncated`` and ``--track`` as `open_audio` takes them. Raises `InputError`."""
    return {"truncated": truncation(truncated), "track": track}


def hertz(
    text: str | None, option: str = "--rate", lowest: int = LOWEST_RATE, highest: int = HIGHEST_RATE
) -> int | None:  # fmt: skip
    """Parse a sample rate: ``"48000"``, ``"48k"``, ``"44.1k"`` or ``"44.1 kHz"``. None stays None.

    Raises:
        InputError: it is none, or no sample rate of audio. The message names the option.
    """
    if text is None:
        return None
    found = _HERTZ.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{option} is {shown(text)}; wanted a sample rate in Hz, such as 48000, 48k or 44.1k")
    value = Fraction(found[1]) * (1000 if found[2] else 1)
    return check_rate(int(value) if value.denominator == 1 else float(value), option, lowest, highest)


def numbers(text: str, option: str) -> list[int]:
    """Parse ``"1,2,4"``: whole numbers from 1 to 65536. Raises an `InputError` that names the option."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise InputError(
            f"{option} is {shown(text)}; wanted whole numbers of at least 1 with commas between, such as 1,4,16"
        )
    if max(values) > _MOST_NUMBER:
        raise InputError(f"{option} is {shown(text)}; wanted whole numbers of at most {_MOST_NUMBER}")
    return values
