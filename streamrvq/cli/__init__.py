"""The command ``streamrvq``. Each command has a file of its own; app.py lists them.

An error, or a wrong command line, is printed as one sentence on stderr, and never as a traceback. Exit codes:
0 success; 1 `check` found a difference; 2 an error; 130 interrupted; 141 the reader of the output went away; 143 a bulk
run was ended by SIGTERM.

Knows: how errors leave the process. Does not know: what the commands do.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from ..errors import StreamRVQError
from ..system.foreign_data import one_line
from ..system.interrupts import exit_at_once_on_interrupts

#: Options whose value would be this folder if it is empty.
_PLACES = ("--output=", "--out=", "--shards=", "--recover=")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (None: that of the process) and exit."""
    _open_closed()
    _forget_no_size()
    # A name in a message may have characters that the terminal has not: it is shown with escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # In the C locale: UTF-8 writes every name so, and ASCII does not.
            escapes = stream.errors == "surrogateescape" and "utf" not in stream.encoding.lower()
            if stream.errors == "strict" or escapes:
                stream.reconfigure(errors="backslashreplace")
    code, lost = 0, False
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        exit_at_once_on_interrupts()
        code = 130
    except BrokenPipeError:
        code, lost = 141, True
    except SystemExit as error:  # rich's, with a code that means something else
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        code, lost = 141, True
    except OSError as error:  # what stdout goes to is full; the command may have failed by that already
        code, lost = code or _cannot_print(error), True
    if lost or code == 141:  # Python flushes stdout once more at exit; give it somewhere to write
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_closed() -> None:
    """A shell can close stdin, stdout and stderr. Then a file that is opened would get the place of one of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  open to the end


def _forget_no_size() -> None:
    """Leave out a terminal's size of 0, as programs without one set it: rich would print nothing, and no error."""
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "1").strip("0"):
            del os.environ[name]


def _complain(error: object) -> int:
    from .common import complain  # which imports much; the commands have done so

    return complain(error)


def _cannot_print(error: OSError) -> int:
    return _complain(f"cannot write the output ({error.strerror or error}); make room, and run the command again")


def _run(arguments: Sequence[str] | None) -> int:
    if (empty := _empty(sys.argv[1:] if arguments is None else arguments)) is not None:
        return _complain(empty)
    from .app import commands  # here, so that an interrupt during the import of typer and rich is quiet too

    try:
        result = commands(arguments, prog_name="streamrvq", standalone_mode=False)
    except StreamRVQError as error:
        return _complain(error)
    except OSError as error:  # a full disk, a folder without permissions
        from .common import reason_of

        return _complain(reason_of(error))
    except MemoryError:
        return _complain("memory ran out; take shorter files, a smaller codec or fewer streams")
    except Exception as error:
        # A usage error of typer. Newer versions contain click, so its class has no fixed name to import.
        explain, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
        if explain is None or code is None:
            return _complain(f"{_unforeseen(error)}; this is a fault of streamrvq: please report it with the command")
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "streamrvq"
        return _complain(f"{explain().rstrip('.')}; see {command} --help") if explain() else int(code)
    return result if isinstance(result, int) else 0


def _empty(arguments: Sequence[str]) -> str | None:
    """What to say of an empty argument, as a shell gives it whose variable is not set: many would be this folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument == "" or argument in _PLACES:
            option = argument.rstrip("=") or (before if before.startswith("-") else "")
            where = f" after {option}" if option else ""
            return f"an empty argument was given{where}; wanted a name or a value, such as . for this folder"
    return None


def _unforeseen(error: Exception) -> str:
    """What an error was that nobody thought of, and where in the package it came from."""
    inside = os.path.dirname(os.path.dirname(__file__)) + os.sep
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(inside)]
    where = f" at {frames[-1].filename.removeprefix(inside)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {one_line(error)}"
