"""`streamrvq serve` in a process of its own, on a free port of loopback.

Knows: how it says where it listens, and how it ends. Does not know: what it is asked.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

from tests.support.command import process
from tests.support.patience import PATIENCE


@contextlib.contextmanager
def killed_at_last(server: Any) -> Iterator[None]:
    """Leave no process behind, whatever fails."""
    try:
        yield
    finally:
        if server.poll() is None:
            server.kill()
            server.communicate()


def served(*arguments: object, **settings: Any) -> tuple[Any, str]:
    server = process("serve", *arguments, "--port", 0, "--json", **settings)
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line, server.communicate()
    return server, json.loads(line)["url"]


def ended(server: Any, number: int = signal.SIGTERM) -> str:
    """Send a signal. Returns what the process wrote on stderr."""
    server.send_signal(number)
    out, err = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, err
    assert out == b"", err
    assert b"Traceback" not in err
    return err.decode()
