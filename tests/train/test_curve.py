"""tools/train_release --curve on records whose law is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.config import DEFAULT_CODEC
from tools.training import release
from tools.training.curve import CurveError, Point, fit, lines, points


def run(audio: float, mel: float | None, clips: int = 36, **more: Any) -> dict[str, Any]:
    judged = {} if mel is None else {"judged": {"clips": clips, "mel": mel}}
    return {"codec_hash": f"{audio:.0f} s", "hours": 0.5, "audio_seconds": audio, **more, **judged, "validation": []}


@given(
    seconds=st.lists(st.integers(1000, 10**7), min_size=2, max_size=8, unique=True), scale=st.floats(1, 10),
    slope=st.floats(-0.5, -0.01),
)  # fmt: skip
def test_a_law_is_found_from_its_points(seconds: list[int], scale: float, slope: float) -> None:
    law = fit([Point(float(s), "CPU", scale * s**slope) for s in sorted(seconds)])
    assert math.isclose(law.slope, slope, rel_tol=1e-3, abs_tol=1e-6)
    assert math.isclose(law(30000.0), scale * 30000.0**slope, rel_tol=1e-3)
    error = law.error(30000.0)
    assert error is None if len(seconds) == 2 else error is not None and error < 1e-6


def test_the_error_is_that_of_a_new_point() -> None:
    rng, x, new = np.random.default_rng(0), np.geomspace(1e4, 3e5, 8), 1e6
    off = []
    for _ in range(2000):
        noisy = 5 * x**-0.1 * np.exp(0.03 * rng.standard_normal(len(x)))
        law = fit([Point(float(s), "CPU", float(mel)) for s, mel in zip(x, noisy, strict=True)])
        drawn = math.log(5 * new**-0.1) + 0.03 * rng.standard_normal()
        off.append((drawn - math.log(law(new))) / (law.error(new) or math.nan))
    assert 1.1 < np.std(off) < 1.35  # Student's t with 6 degrees of freedom has 1.22


def test_all_audio_counts_and_only_the_same_clips() -> None:
    runs = [run(5000, 9.9, clips=6), run(5000, 2.0), run(7000, None), run(3000, 1.8)]
    found, other = points(runs)
    assert [(point.seconds, point.mel) for point in found] == [(10000.0, 2.0), (20000.0, 1.8)]
    assert other == ["5000 s"]
    assert "judged on another number of clips: 5000 s." in lines(runs)[-1]
    with pytest.raises(CurveError, match="has 1 judged runs; wanted two or more"):
        lines(runs[1:3])


def test_the_plan_goes_on_at_the_speeds_of_the_record() -> None:
    """1 s a second on a CPU, 100 on a GPU, which trained for 20 of its 21 minutes; halved by ten times the audio."""
    halved = -math.log10(2)
    runs = [run(total - before, 3 * (total / 1000) ** halved)
            for before, total in ((0, 1000), (1000, 2800), (2800, 4600))]  # fmt: skip
    runs.append(run(120000, 3 * 124.6**halved, device="a GPU", machine_minutes=21.0) | {"hours": 1 / 3})
    text = lines(runs)
    assert "mel = 24.00 · seconds^-0.301, least squares in logarithms, 4 points." in text
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text[-3:]]
    assert [row[1] for row in table] == ["124600", str(124600 + 3600), str(124600 + 54000)]
    assert "1.0 s a second" in table[1][0]
    assert "a GPU, 100 s a second but for the first 60 s" in table[2][0]
    for _, seconds, by_law, by_slope in table:
        assert by_law == f"{3 * (int(seconds) / 1000) ** halved:.2f} ± 0.00"
        assert by_slope == by_law.split()[0]


def test_a_card_of_ones_own_trains_all_the_time() -> None:
    """Its entry says no minutes of the machine: only those of a borrowed one do."""
    runs = [run(1000, 3.0), run(120000, 2.0, device="cuda") | {"hours": 1 / 3}]
    cells = [cell.strip() for cell in lines(runs)[-1].strip("|").split("|")]
    assert cells[:2] == ["the next ten minutes on cuda, 100 s a second", str(121000 + 60000)]


def test_the_shipped_record_has_a_curve(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tools/train_release", "--curve"])
    assert release.main() == 0
    said = capsys.readouterr().out
    page = (release.ROOT / "docs/results/quality.md").read_text(encoding="utf-8")
    missing = [line for line in said.splitlines() if line not in page]
    assert not missing, "put what tools/train_release --curve prints into docs/results/quality.md"
    assert f"{DEFAULT_CODEC}.json" in page
