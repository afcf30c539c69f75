"""The server under load: a separate process, as users run it.

Knows: how to start it, read its figures and end it. Does not know: clients, what the figures should be.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ..cores import Cores
from ..errors import LoadError
from ..settings import Settings
from ..usage import Usage, usage
from .metrics import Reading

ROOT = Path(__file__).parents[3]
_STARTING, _ENDING, _ANSWERING = 120.0, 30.0, 30.0  # seconds
_ASK_EVERY = 0.05  # seconds between two looks at /metrics


class ServerProcess:
    """A server process. An async context manager: on exit the process is gone, whatever happened.

    Attributes:
        url, port: where the server listens.
        log: the file of its log. It is kept, and named, if something went wrong.
    """

    url: str
    port: int

    def __init__(self, settings: Settings, cores: Cores) -> None:
        self._settings, self._cores = settings, cores
        self._process: subprocess.Popen[bytes] | None = None
        self.log = Path(tempfile.mkdtemp(prefix="streamrvq-load-")) / "server.log"

    def _command(self) -> list[str]:
        settings = self._settings
        if settings.server:
            command = [*settings.server, "serve", settings.codec]
        elif settings.null:
            command = [sys.executable, "-m", "tools.load_test.servers.null_codec"]
        else:
            command = [sys.executable, "-c", "from streamrvq.cli import main; main()", "serve", settings.codec]
        # Streams of killed clients, and of clients that never read, keep their slots for a while.
        slots = settings.streams + 4 * settings.faults_per_period + 4
        command += ["--port", "0", "--json", "--max-streams", str(slots), "--max-parked", str(slots), "--log-format",
                    "json", "--send-timeout", str(settings.send_timeout)]  # fmt: skip
        if settings.device is not None:
            command += ["--device", settings.device]
        else:
            command += ["--threads", str(settings.threads), "--engine", settings.engine]
        return [*command, *(["--uvloop"] if settings.uvloop else []), *settings.options]

    async def __aenter__(self) -> ServerProcess:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        environment |= {name: str(self._settings.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        command = self._command()
        try:
            with self._cores.started_on_server_core(), self.log.open("wb") as log:
                self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        except OSError as error:
            shutil.rmtree(self.log.parent, ignore_errors=True)
            raise LoadError(
                f"{command[0]} cannot be started ({error.strerror}); wanted a command for --server"
            ) from None
        if self._settings.descriptors is not None:
            limits = (self._settings.descriptors, self._settings.descriptors)
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, limits)
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_STARTING):
                line = await asyncio.to_thread(self._process.stdout.readline)
            where: dict[str, Any] = json.loads(line)
            self.url, self.port = where["url"], where["port"]
        except BaseException as error:  # also for an interrupt
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            shutil.rmtree(self.log.parent, ignore_errors=True)
            if not isinstance(error, (TimeoutError, ValueError)):
                raise
            raise LoadError(f"the server did not start: {last[0]}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, _ENDING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if error is None or isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
            shutil.rmtree(self.log.parent, ignore_errors=True)
        elif isinstance(error, LoadError) and str(self.log) not in str(error):
            raise LoadError(f"{error}; the server's log: {self.log}") from error

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def usage(self) -> Usage:
        """What the process uses now."""
        return usage(self.pid)

    async def terminate(self) -> float:
        """Send SIGTERM and return the seconds until the exit.

        Raises:
            LoadError: the process does not exit, or its exit code is not 0.
        """
        assert self._process is not None
        began = time.perf_counter()
        self._process.terminate()
        try:
            code = await asyncio.to_thread(self._process.wait, _ENDING)
        except subprocess.TimeoutExpired:
            raise LoadError(f"the server was still there {_ENDING:g} s after SIGTERM; its log: {self.log}") from None
        if code:
            raise LoadError(f"the server's exit code was {code}; wanted 0. Its log: {self.log}")
        return time.perf_counter() - began

    async def fresh_reading(self) -> Reading:
        """What /metrics says, once the server has made a new text: it does so at most once a second.

        Raises:
            LoadError: there is no answer, or always the same.
        """
        old = await self.reading()
        until = time.perf_counter() + _ANSWERING
        while (new := await self.reading()).get("uptime_seconds") == old.get("uptime_seconds"):
            if time.perf_counter() > until:
                raise LoadError(f"/metrics said the same for {_ANSWERING:g} s; wanted a new text every second")
            await asyncio.sleep(_ASK_EVERY)
        return new

    async def reading(self) -> Reading:
        """What /metrics says, as of a second ago at the earliest. Raises `LoadError` if it does not answer."""
        try:
            async with asyncio.timeout(_ANSWERING):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise LoadError(f"/metrics gave no answer: {str(error) or f'{_ANSWERING:g} s passed'}") from None
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise LoadError(f"/metrics answered {head[:80]!r}; wanted 200")
        return Reading.parse(body.decode())

    def log_lines(self) -> list[str]:
        """All lines of the log."""
        return self.log.read_text(errors="replace").splitlines()

    def errors(self) -> list[str]:
        """The lines of the log that report a failure of the server itself."""
        lines = self.log_lines()
        return [line for line in lines if '"level": "error"' in line or "Traceback" in line]
