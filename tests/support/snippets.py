"""Runs a page's snippets as its reader would: Python blocks in one namespace, commands between them.

A block is compiled as its reader would compile it. It is a part of a script, where ``await`` outside a function is an
error, unless the page says that it goes inside an ``async def`` or a notebook (`pages.ASYNC_NOTE`). The folder that
snippets run in has ``talk.flac`` (2 s of speech), ``clips/`` with two files of a second, and ``demos``.

Knows: how a block is run, and what the pages expect around it. Does not know: which pages there are.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import subprocess
from pathlib import Path
from typing import Any

import soundfile

from tests.support.command import process
from tests.support.pages import Block, pipeline
from tests.support.paths import DEMOS
from tests.support.patience import PATIENCE

#: The address in the pages, for which the tests' server stands in.
ADDRESS = "ws://127.0.0.1:8000"


def furnish(folder: Path) -> None:
    """Write the files that the pages' snippets read."""
    (folder / "demos").symlink_to(DEMOS, target_is_directory=True)
    clips = folder / "clips"
    clips.mkdir()
    speech, rate = soundfile.read(DEMOS / "audio" / "speech_hu.flac", dtype="float32")
    soundfile.write(folder / "talk.flac", speech[: 2 * rate], rate)
    soundfile.write(clips / "a.flac", speech[:rate], rate)
    soundfile.write(clips / "b.flac", speech[rate : 2 * rate], rate)


class Session:
    """A page's snippets, run one after the other in the current folder.

    Args:
        url: of the server that stands in for the one in the pages.
    """

    def __init__(self, url: str) -> None:
        self._url, self._names = url, {"__name__": "__main__"}
        self._loop = asyncio.Runner()

    def __enter__(self) -> Session:
        self._loop.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.__exit__(*error)

    def run(self, block: Block) -> str:
        """Run a block; gives what it printed."""
        return self._python(block) if block.language == "python" else self._commands(block)

    def _python(self, block: Block) -> str:
        # Lines of the page, so that a traceback points at it.
        source = "\n" * (block.line - 1) + block.text.replace(ADDRESS, self._url)
        code = compile(source, str(block.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.awaits else 0)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop.run(self._awaited(code))
            else:
                exec(code, self._names)
        return printed.getvalue().rstrip("\n")

    async def _awaited(self, code: Any) -> None:
        await eval(code, self._names)

    def _commands(self, block: Block) -> str:
        output = ""
        for line in block.text.splitlines():
            out = b""
            for program, *arguments in pipeline(line):  # one after the other; each reads what the one before it wrote
                words = [word.replace(ADDRESS, self._url) for word in arguments]
                if program == "streamrvq":
                    running = process(*words)
                else:
                    assert program == "ffmpeg", f"{block} is to be run, but {program} is neither ours nor ffmpeg"
                    pipe = subprocess.PIPE
                    running = subprocess.Popen([program, *words], stdin=pipe, stdout=pipe, stderr=pipe)
                try:
                    out, err = running.communicate(out, timeout=PATIENCE)
                finally:
                    running.kill()
                assert running.returncode == 0, f"{block}: {line}\n{err.decode()}"
            output += out.decode()
        return output.rstrip("\n")
