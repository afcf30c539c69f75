"""The list of commands. Knows: their names and modules, and what they have in common: ``-h``, completion, quiet ends.

A command's module is imported when the command is looked up: all of them, with what each imports, take as long as a
short file takes to encode.

Does not know: what they do; each has a file of its own.
"""

from __future__ import annotations

import functools
import importlib
from collections import UserDict
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..system.interrupts import exit_at_once_on_interrupts

#: Each command, in the order of --help, and the module with its function of the same name.
_MODULES = {
    "encode": ".encode",
    "decode": ".decode",
    "play": ".play",
    "mic": ".mic",
    "devices": ".devices",
    "serve": ".serve",
    "send": ".send",
    "info": ".info",
    "check": ".check",
    "convert": ".convert",
    "fetch": ".hub.fetch",
    "bench": ".bench",
    "train": ".train",
}


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


class _Commands(UserDict[str, Any]):
    """typer's commands by name; the value is None until it is asked for."""

    def __getitem__(self, name: str) -> Any:
        command = super().__getitem__(name)
        if command is None:
            function = getattr(importlib.import_module(_MODULES[name], __package__), name)
            only = typer.Typer(add_completion=False)
            only.command(name)(_quiet(function))
            command = self[name] = typer.main.get_command(only)
        return command


class _Group(TyperGroup):
    """All commands; to list their names imports none."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands(dict.fromkeys(_MODULES))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULES)


app = typer.Typer(
    name="streamrvq",
    cls=_Group,
    help="Live audio to discrete tokens and back, exactly.",
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"streamrvq {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


#: What runs a command line.
commands: Any = typer.main.get_command(app)


def import_command(arguments: Sequence[str]) -> None:
    """Import the module of the command that a command line names, if it names one."""
    for argument in arguments:
        if argument in _MODULES:
            importlib.import_module(_MODULES[argument], __package__)
            return
