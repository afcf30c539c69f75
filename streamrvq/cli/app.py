"""The list of commands. Knows: their names, and what they have in common: ``-h``, completion in shells, quiet ends.

Does not know: what they do; each has a file of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..system.interrupts import exit_at_once_on_interrupts
from . import bench, check, convert, decode, devices, encode, info, mic, play, send, serve, train
from .common import print_version
from .hub import fetch

app = typer.Typer(
    name="streamrvq",
    help="Live audio to discrete tokens and back, exactly.",
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _quiet(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an interrupt and a broken pipe into their exit codes, before typer handles them in its own way."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            exit_at_once_on_interrupts()
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise typer.Exit(141) from None

    return run


for _command in (encode.encode, decode.decode, play.play, mic.mic, devices.devices, serve.serve, send.send, info.info,
                 check.check, convert.convert, fetch.fetch, bench.bench, train.train):  # fmt: skip
    app.command(_command.__name__)(_quiet(_command))

#: What runs a command line. Made once: it reads the annotations of every command, which takes 60 ms.
commands = typer.main.get_command(app)
