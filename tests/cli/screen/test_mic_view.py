"""The picture of `mic` on terminals of many widths: no line is longer, whatever is shown; with and without colours."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from streamrvq.cli.screen import mic_view
from streamrvq.cli.screen.mic_view import MicView, latency_table, latency_words
from streamrvq.live.latency import LatencyBudget
from tests.cli.test_mic import HEARD, RATE, options
from tests.support.command import process
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Fifo, Voice

BUDGET = LatencyBudget(0.0116, 0.01004, 0.0003, 0.141, 0.00104, 0.09294, 0.0018, 0.078, 0.1063, 0.335)
LONG = dataclasses.replace(BUDGET, device=12.34567, handover_p99=98.76543, compute_p99=98.7, measured_p99=123.4)
EMPTY = LatencyBudget(0.0116, 0.01, None, None, 0.0, 0.0, None, None, None, None)
STATUS = " 12.34 s, 1063 frames, RTF 0.12, 4410 samples lost in 2 gaps, 3 overruns, drift +12 ppm"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOURS = re.compile(r"\x1b\[[0-9;]*[34]8;[25];|\x1b\[(?:[0-9;]*;)?[34][0-7]m")
WIDTHS = st.one_of(st.sampled_from([40, 80, 120]), st.integers(1, 300))


class Screen:
    """A terminal that is written to, of a size that can change."""

    def __init__(self, width: int, height: int = 30, **settings: bool) -> None:
        self.file = io.StringIO()
        self.console = Console(
            file=self.file, force_terminal=True, width=width, height=height, highlight=False, color_system="truecolor",
            legacy_windows=False, _environ={"TERM": "xterm-256color"}, **settings,
        )  # fmt: skip

    def lines(self) -> list[str]:
        """What was written since the last call, line by line, without colours and movements."""
        text, _ = self.file.getvalue(), self.file.truncate(self.file.seek(0))
        return re.split(r"[\r\n]+", ESCAPES.sub("", text))

    def view(self, head: str = "microphone → codec") -> MicView:
        with mock.patch.object(mic_view, "out", lambda: self.console):
            return MicView(head, 1024)


def picture(screen: Screen, view: MicView, levels: int = 9, frames: int = 400, peak: float = 1.0) -> list[str]:
    screen.lines()
    view.codes(np.random.default_rng(0).integers(0, 1024, (levels, frames)))
    with mock.patch.object(mic_view, "out", lambda: screen.console):
        view.show(0.2, peak, STATUS, BUDGET)
    return screen.lines()


@given(WIDTHS, st.integers(5, 60), st.integers(1, 32), st.integers(1, 700), st.sampled_from([0.0, 0.8, 1.0]))
def test_no_line_is_longer_than_the_terminal(width: int, height: int, levels: int, frames: int, peak: float) -> None:
    screen = Screen(width, height)
    lines = picture(screen, screen.view(), levels, frames, peak)
    assert max(map(cell_len, lines)) <= width
    if width < 30 or height < 24:
        return
    text = " ".join(" ".join(lines).split())
    assert len(lines) <= height, "no part is cut off below"
    for words in ("level", "code 0", "device", "= sum", "measured", "p99", "drift", "335.0"):
        assert words in text
    shown = sum(line.startswith("code") for line in lines)
    assert shown == levels or f"{levels - shown} finer codebooks" in text or width < 32
    (meter,) = [line for line in lines if line.startswith("level")]
    assert "dB" in meter
    assert ("clipped" in meter) == (peak == 1.0 and width >= 25) or width < 25


@given(WIDTHS, WIDTHS)
def test_a_resize_clears_what_was_there_and_loses_no_remark(before: int, after: int) -> None:
    screen = Screen(before)
    view = screen.view()
    view.remark("gap of 7 samples")
    picture(screen, view)
    screen.console.width = after
    view.codes(np.zeros((9, 1), int))
    with mock.patch.object(mic_view, "out", lambda: screen.console):
        view.show(0.2, 0.2, STATUS, BUDGET)
    text = screen.file.getvalue()
    assert ("\x1b[2J" in text) == (before != after)
    fresh = ESCAPES.sub("", text.rpartition("\x1b[2J")[2])
    assert max(map(cell_len, re.split(r"[\r\n]+", fresh))) <= after
    assert after < 20 or fresh.count("level") == 1
    words = " ".join(fresh.split())
    if before != after and after > 20:
        assert "microphone → codec gap of 7 samples" in words


@pytest.mark.parametrize("width", [40, 80, 120])
def test_without_colours_codes_differ_in_shape(width: int) -> None:
    coloured, plain = Screen(width), Screen(width, no_color=True)
    for screen in (coloured, plain):
        view = screen.view()
        view.codes(np.array([[0, 200, 500, 1023]]))
        with mock.patch.object(mic_view, "out", lambda screen=screen: screen.console):
            view.show(0.9, 0.9, STATUS, BUDGET)
    assert COLOURS.search(coloured.file.getvalue())
    assert "code  0 ████" not in ESCAPES.sub("", plain.file.getvalue())
    assert "code  0 ▁▂▄█" in ESCAPES.sub("", plain.file.getvalue())
    assert not COLOURS.search(plain.file.getvalue())


@pytest.mark.parametrize("width", [30, 40, 80, 120, 150])
@pytest.mark.parametrize("budget", [BUDGET, LONG, EMPTY])
def test_the_parts_that_are_shown_add_up(width: int, budget: LatencyBudget) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    console.print(latency_table(budget, width))
    rows = [line.split() for line in console.file.getvalue().replace("= sum", "sum").splitlines()]  # type: ignore[attr-defined]
    if rows[0][1] != "p50":
        rows = [list(column) for column in zip(*rows, strict=True)]
    assert [row[0] for row in rows] == [
        "ms", "device", "handover", "resampler", "lookahead", "compute", "sum", "measured",
    ]  # fmt: skip
    for column in (1, 2):
        parts, total = [row[column] for row in rows[1:6]], rows[6][column]
        if "–" in parts:
            assert total == "–"
            continue
        assert float(total) == pytest.approx(sum(map(float, parts)), abs=1e-6)
        exact = (budget.sum_p50, budget.sum_p99)[column - 1]
        assert exact is not None
        assert float(total) == pytest.approx(1e3 * exact, abs=0.25)
    assert "11.6 ms" in latency_words(budget)


def set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.mark.parametrize("colour", [True, False])
def test_a_real_terminal_that_is_resized(weights: Path, colour: bool) -> None:
    """120 columns, then 80, then 40."""
    ours, theirs = pty.openpty()
    shown, sizes = bytearray(), [(120, 30), (80, 24), (40, 24)]
    set_size(ours, *sizes[0])

    def read() -> None:
        try:
            while part := os.read(ours, 65536):
                shown.extend(part)
        except OSError:  # EIO is the end of it
            pass

    with Fifo(Voice(HEARD, RATE, 441)), mock.patch.dict(os.environ, TERM="xterm-256color"):
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            os.environ.pop(name, None)
        if not colour:
            os.environ["NO_COLOR"] = "1"
        running = process(*options(weights, "--n-quantizers", 3), stdout=theirs)
        reader = threading.Thread(target=read)
        reader.start()
        os.close(theirs)
        for number, size in enumerate(sizes):
            set_size(ours, *size)
            deadline, seen = time.monotonic() + PATIENCE, len(shown)
            while shown.count(b"\x1b[2J") < number or shown.count(b"level", seen) < 3:
                assert time.monotonic() < deadline, bytes(shown)
                assert running.poll() is None, running.communicate()
                time.sleep(0.02)
        running.send_signal(2)
        _, err = running.communicate(timeout=PATIENCE)
        assert running.returncode == 0, err
    reader.join(PATIENCE)
    os.close(ours)
    parts = shown.decode().split("\x1b[2J")
    assert len(parts) == 3
    for (width, _), text in zip(sizes, parts, strict=True):
        assert max(cell_len(line) for line in re.split(r"[\r\n]+", ESCAPES.sub("", text))) <= width
        assert "code  2" in text
        assert "default, 44100 Hz" in text
    assert bool(COLOURS.search(shown.decode())) == colour
    assert "hop older" in " ".join(ESCAPES.sub("", parts[-1]).split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_screen_that_takes_nothing_leaves_no_journal(weights: Path, tmp_path: Path) -> None:
    with Fifo(Voice(HEARD, RATE, 441)), open("/dev/full", "wb") as full:
        running = process(*options(weights, "--out", tmp_path / "a.safetensors"), stdout=full)
        _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 2
    assert b"No space left on device" in err
    assert list(tmp_path.glob("a.*")) == []
