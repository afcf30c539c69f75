"""What commands print at 40, 80 and 120 columns: no word is broken, and nothing is wider than the terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from streamrvq.cli.screen.tables import print_table
from tests.support.command import Run
from tests.support.paths import ROOT
from tests.support.processes.terminal import Terminal

WIDTHS = (40, 80, 120)


@pytest.fixture(params=WIDTHS)
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def assert_whole(text: str, columns: int, words: list[str]) -> None:
    """Every word is there in one piece, and no line of several words is too long."""
    assert [word for word in words if word not in text] == []
    assert [line for line in text.splitlines() if len(line.rstrip()) > columns and " " in line.strip()] == []
    assert "…" not in text.replace(" … ", "")


def test_info(run: Run, weights: Path, columns: int) -> None:
    facts = run("info", weights, "--json").document
    assert_whole(run("info", weights).out, columns, [facts["codec_hash"], "quantizer", facts["resampler"]])


@pytest.mark.parametrize("zero", ["0", "00"])
def test_a_width_of_0_is_none(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch, zero: str) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which a runner of tests may set
    wide = run("info", weights).out
    monkeypatch.setenv("COLUMNS", zero)
    monkeypatch.setenv("LINES", zero)
    assert run("info", weights).out == wide
    monkeypatch.setenv("COLUMNS", zero)
    assert run("info", weights.parent / "absent").err.startswith("streamrvq: error: ")


def test_info_of_tokens(run: Run, weights: Path, wav: Path, columns: int) -> None:
    run("encode", wav, "--codec", weights)
    tokens = wav.with_suffix(".safetensors")
    assert_whole(run("info", tokens).out, columns, [run("info", tokens, "--json").document["codec_hash"], "44100"])


def test_check(run: Run, weights: Path, wav: Path, columns: int) -> None:
    done = run("check", weights, wav, "--chunks", "100,random", "--seconds", "0.02", "--decode", "--rate", "48k")
    assert done.code == 0
    assert_whole(done.out, columns, ["differing", "difference", "margin", "near-ties", "equal", "48000", "random"])


@pytest.mark.parametrize(
    "command",
    ["", "encode", "decode", "play", "mic", "devices", "serve", "send", "info", "check", "convert", "bench", "train"],
)
def test_help(run: Run, columns: int, command: str) -> None:
    done = run(*command.split(), "-h")
    assert (done.code, done.err) == (0, "")
    assert "Usage: streamrvq" in done.out
    assert max(map(len, done.out.splitlines())) <= columns
    if columns >= 80:  # the list of options has five columns, for which 40 characters are few
        named = re.findall(r"(?<![\w-])--[a-z-]{3,}", done.out)
        assert [name for name in ("--help", *named) if name.endswith("-")] == []


@pytest.mark.parametrize("columns", WIDTHS)
def test_an_error_in_a_terminal_breaks_no_word(columns: int, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 60 + ".safetensors")
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with Terminal([sys.executable, "-m", "streamrvq", "decode", path, "-o", "x.wav"], columns, env=env) as terminal:
        code, shown = terminal.end()
    assert code == 2
    lines = shown.split("\r\n")
    assert f"{path}" in lines[:-1] or columns > len(str(path))  # a path stays in one piece, which can be copied
    said = " ".join(line.strip() for line in lines).strip()
    assert said.startswith(f"streamrvq: error: cannot read tokens from {path} (No such file or directory); give a")


def test_a_table_that_does_not_fit_is_a_list() -> None:
    table = Table("name", "a longer head", "")
    table.add_row("one", "extraordinarily", "[x]")
    table.add_row("two", "", "y")
    for width, wanted in (
        (30, "name: one\na longer head: extraordinarily\n[x]\n\nname: two\ny\n"),
        (60, "extraordinarily │"),
    ):
        console = Console(width=width, markup=False)
        with console.capture() as captured:
            print_table(console, table)
        assert wanted in captured.get()
