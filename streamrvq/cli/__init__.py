"""The command ``streamrvq``. Each command has a file of its own; app.py lists them.

An error that the package raises on purpose, or a wrong command line, is printed as one sentence on stderr. Exit codes:
0 success; 1 `check` found a difference; 2 an error; 130 interrupted; 141 the reader of the output went away.

Knows: how errors leave the process. Does not know: what the commands do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import StreamRVQError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (None: that of the process) and exit."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 141
    if code == 141:  # Python flushes stdout once more at exit; give it somewhere to write
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    from .app import app  # here, so that an interrupt during the import of typer and rich is quiet too
    from .common import complain

    try:
        result = app(arguments, prog_name="streamrvq", standalone_mode=False)
    except StreamRVQError as error:
        return complain(error)
    except OSError as error:  # a full disk, a folder without permissions
        return complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except MemoryError:
        return complain("memory ran out; take shorter files, a smaller codec or fewer streams")
    except Exception as error:
        # A usage error of typer. Newer versions contain click, so its class has no fixed name to import.
        explain, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
        if explain is None or code is None:
            raise
        return complain(f"{explain().rstrip('.')}; see streamrvq --help") if explain() else int(code)
    return result if isinstance(result, int) else 0
