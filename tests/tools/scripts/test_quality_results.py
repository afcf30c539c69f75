"""tools/quality: what it cannot write or read is refused before it judges, which takes long."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from streamrvq.weights import save_weights, seeded
from tests.support.contract import tiny
from tests.support.measuring import run
from tools.quality_measure import __main__ as quality
from tools.quality_measure import metrics


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--out", "a file/results"], "Not a directory"),
        (["--against", "nowhere.json"], "nowhere.json cannot be read"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_before_anything_is_judged(
    arguments: list[str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def judge(*_: object) -> None:
        raise AssertionError("clips were judged")

    monkeypatch.setattr(quality, "_judge", judge)
    monkeypatch.setattr(quality, "validation_clips", lambda *_: [])
    monkeypatch.setattr(metrics, "PACKAGES", {})
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    save_weights(seeded(tiny(causal=True)), Path("small.safetensors"))
    given = ["--data", "nowhere", "--metrics", "visqol,mel", "--opus", "none", "--codebooks", "1"]
    assert match in run(capsys, "small.safetensors", *given, *arguments, code=2)[1]


def test_nothing_to_draw_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.ticker"):  # it is not asked for anything here
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.delitem(sys.modules, "tools.quality_measure.plots", raising=False)
    plots = importlib.import_module("tools.quality_measure.plots")
    monkeypatch.delitem(sys.modules, "tools.quality_measure.plots")
    row = {"name": "ours, 1 codebook", "kind": "ours", "amount": 1, "kbps": 1.0, "scores": {}}
    plots.curves({"codec": {"name": "x"}, "systems": [row], "clips": [], "metrics": ["estoi"]}, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
