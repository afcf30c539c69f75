"""What the refusal of other samples says to do."""

from __future__ import annotations

import numpy as np
import pytest

from streamrvq import InputError
from streamrvq.audio.pcm import as_pcm


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("uint8", "(x.astype('float32') - 128) / 128; bytes of a telephone are µ-law or A-law"),
        ("int8", "by 128"),
        ("int32", "x.astype('float32') / 2147483648"),
        ("int64", "samples of 16 bits are x.astype('int16')"),
        ("float64", "convert with .astype('float32')"),
        ("bool", "give numbers"),
    ],
)
def test_the_advice_fits_the_type(dtype: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        as_pcm(np.zeros(3, dtype))
    assert words in str(refused.value)
    assert f"samples are {dtype}; wanted float32" in str(refused.value)


def test_whole_numbers_of_python_are_not_divided_to_silence() -> None:
    with pytest.raises(InputError, match=r"divide them by full scale as float32, such as 2\*\*23 for 24 bits"):
        as_pcm([0, 1 << 20])


def test_masked_samples_are_refused_and_others_taken() -> None:
    pcm = np.ma.masked_greater(np.float32([0.0, 0.5]), 0.25)
    with pytest.raises(InputError, match=r"masked values; wanted plain numbers: pass \.filled\(0\)"):
        as_pcm(pcm)
    assert as_pcm(pcm[:1]).tolist() == [0.0]
