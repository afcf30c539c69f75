"""What the commands share: sample rates as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError
from streamrvq.cli.common import hertz


@pytest.mark.parametrize(
    ("text", "rate"),
    [("48000", 48_000), ("48k", 48_000), ("44.1K", 44_100), ("22.05kHz", 22_050), (" 8 khz ", 8_000),
     ("8000 Hz", 8_000), ("11.025k", 11_025), ("48000.0", 48_000)],
)  # fmt: skip
def test_a_rate_as_it_is_written(text: str, rate: int) -> None:
    assert hertz(text) == rate


@pytest.mark.parametrize(
    "text", ["", "k", "48 000", "48q", "-48k", "1e4", "\uff14\uff18k", "nan", "48kk", "0", "999", "44.1", "9999k"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InputError, match=r"--rate is .*; wanted"):
        hertz(text)


@given(st.text())
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    try:
        rate = hertz(text)
    except InputError:
        return
    assert rate in range(1000, 768_001)


def test_nothing_stays_nothing() -> None:
    assert hertz(None) is None
