"""The attacker's process, as the load sees it: started once, then told to attack for some seconds at a time.

Knows: the process's lines (__main__.py). Does not know: when to attack.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from types import TracebackType

from ..errors import LoadError
from ..servers.process import ROOT
from .attack import Attack
from .target import Tally

_STARTING, _ENDING = 120.0, 60.0  # seconds


class AttackProcess:
    """A process that attacks. It runs where this process runs. An async context manager: on exit it is gone.

    Args:
        attack: what it does.
        port: of the server.
        token: that the server takes from it; used by attacks that need one.
        addresses: how many addresses it connects from.
    """

    def __init__(self, attack: Attack, port: int, token: str, addresses: int) -> None:
        self._attack = attack
        self._given = {"attack": attack.name, "port": port, "token": token if attack.authenticated else "",
                       "addresses": addresses}  # fmt: skip

    async def __aenter__(self) -> AttackProcess:
        command = (sys.executable, "-m", __package__)
        pipe = asyncio.subprocess.PIPE
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
        try:
            if await self._answer(json.dumps(self._given), _STARTING) != b"ready\n":
                raise LoadError("the attacker did not start; what it said is above")
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def attack(self, seconds: float) -> Tally:
        """Attack for so long. Returns what was done. Raises `LoadError` if the attacker fails."""
        answer = await self._answer(str(seconds), seconds + _ENDING)
        if not answer:
            raise LoadError(f"the attacker {self._attack.name} failed; what it said is above")
        return Tally(**json.loads(answer))

    async def _answer(self, line: str, seconds: float) -> bytes:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        try:
            async with asyncio.timeout(seconds):
                return await self._process.stdout.readline()
        except TimeoutError:
            raise LoadError(f"the attacker {self._attack.name} said nothing for {seconds:g} s") from None

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
