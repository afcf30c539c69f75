"""`tools/resampling` measures what it says: known faults are found, and the resampler is as good as promised."""

import re

import numpy as np
import pytest

from streamrvq.audio.rates import held_back
from tools.resampling_quality import Stream, edge, main, measure, ours, print_codec, print_pairs, responses


def spoilt(fault) -> Stream:
    """A resampler that leaves the rate as it is, with a fault."""
    return Stream(fault, lambda: np.zeros(0, np.float32))


@pytest.mark.parametrize(
    "pair", [(48000, 44100), (16000, 44100), (8000, 44100), (48000, 16000), (44100, 24000), (44100, 48000)]
)
def test_the_resampler_is_as_good_as_promised(pair: tuple[int, int]) -> None:
    found = measure(ours, *pair, sines=12, seconds=0.05)
    assert found.ripple <= 0.02
    assert found.unwanted <= -100
    assert found.thd_n <= -120
    assert held_back(*pair) - 1 / pair[0] < found.held_back < held_back(*pair) + 1e-9


def test_a_tone_that_the_lower_rate_cannot_hold_has_no_distortion(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(ours, 2000, 8000, sines=1, seconds=0.05).thd_n is None
    print_pairs([(2000, 8000)], 1, 0.05)
    assert [line.split(" | ")[6] for line in capsys.readouterr().out.splitlines()[2:]] == ["–", "–"]


def test_a_level_is_ripple() -> None:
    found = measure(lambda *rates: spoilt(lambda block: block * np.float32(0.99)), 8000, 8001, sines=3, seconds=0.05)
    assert found.ripple > 0.08


def test_a_tone_that_is_none_of_the_sines_is_unwanted() -> None:
    def add(block: np.ndarray) -> np.ndarray:
        return (block + 5e-4 * np.sin(2 * np.pi * 1234 * np.arange(len(block)) / 8000)).astype(np.float32)

    found = measure(lambda *rates: spoilt(add), 8000, 8000, sines=3, seconds=0.05)
    assert found.unwanted == pytest.approx(-60, abs=0.5)
    assert found.thd_n == pytest.approx(20 * np.log10(5e-4 / 0.9), abs=0.5)


def test_samples_that_wait_are_late() -> None:
    def make(*rates: int) -> Stream:
        held = np.zeros(0, np.float32)

        def wait(block: np.ndarray) -> np.ndarray:
            nonlocal held
            held = np.concatenate([held, block])
            out, held = held[:-5], held[-5:]
            return out

        return Stream(wait, lambda: held)

    assert measure(make, 8000, 8000, sines=1, seconds=0.05).held_back == pytest.approx(5 / 8000)


def test_the_edge_of_the_pass_band() -> None:
    assert edge(48000, 44100) == 20000
    assert edge(48000, 16000) == 7200


def test_a_longer_filter_passes_more_and_stops_more() -> None:
    (_, _, short, short_stop), (_, _, long, long_stop) = responses([(16, 12.25), (48, 12.25)])
    assert short < long < 22050
    assert long_stop < -115 < short_stop


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["resampling", "--pairs", "8000:16000", "--sines", "2", "--seconds", "0.05"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "**48**" in line]
    assert [line.split(" | ")[1] for line in lines[-2:]] == ["fir48-1", "soxr HQ"]


def test_what_it_adds_to_a_codecs_time_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_codec([8000], turns=1, hops=3)
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert re.fullmatch(r"\| 8000 \| \d+ µs \| [\d.]+ µs, [\d.]+ % \| [\d.]+ ms \| [\d.]+ ms \|", row)
