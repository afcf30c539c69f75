"""Numbers that argparse takes for one and no run can use: each tool refuses them in a sentence, before it begins.

Knows: the tools' command lines. Does not know: what they measure. tests/train/test_release.py has those of training.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.support.paths import ROOT

RESAMPLING = "tools.resampling_quality"


@pytest.mark.parametrize(
    ("module", "arguments", "match"),
    [
        (RESAMPLING, ["--pairs", "44100:44100"], "wanted two rates in Hz that differ"),
        (RESAMPLING, ["--pairs", "48000"], "wanted two rates in Hz that differ"),
        (RESAMPLING, ["--pairs", "500:44100"], "the first is 500; wanted a whole number of Hz"),
        (RESAMPLING, ["--sines", "0"], "wanted at least 1 sine"),
        (RESAMPLING, ["--seconds", "0"], "wanted at least 1 sine and 0.01 s"),
        (RESAMPLING, ["--seconds", "nan"], "wanted at least 1 sine and 0.01 s"),
        ("tools.load_test.__main__", ["--seconds", "inf"], "seconds is inf; wanted a number of seconds"),
        ("tools.load_test.__main__", ["--period", "inf"], "period is inf; wanted a number of seconds"),
        ("tools.load_test.__main__", ["--soak", "--flat", "nan"], "--flat is nan; wanted MiB an hour, 0 or more"),
        ("tools.corpus_build.__main__", ["--scale", "nan"], "--scale nan; wanted 6 to 256, and more than 0"),
        ("tools.corpus_build.__main__", ["--limit-mb", "nan"], "--limit-mb is nan; wanted more than 0"),
        ("tools.quality_measure.__main__", ["--seconds", "nan"], "--seconds is nan; wanted 1.0 or more"),
        ("tools.fuzzing.__main__", ["snapshot", "--minutes", "inf"], "--minutes is inf; wanted a number"),
        ("tools.stream_memory", ["--push", "2000000"], "1 to all of them at a time"),
        ("tools.gpu_check.__main__", ["--minutes", "nan"], "wanted numbers above 0"),
        ("tools.gpu_check.__main__", ["--factor", "nan"], "wanted numbers above 0"),
        ("tools.gpu_check.__main__", [], "wanted --out FOLDER for the results, or --expect FILE"),
        ("tools.gpu_check.__main__", ["--out", __file__], "cannot be written ("),
    ],
)
def test_a_number_that_no_run_can_use_is_refused(
    module: str, arguments: list[str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMRVQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["tool", *arguments])
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(import_module(module).main())
    assert ended.value.code == 2
    assert match in capsys.readouterr().err


def test_seconds_without_an_end_take_all_of_a_clip() -> None:
    clips = import_module("tools.listen_page.clips")
    found = clips.read_clip(ROOT / "demos/audio/speech_hu.flac", float("inf"))
    assert found.whole


def test_an_ablation_without_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "nowhere")
    given = ["--data", missing, "--validation", missing, "--out", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["tools/ablate", *given])
    assert import_module("tools.training.ablation").main() == 2
    assert capsys.readouterr().err.startswith(f"tools/ablate: error: {missing} is not there; wanted a folder")
