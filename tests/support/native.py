"""What the tests of the native engine share: its instruction sets here, codecs on each of them, equality of bits."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from unittest import mock

import numpy as np

from streamrvq.codec import Codec
from streamrvq.config import CodecConfig
from tests.support.contract import NATIVE, weights_of

FULL = os.environ.get("STREAMRVQ_FULL") == "1"
if NATIVE:
    from streamrvq.engine.native import isas

    ISAS = isas()
else:
    ISAS = ["portable"]
#: Sets in plain C++, by their names: too slow for the full matrix of tests.
SLOW = [isa for isa in ISAS if isa.startswith("portable")]
FAST = [isa for isa in ISAS if isa not in SLOW] or ISAS[:1]


@lru_cache(maxsize=64)
def codec_on(config: CodecConfig, isa: str, threads: int) -> Codec:
    with mock.patch.dict(os.environ, STREAMRVQ_ISA=isa):
        return Codec(weights_of(config), engine="native", threads=threads)


def same_bits(came: Any, wanted: Any, why: str = "") -> None:
    assert came.shape == wanted.shape, why
    assert came.dtype == wanted.dtype, why
    if came.dtype == np.float32:
        came, wanted = came.view(np.uint32), wanted.view(np.uint32)
    np.testing.assert_array_equal(came, wanted, err_msg=why)
