"""How a demo ends: what went wrong as a sentence, and Ctrl-C or a closed pipe without one."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from streamrvq import StreamRVQError


def leave(run: Callable[[], int | None], *errors: type[Exception]) -> NoReturn:
    """Run a demo and exit. ``errors`` are told as sentences, too, beside those of streamrvq and of the system."""
    try:
        code = run() or 0
        sys.stdout.flush()
    except BrokenPipeError:  # who read has gone, as `head` does
        code = 141
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
    except (StreamRVQError, OSError, *errors) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)
