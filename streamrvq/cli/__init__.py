"""The command ``streamrvq``. Knows: how errors leave the process. The commands are one file each; app.py lists them.

An error that the package raises on purpose is printed as one sentence on stderr, with exit code 2; so is a command line
that makes no sense. Exit codes: 0 good; 1 `check` found a difference; 2 an error; 130 interrupted; 141 the reader of
our output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import StreamRVQError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (None: the process's own) and exit."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 141
    if code == 141:  # Python flushes stdout once more at exit; let it find an open end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    from .app import app  # here, so that an interrupt while typer and rich load is quiet too
    from .common import complain

    try:
        result = app(arguments, prog_name="streamrvq", standalone_mode=False)
    except StreamRVQError as error:
        return complain(error)
    except OSError as error:  # a full disk, a folder without rights
        return complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except MemoryError:
        return complain("memory ran out; take shorter files, a smaller codec or fewer streams")
    except Exception as error:
        # typer's usage errors; newer ones carry click inside, so that their class has no one name.
        explain, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
        if explain is None or code is None:
            raise
        return complain(f"{explain().rstrip('.')}; see streamrvq --help") if explain() else int(code)
    return result if isinstance(result, int) else 0
