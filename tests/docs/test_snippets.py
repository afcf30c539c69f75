"""Every snippet of the documentation works: Python is run, commands are understood, JavaScript is read by Node.

What a page shows as the output of a snippet is what the snippet prints.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamrvq.cli.app import commands as command_line
from streamrvq.train.config import TrainConfig
from tests.support.command import process
from tests.support.pages import ASYNC_NOTE, PAGES, Block, blocks, commands, name
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.snippets import Session, furnish
from tests.support.virtual_sound import Pulse
from tests.support.web.javascript import node

#: Pages with a snippet that is run.
RUN = [page for page in PAGES if any(block.run for block in blocks(page) if block.language in ("python", "bash"))]
#: Snippets that may be left out, each with its reason in the page.
MOST_LEFT_OUT = 3
#: Programs in the pages that are not ours.
FOREIGN = {
    "pip",
    "git",
    "apt-get",
    "ffmpeg",
    "kill",
    "node",
    "python",
    "python3",
    "source",
    "torchrun",
    "/usr/bin/time",
}
#: Where the options of tools/NAME are read.
TOOLS = {
    "load": "load_test", "soak": "load_test", "quality": "quality_measure", "corpus": "corpus_build",
    "ablate": "training", "train_release": "training", "peers": "peers_bench.py",
    "resampling": "resampling_quality.py", "listen": "listen_page",
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of the default codec, as `streamrvq serve` starts it."""
    server = process("serve", "--port", 0, "--json", "--log-level", "warning", "--threads", 1, "--max-streams", 4)
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.terminate()
    _, err = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, err.decode()


@pytest.mark.parametrize("page", RUN, ids=name)
def test_snippets_run_and_print_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    text = page.read_text(encoding="utf-8")
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as exits:
        if re.search(r"^[^#\n]*streamrvq\.Microphone\(", text, re.MULTILINE):
            exits.enter_context(Pulse())
        session = exits.enter_context(Session(request.getfixturevalue("url") if "ws://" in text else ""))
        for block in blocks(page):
            if block.language in ("python", "bash") and block.run:
                printed = session.run(block)
                assert block.output in (None, printed), f"{block} prints something else:\n{printed}"


def test_await_outside_a_function_needs_the_pages_word(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    awaiting = "```python\nimport asyncio\nawait asyncio.sleep(0)\nprint(1)\n```\n"
    page.write_text(f"{awaiting}\n{ASYNC_NOTE}\n\n{awaiting}", encoding="utf-8")
    before, after = blocks(page)
    with Session("") as session:
        with pytest.raises(SyntaxError):
            session.run(before)
        assert session.run(after) == "1"


@pytest.mark.parametrize("page", [page for page in PAGES if ASYNC_NOTE in page.read_text(encoding="utf-8")], ids=name)
def test_a_page_that_awaits_begins_with_a_whole_script(page: Path) -> None:
    first = next(block for block in blocks(page) if block.language == "python")
    assert not first.awaits
    assert first.text.endswith("asyncio.run(main())")


def test_few_snippets_are_left_out() -> None:
    left_out = [block for page in PAGES for block in blocks(page) if block.note.startswith("not run")]
    for block in left_out:
        assert re.match(r"not run: \w", block.note), f"{block} does not say why it is not run"
    assert len(left_out) <= MOST_LEFT_OUT, [str(block) for block in left_out]


def test_every_block_says_what_it_is() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ("python", "bash", "js", "toml", "text"), f"{block} is {block.language!r}"


def test_settings_are_understood(tmp_path: Path) -> None:
    settings = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    assert settings
    for number, block in enumerate(settings):
        (path := tmp_path / f"{number}.toml").write_text(block.text)
        assert TrainConfig.read(path).codec.hop_length > 0, str(block)


@functools.cache
def _commands() -> dict[str, Any]:
    return dict(command_line.commands)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_understood(page: Path) -> None:
    for where, words, whole in commands(page):
        match words:
            case ["streamrvq", "--help" | "--version" | "--install-completion" | "--show-completion"]:
                pass
            case ["streamrvq", command, *arguments]:
                assert command in _commands(), f"{where}: there is no command {command!r}"
                _understand(where, command, arguments, whole)
            case ["tools/bench", *arguments]:
                _understand(where, "bench", arguments, whole)
            case [tool, *arguments] if tool.startswith("tools/"):
                _check_tool(where, tool, arguments)
            case [program, *_]:
                assert program in FOREIGN, f"{where}: {program} is neither ours nor known"


def _understand(where: str, command: str, arguments: list[str], whole: bool) -> None:
    """Parse the command line, up to the first line of the command's function."""
    if "--help" in arguments:
        return
    try:
        _commands()[command].make_context(command, list(arguments))
    except Exception as error:  # typer's usage errors have no common public class
        if whole or type(error).__name__ != "MissingParameter":
            raise AssertionError(f"{where}: streamrvq {command} {' '.join(arguments)}: {error!r}") from None


def _check_tool(where: str, tool: str, arguments: list[str]) -> None:
    program = ROOT / tool
    assert os.access(program, os.X_OK), f"{where}: there is no {tool}"
    if program.name == "test":
        for argument in arguments:
            assert (ROOT / argument).exists() or not argument.startswith("tests/"), f"{where}: there is no {argument}"
        return
    place = ROOT / "tools" / TOOLS.get(program.name, program.name)
    sources = [place] if place.is_file() else sorted(place.rglob("*.py"))
    text = "".join(path.read_text(encoding="utf-8") for path in [program, *sources])
    for argument in arguments:
        assert not argument.startswith("--") or argument in (*re.findall(r"--[\w-]+", text), "--help"), (
            f"{where}: {tool} knows no {argument}"
        )


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page) if block.language == "js"], ids=str
)
def test_javascript_is_read(block: Block, tmp_path: Path) -> None:
    module = tmp_path / "snippet.mjs"
    module.write_text(block.text, encoding="utf-8")
    done = subprocess.run([node()[0], "--check", module], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{block}: {done.stderr}"
