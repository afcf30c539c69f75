"""tools/quality: word error rates."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.quality_measure import judging
from tools.quality_measure.clips import RATE, Clip
from tools.quality_measure.report import make_report
from tools.quality_measure.systems import System
from tools.quality_measure.words import normalised_words, word_errors


def test_words_are_compared_as_they_sound():
    assert normalised_words("Mr. Dashwood’s 21 dogs, OK?") == ["mister", "dashwoods", "twenty", "one", "dogs", "okay"]
    assert normalised_words("ill-disposed 7 2100 40 07") == [
        "ill",
        "disposed",
        "seven",
        "two",
        "one",
        "zero",
        "zero",
        "forty",
        "zero",
        "seven",
    ]


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b c", "a x b c", 1), ("a b c", "a x c", 1), ("a b c", "", 3),
     ("", "a", 1), ("a b c d", "b c d e", 2)],
)  # fmt: skip
def test_word_errors(said, heard, errors):
    assert word_errors(said.split(), heard.split()) == errors


texts = st.lists(st.sampled_from("abc"), max_size=7)


@given(texts, texts, texts)
def test_word_errors_are_a_distance(a, b, c):
    assert word_errors(a, b) == word_errors(b, a) <= max(len(a), len(b))
    assert word_errors(a, c) <= word_errors(a, b) + word_errors(b, c)
    assert (word_errors(a, b) == 0) == (a == b)


def judged_words(heard: dict[str, str], text: str, name: str = "a") -> judging.Judged:
    clip = Clip(name, "words", "speech", "talk", Path(name), RATE, "0" * 64, text)
    return judging.Judged(clip, {system: {} for system in heard}, dict.fromkeys(heard, 1000.0), heard)


def test_word_error_rates_are_over_all_words():
    judged = [
        judged_words({"original": "One two three.", "Opus 8": "one too three"}, "", "a"),
        judged_words({"original": "Four.", "Opus 8": "for"}, "four five", "b"),
        judged_words({"original": "", "Opus 8": "hm"}, "", "c"),
    ]
    report = make_report(judged, [System("original"), System("opus", 8)], ("wer",), {})
    original, coded = (row["scores"] for row in report["systems"])
    assert original["wer"]["mean"] == 0.0
    assert original["wer_written"]["mean"] == 50.0
    assert (coded["wer"]["errors"], coded["wer"]["words"]) == (2, 4)
    assert coded["wer"]["mean"] == 50.0
    assert (coded["wer_written"]["errors"], coded["wer_written"]["words"]) == (2, 2)
