"""Whatever a reader raises becomes one error in one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import InputError, TokensError, WeightsError
from streamrvq.system.foreign_data import foreign_data, one_line, shown


def _laughs() -> list[object]:
    """A few KB whose ``repr`` would have 10^30 elements."""
    value: list[object] = [1]
    for _ in range(30):
        value = [value] * 10
    return value


class _Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no repr either")


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message either")


@pytest.mark.parametrize(
    "error",
    [ValueError("a\nb"), _Unprintable(), OverflowError(), MemoryError(), RecursionError("deep"), KeyError("\udcff"),
     UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_is_raised_becomes_one_error_in_one_line(error: Exception) -> None:
    with pytest.raises(WeightsError, match=r"\Ax\.pth .*; fetch it again\Z") as caught:  # noqa: SIM117
        with foreign_data(WeightsError, "x.pth", "fetch it again"):
            raise error
    str(caught.value).encode()


@pytest.mark.parametrize("error", [InputError("ours"), FileNotFoundError(2, "none", "x.pth"), KeyboardInterrupt()])
def test_our_own_errors_and_those_of_the_system_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, foreign_data(TokensError, "x", "fetch it again"):
        raise error
    assert caught.value is error


@given(st.text(), st.integers(8, 60))
def test_one_line_can_be_printed_anywhere(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable()
    line.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), ("a", "'a'"), (None, "None"), ([2, 4], "[2, 4]"), ({"a": 1}, "{'a': 1}"), (1.5, "1.5"),
     (np.int64(7), "7"), (np.float32(0.5), "0.5"), ([np.int16(7)], "[7]"),
     (10**5000, "a int"), (_Loud(), "a _Loud"), ([_Loud()], "[a _Loud]"), ("\ud800", r"'\ud800'"), ("a\nb", r"'a\nb'")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_is_shown_as_python_writes_it_or_by_its_type(value: object, text: str) -> None:
    assert shown(value) == text


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats() | st.binary(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=50))  # fmt: skip
def test_any_value_is_shown_in_a_short_printable_line(value: object) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 80


def test_a_value_that_would_never_end_is_shown_at_once() -> None:
    itself: list[object] = []
    itself.append(itself)
    assert len(shown(_laughs())) <= 80
    assert len(shown(itself)) <= 80
    assert len(shown("x" * 10**7)) <= 80
