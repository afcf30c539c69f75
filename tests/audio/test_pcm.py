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
        ("float64", "convert with .astype('float32')"),
        ("bool", "give numbers"),
    ],
)
def test_the_advice_fits_the_type(dtype: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        as_pcm(np.zeros(3, dtype))
    assert words in str(refused.value)
    assert f"samples are {dtype}; wanted float32" in str(refused.value)
