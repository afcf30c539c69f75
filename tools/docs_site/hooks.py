"""What the documentation takes from the code whenever it is built, so that it cannot go stale.

mkdocs calls `on_page_markdown` for every page. A page has a line ``<!-- commands -->``, ``<!-- errors -->`` or
``<!-- close codes -->`` where the command line's reference, the tree of exceptions, or the protocol's table of close
codes is to stand.

Knows: typer's commands, the tree in streamrvq.errors, PROTOCOL.md. Does not know: the other pages.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import streamrvq.errors
from streamrvq.cli.app import commands as command_line

PROTOCOL = Path(streamrvq.errors.__file__).parent / "live" / "protocol" / "PROTOCOL.md"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text with what the code says put in."""
    for name, text in (("commands", commands), ("errors", errors), ("close codes", close_codes)):
        mark = f"<!-- {name} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(text()))
    return markdown


def commands() -> Iterator[str]:
    """Every command: its usage, what it does, and a table of its arguments and options."""
    for name, command in command_line.commands.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        yield f"## {name}\n"
        yield inspect.cleandoc(command.help or "") + "\n"
        words = [_argument(p) for p in arguments]
        yield f"```text\nstreamrvq {name} {' '.join([*(['[OPTIONS]'] if options else []), *words])}\n```\n"
        yield "| argument or option | type | |\n| --- | --- | --- |"
        for parameter in arguments:
            yield _row(f"`{_argument(parameter)}`", parameter)
        for parameter in options:
            yield _row(", ".join(f"`{o}`" for o in [*parameter.opts, *parameter.secondary_opts]), parameter)
        yield ""


def _argument(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    name = f"{parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}"
    return name if parameter.required else f"[{name}]"


def _row(name: str, parameter: Any) -> str:
    help = (getattr(parameter, "help", None) or "").replace("\\[", "[").replace("|", "\\|")
    default = parameter.default
    shown = default not in (None, False, True, "") and not isinstance(default, list) and not parameter.required
    notes = [help, f"Default: `{default}`." if shown else "", "Required." if parameter.required else ""]
    return f"| {name} | {_kind(parameter)} | {' '.join(note for note in notes if note)} |"


def _kind(parameter: Any) -> str:
    if parameter.param_type_name == "argument" or getattr(parameter, "is_flag", False):
        return ""
    annotation = parameter.type_descriptor.annotation
    kind = annotation.__args__[0] if getattr(annotation, "__args__", None) else annotation
    several = "; repeatable" if parameter.multiple else ""
    return {"str": "text", "int": "integer", "float": "number", "Path": "path"}[kind.__name__] + several


def errors() -> Iterator[str]:
    """The exceptions as a tree, each with the first sentence of its docstring."""
    yield "| exception | raised for |\n| --- | --- |"
    yield from _branch(streamrvq.errors.StreamRVQError, 0)


def _branch(error: type[Exception], depth: int) -> Iterator[str]:
    indent = "&nbsp;" * 4 * depth
    others = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins" and base is not Exception]
    also = f" (also a `{others[0]}`)" if others else ""
    summary = " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())
    yield f"| {indent}[`{error.__name__}`][streamrvq.{error.__name__}]{also} | {summary} |"
    for child in error.__subclasses__():
        if child.__module__ == streamrvq.errors.__name__:
            yield from _branch(child, depth + 1)


def close_codes() -> Iterator[str]:
    """The table under that heading in PROTOCOL.md."""
    _, _, section = PROTOCOL.read_text(encoding="utf-8").partition("\n## Close codes\n")
    yield from (line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|"))
