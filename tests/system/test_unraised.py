"""Exceptions that nobody could pass on are reported until the interpreter has ended."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import builtins, sys
from streamrvq.system import unraised

class Last:
    def __del__(self):
        raise ValueError("at the end")

unraised.watch()
builtins.last = Last()
"""


def test_the_last_objects_report_what_they_raise() -> None:
    """They go when the names of every module are gone, the hook's too."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr.count("Error") == 1, done.stderr
    assert "ValueError: at the end" in done.stderr
