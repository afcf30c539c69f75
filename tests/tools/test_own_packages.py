"""`python -m tools.own_packages`: what a row adds up, and a package that is not there."""

import sys

import pytest

from streamrvq.checking.near_ties import Comparison
from tests.families.own_packages import Apart
from tools import own_packages


def test_a_row_adds_up_frames_and_has_the_worst_of_the_rest() -> None:
    one = Apart(Comparison(2, 0, 0, 0, 0.0), latents=1e-7, samples=3e-6, entries=70)
    other = Apart(Comparison(3, 4, 2, 1, 3e-5), latents=2e-5, samples=1e-6, entries=61)
    assert own_packages.row("theirs", "float32", [one, other], levels=8) == (
        "| theirs | float32 | 5 | 4 of 40 | 1 of 2 | 2e-05 | 3e-06 | 61 |"
    )
    assert own_packages.row("theirs", "float32", [one], levels=8, entries=False).endswith("| – |")


def test_rustymimi_that_is_not_installed_is_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rustymimi", None)
    assert own_packages.main(["--package", "rustymimi"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2:] == ["| rustymimi | not measured: import of rustymimi halted; None in sys.modules | | | | | | |"]
