"""An exception from a signal handler at every bytecode of a pattern's calls: nothing has changed, so call it again.

Knows: encoders and decoders of all patterns. Does not know: codecs (tests/streaming/test_interrupts.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamrvq.tokens import CoarseFirst, Delay, Flat, Parallel, Vocabulary
from tests.support.interrupting import LAST_PLACES, Interrupt, every_place

CODES = np.arange(21).reshape(3, 7) % 8
PATTERNS = [kind(Vocabulary(3, 8), bos=True, eos=True) for kind in (Flat, Parallel, Delay, CoarseFirst)]


def again(call: Callable[..., Any], *inputs: Any, interrupt: Interrupt) -> list[Any]:
    """What the call gives that was interrupted, or, made again, gives then."""
    came = []
    with interrupt:
        came.append(call(*inputs))
    return came or [call(*inputs)]


def counted(differs: Callable[[Interrupt], bool]) -> tuple[int, int]:
    """How many places there are, and how many of them cost something."""
    places = late = 0
    for interrupt in every_place():
        late += differs(interrupt)
        places += 1
    return places, late


@pytest.mark.parametrize("call", ["push", "flush"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_encoder_gives_every_token_once(pattern: Any, call: str) -> None:
    ids = pattern.interleave(CODES)

    def differs(interrupt: Interrupt) -> bool:
        encoder = pattern.encoder()
        parts = [encoder.push(CODES[:, :3])]
        if call == "push":
            parts += again(encoder.push, CODES[:, 3:], interrupt=interrupt)
            parts.append(encoder.flush())
        else:
            parts.append(encoder.push(CODES[:, 3:]))
            try:
                parts += again(encoder.flush, interrupt=interrupt)
            except Exception:  # the flush was done
                return True
        return not np.array_equal(np.concatenate(parts, axis=-1), ids)

    places, late = counted(differs)
    assert places > 20, "hardly a place was tried"
    assert late <= LAST_PLACES


@pytest.mark.parametrize("cut", [3, 9])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_decoder_gives_every_frame_once(pattern: Any, cut: int) -> None:
    ids = pattern.interleave(CODES)

    def differs(interrupt: Interrupt) -> bool:
        decoder = pattern.decoder()
        parts = [decoder.push(ids[..., :cut])]
        try:
            parts += again(decoder.push, ids[..., cut:], interrupt=interrupt)
        except Exception:  # the push was done
            return True
        decoder.flush()
        return not np.array_equal(np.concatenate(parts, axis=1), CODES)

    places, late = counted(differs)
    assert places > 20, "hardly a place was tried"
    assert late <= LAST_PLACES
