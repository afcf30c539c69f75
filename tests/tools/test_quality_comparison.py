"""tools/quality --against: is a codec better than another one?"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.measuring import run
from tools.quality_measure import comparison
from tools.quality_measure.errors import QualityError
from tools.quality_measure.report import write_report


def scores(visqol: list[float], mel: list[float]) -> dict[str, dict[str, float | None]]:
    return {f"clip{n}": {"visqol": v, "mel": m} for n, (v, m) in enumerate(zip(visqol, mel, strict=True))}


OLD_VISQOL = [2.0, 3.0, 2.5, 3.5, 2.2, 2.8, 3.1, 2.4]
OLD_MEL = [2.4, 1.9, 2.2, 1.6, 2.6, 2.0, 2.1, 1.8]
WOBBLE = np.array([0.01, -0.02, 0.015, -0.005, 0.02, -0.01, 0.005, -0.015])


@pytest.mark.parametrize(
    ("visqol", "mel", "is_better"),
    [
        (0.0, 0.0, False),
        (0.0, -0.1, True),  # mel fell clearly, ViSQOL about the same
        (0.1, 0.0, True),
        (0.1, -0.1, True),
        (0.1, 0.1, False),  # one gained, the other lost
        (-0.1, -0.1, False),
        (0.0, 0.1, False),
        (0.008, 0.0, False),  # within what the clips' choice makes
        (-0.004, -0.1, True),
    ],
)
def test_better(visqol, mel, is_better):
    new = scores(list(np.array(OLD_VISQOL) + visqol + WOBBLE), list(np.array(OLD_MEL) + mel - WOBBLE[::-1]))
    verdict = comparison.decide(scores(OLD_VISQOL, OLD_MEL), new)
    assert verdict.better is is_better, str(verdict)


@pytest.mark.parametrize(("estoi", "spoken", "is_better"), [(-0.05, 6, False), (0.05, 6, True), (-0.05, 2, True)])
def test_what_is_said_must_not_be_lost(estoi, spoken, is_better):
    """ViSQOL and mel distance gain; ESTOI counts where enough clips have it."""
    old, new = scores(OLD_VISQOL, OLD_MEL), scores([v + 0.1 for v in OLD_VISQOL], [m - 0.1 for m in OLD_MEL])
    for n, (clip, wobble) in enumerate(zip(old, WOBBLE, strict=True)):
        old[clip]["estoi"] = 0.6 if n < spoken else None
        new[clip]["estoi"] = 0.6 + estoi + float(wobble) if n < spoken else None
    assert comparison.decide(old, new).better is is_better


def test_nothing_is_better_than_itself():
    old = scores(OLD_VISQOL, OLD_MEL)
    assert not comparison.decide(old, old).better
    even = scores([v + 0.01 for v in OLD_VISQOL], OLD_MEL)  # every clip gained, and as much
    assert comparison.decide(old, even).better
    assert not comparison.decide(even, old).better


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=8))
def test_not_both_ways(changes):
    old = scores([0.0] * len(changes), [0.0] * len(changes))
    new = scores([a for a, _ in changes], [b for _, b in changes])
    assert not (comparison.decide(old, new).better and comparison.decide(new, old).better)


def test_other_clips_cannot_be_compared():
    old = scores(OLD_VISQOL, OLD_MEL)
    with pytest.raises(QualityError, match="the very same ones"):
        comparison.decide(old, {**old, "another": old["clip0"]})
    with pytest.raises(QualityError, match="3 or more"):
        comparison.decide({"clip0": old["clip0"]}, {"clip0": old["clip0"]})
    with pytest.raises(QualityError, match="clip1 has no mel"):
        comparison.decide(old, {**old, "clip1": {"visqol": 3.0, "mel": None}})


def written(path: Path, visqol: list[float], mel: list[float]) -> Path:
    clips = [
        {
            "name": name,
            "split": "validation",
            "seconds": 1.0,
            "sha256": name * 12,
            "scores": {"ours, 9 codebooks": score},
        }
        for name, score in scores(visqol, mel).items()
    ]
    rows = [{"name": f"ours, {n} codebooks", "kind": "ours", "amount": n, "kbps": n, "scores": {}} for n in (9, 4)]
    codec = {"name": path.stem, "hash": "f" * 64, "trained": True, "codebook_size": 1024}
    report = {"format": "streamrvq quality 1", "metrics": ["visqol", "mel"], "codec": codec, "codebooks": None,
              "systems": rows, "clips": clips}  # fmt: skip
    write_report(path, report)
    return path


def test_the_command_line_decides_between_reports(tmp_path, capsys):
    old = written(tmp_path / "old.json", OLD_VISQOL, OLD_MEL)
    new = written(tmp_path / "new.json", [v + 0.1 for v in OLD_VISQOL], [m - 0.1 for m in OLD_MEL])
    out, _ = run(capsys, new, "--against", old)
    assert "better: ViSQOL gains +0.1000" in out
    assert "9 codebooks" in out
    assert "not better" in run(capsys, old, "--against", new, code=1)[0]
    assert "not better" in run(capsys, old, "--against", old, code=1)[0]
    out, err = run(capsys, new, "--against", old, "--json")
    assert json.loads(out)["codec"]["name"] == "new"
    assert err.startswith("better: ")
    (tmp_path / "other.json").write_text("{}")
    assert "is not of the format" in run(capsys, new, "--against", tmp_path / "other.json", code=2)[1]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--against", "rival.safetensors"], "wanted a quality.json of both, or weights first"),
        (["--metrics", "mel"], "--metrics was given with"),
        (["--clips", "3"], "wanted weights to measure, or no --clips"),
        (["--no-pictures"], "--no-pictures was given with"),
    ],
)
def test_what_a_report_that_is_read_would_not_look_at_is_refused(tmp_path, capsys, arguments, match):
    """Above all another rival: the verdict would be on the one that the report has."""
    report = written(tmp_path / "new.json", OLD_VISQOL, OLD_MEL)
    assert match in run(capsys, report, *arguments, code=2)[1]
