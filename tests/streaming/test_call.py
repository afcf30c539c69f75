"""A stream's turn: one call at a time, and a call that an exception ended has its turn no longer.

Knows: frames of functions that run and of functions that have ended. test_stream.py has two threads on one stream.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from types import FrameType
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.errors import InputError, StreamBusyError
from streamrvq.streaming.call import Call
from tests.support.contract import noise
from tests.support.patience import PATIENCE


def ended() -> FrameType:
    """The frame of a function that has ended."""
    return sys._getframe()


def test_one_function_has_the_turn() -> None:
    call, mine = Call(), sys._getframe()
    assert call.take(mine)

    def other() -> bool:
        return call.take(sys._getframe())

    assert not other()
    assert call.take(mine)


def test_who_has_ended_has_the_turn_no_longer() -> None:
    call = Call()
    assert call.take(ended())
    assert call.take(ended())
    assert call.take(sys._getframe())


def test_of_many_that_follow_one_that_ended_one_comes_first() -> None:
    for _ in range(20):
        call, won = Call(), []
        call.take(ended())
        start, done = threading.Barrier(4, timeout=PATIENCE), threading.Barrier(4, timeout=PATIENCE)

        def follow(call: Call = call, won: list[bool] = won, start: Any = start, done: Any = done) -> None:
            start.wait()
            if call.take(sys._getframe()):
                won.append(True)
            done.wait()  # all of them run until then

        threads = [threading.Thread(target=follow) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [True]


@pytest.mark.parametrize("call", ["push", "flush", "snapshot"])
def test_a_stream_is_not_busy_after_an_exception_that_its_call_could_not_see(minute_codec: Codec, call: str) -> None:
    """One that came before the call's first line, or after its last."""
    stream, pcm = minute_codec.stream(), noise(300)
    parts = [stream.push(pcm[:100])]
    stream._run.call.take(ended())
    if call == "snapshot":
        stream.snapshot()
    if call == "push":
        parts.append(stream.push(pcm[100:200]))
    parts += [stream.push(pcm[stream.samples_received :]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), minute_codec.encode(pcm))


def test_a_signal_handler_may_not_push_into_a_push(minute_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in the same thread, in the middle of the call."""
    stream, pcm = minute_codec.stream(), noise(300)
    real, came = stream._run.engine.encode_step, []

    def step(*args: Any) -> Any:
        with pytest.raises(StreamBusyError, match="one after the other"):
            stream.push(pcm[:8])
        came.append(True)
        return real(*args)

    monkeypatch.setattr(stream._run.engine, "encode_step", step)
    codes = np.concatenate([stream.push(pcm), stream.flush()], axis=1)
    monkeypatch.undo()
    assert came
    np.testing.assert_array_equal(codes, minute_codec.encode(pcm))


def test_a_stream_keeps_no_frame_and_so_no_block_alive(minute_codec: Codec) -> None:
    stream, pcm = minute_codec.stream(), noise(300)
    stream.push(pcm)
    with pytest.raises(InputError):
        stream.push("no samples")
    assert stream._run.call._holders == {}
    gc.collect()
    gc.disable()
    try:
        known = weakref.ref(stream)
        del stream
        assert known() is None
    finally:
        gc.enable()
