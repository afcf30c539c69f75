"""How the tools end: on Ctrl-C without a traceback, on SIGTERM in order, and not before the programs that they run.

Knows: exit codes, signals. Does not know: what a tool does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import NoReturn

from streamrvq.system.interrupts import INTERRUPTED, ordered_termination


def ended(main: Callable[[], int | None]) -> NoReturn:
    """Run a tool's ``main``, and exit with its code; with 130 after Ctrl-C, with 143 after SIGTERM.

    Both come as exceptions, so that files, folders and processes are put in order.
    """
    with ordered_termination():
        try:
            raise SystemExit(main())
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


def exit_code(command: Sequence[object]) -> int:
    """Run a program to its end. Returns its exit code; negative: the signal that ended it.

    What interrupts this process ends the program with SIGTERM, and is raised again when that is gone: it may have work
    to keep. `subprocess.run` would kill it after a quarter of a second. A second interrupt kills it.
    """
    with subprocess.Popen([str(part) for part in command]) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait()
            except BaseException:
                process.kill()
                raise
            raise
