"""Whatever a reader raises becomes one error in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import InputError, TokensError, WeightsError
from streamrvq.system.foreign_data import foreign_data, one_line


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
