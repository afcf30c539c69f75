"""``streamrvq`` and ``python -m streamrvq``: the command line, ready for Ctrl-C before anything large is loaded.

Knows: that nothing is begun while modules load, so that the process may end at once. Does not know: commands.
"""

import os
import signal
import sys
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(130)


def main() -> None:
    """Run the command line of the process, and exit. Ctrl-C ends it with code 130 whenever it comes."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else whoever started this ignores it
    if own:
        signal.signal(signal.SIGINT, _end)
    from .cli import main as run
    from .cli.app import import_command

    import_command(sys.argv[1:])  # with all that it imports
    try:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:  # before it could catch that itself
        os._exit(130)
    finally:
        if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)  # so is Python's own end


if __name__ == "__main__":
    main()
