"""The attacker's process. It reads who is attacked and how, then numbers of seconds; it attacks for as long, each time.

It leaves the CPU to the honest clients where they want it: their latency is measured on the same core.

Knows: lines of JSON on stdin and stdout. Does not know: who measures what the attack does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import resource
import sys

from .attack import keep_up
from .registry import ATTACKS
from .target import Target

_NICE = 10


def main() -> None:
    """Attack until stdin ends."""
    os.nice(_NICE)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    given = json.loads(sys.stdin.readline())
    attack, target = ATTACKS[given["attack"]], Target(given["port"], given["token"], given["addresses"])
    print("ready", flush=True)
    for line in sys.stdin:
        tally = asyncio.run(keep_up(attack, target, float(line)))
        print(json.dumps(dataclasses.asdict(tally)), flush=True)


if __name__ == "__main__":
    main()
