"""Real signals at random moments: never a wrong code without an error.

Knows: a timer, handlers that raise, and callers that go on as the documentation says: `samples_received` tells what a
push has taken, `frames_given` what has come. test_interrupts.py tries every place instead.
"""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.streaming.decoder import DecoderStream
from tests.support.contract import CLOSE, ENGINES, EXACT, codec_of, minute, noise, streamed, tiny
from tests.support.interrupting import EXCEPTIONS, Alarm

#: Signals that must land within the package, for each engine and kind of work, and the most rounds tried for them.
ENOUGH, MOST_ROUNDS = {"torch": 45, "native": 45, "cuda": 15}, 2000
#: Frames of a push.
PIECE = 3
#: Signals in a row that may find a storm's round no further. On a slow machine no step ends between two of them.
STUCK = 10
#: Seconds in which no round is still at work.
NEVER = 1e6


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread only")
    alarm = Alarm()
    gc.disable()  # an exception in a callback of the collector, such as Hypothesis has, is lost
    yield alarm
    alarm.close()
    gc.enable()


class Steps:
    """torch's engine, noting what each step of a decoder is asked for.

    The last bits of its samples depend on a step's number of hops, and interrupts change that: one round in 300 of many
    signals has a sample that is 3e-18 off. It is right if the same steps give the same in peace.
    """

    def __init__(self, inner: Any) -> None:
        self.inner, self.asked = inner, dict[int, Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decode_step(self, codes: Any, states: Any, slots: Any, clock: Any, length: Any) -> Any:
        self.asked[int(clock[0])] = codes.copy(), clock.copy(), length.copy()
        return self.inner.decode_step(codes, states, slots, clock, length)

    def again(self) -> Any:
        """The samples of the same steps in peace, with those that the decoder's delay puts before the signal."""
        states = self.inner.new_states(1, "decode")
        steps = self.asked.values()
        parts = [self.inner.decode_step(codes, states, np.array([0]), *when) for codes, *when in steps]
        return np.concatenate(parts, axis=1)[0]


class Stuck:
    """Lets a storm ring less often where it lets nothing end."""

    def __init__(self, alarm: Alarm) -> None:
        self.alarm, self.last, self.times = alarm, tuple[Any, ...](), 0

    def at(self, *place: Any) -> None:
        """A signal found the round here."""
        self.times = self.times + 1 if place == self.last else 0
        self.last = place
        if self.times == STUCK:
            self.times = 0
            self.alarm.slow_down()


class Work:
    """One codec, signals, and what they give when nothing is interrupted."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.pcm = noise(60 * codec.hop_length + 17, seed=3)
        self.codes = codec.encode(self.pcm)
        self.decoded = codec.decode(self.codes)
        self.at_another_rate = codec.encode(self.pcm, sample_rate=codec.sample_rate * 2)

    @cached_property
    def in_peace(self) -> Any:
        """The samples of an undisturbed `decoder_stream`, in its own steps."""
        samples = streamed(self.codec.decoder_stream(), self.codes, itertools.repeat(PIECE))
        np.testing.assert_allclose(samples, self.decoded, rtol=0, atol=CLOSE)
        return samples

    def encode(self, alarm: Alarm, seconds: float) -> bool:
        return self.whole(alarm, seconds, self.codec.encode, self.pcm, self.codes)

    def decode(self, alarm: Alarm, seconds: float) -> bool:
        return self.whole(alarm, seconds, self.codec.decode, self.codes, self.decoded)

    def whole(self, alarm: Alarm, seconds: float, call: Any, inputs: Any, wanted: Any) -> bool:
        """Interrupted, and then in peace. True: the outputs are right."""
        try:
            alarm.set(seconds)
            call(inputs)
            alarm.stop()
        except EXCEPTIONS:
            alarm.stop()
        return bool((call(inputs) == wanted).all())

    def stream(self, alarm: Alarm, seconds: float, storm: bool = False) -> bool:
        stream = self.codec.stream()
        piece = min(700, PIECE * self.codec.hop_length) if storm else 700  # a storm wants many steps
        (alarm.storm if storm else alarm.set)(seconds)
        return self.pushed(alarm, stream, lambda: stream.samples_received, self.pcm, self.codes, piece)

    def decoder_stream(self, alarm: Alarm, seconds: float, storm: bool = False) -> bool:
        steps = Steps(self.codec.engine) if self.codec.engine.name == "torch" else None
        stream = DecoderStream(steps or self.codec.engine, self.codec.codec_hash)
        (alarm.storm if storm else alarm.set)(seconds)
        return self.pushed(alarm, stream, lambda: stream.frames_received, self.codes, self.decoded, PIECE, steps)

    def resampled(self, alarm: Alarm, seconds: float) -> bool:
        stream = self.codec.stream(sample_rate=self.codec.sample_rate * 2)
        alarm.set(seconds)
        return self.pushed(alarm, stream, lambda: stream.samples_received, self.pcm, self.at_another_rate, 700)

    def pushed(
        self, alarm: Alarm, stream: Any, taken: Any, inputs: Any, wanted: Any, piece: int, steps: Steps | None = None
    ) -> bool:
        """Pushes and a flush. After an exception the stream says where to go on. True: the outputs are right; to the
        bit those of ``steps``, if they are given.
        """
        parts: list[Any] = []
        stuck, caught = Stuck(alarm), False
        while True:
            try:
                if caught:  # here, since a storm's next signal may come while the stream is asked
                    stuck.at(taken(), stream.closed)
                    caught = False
                while (at := taken()) < inputs.shape[-1]:
                    parts.append(stream.push(inputs[..., at : at + piece]))
                if stream.closed:
                    break
                parts.append(stream.flush())
            except EXCEPTIONS:
                caught = True
        alarm.stop()
        came = np.concatenate(parts, axis=-1)
        if came.shape != wanted.shape:
            return False
        if steps is not None and not np.array_equal(came, self.in_peace):
            if not (np.abs(came - wanted) <= CLOSE).all():
                return False
            first = self.codec.decoder_delay_samples
            wanted = steps.again()[first : first + len(came)]
        return bool((came == wanted).all())

    def pool(self, alarm: Alarm, seconds: float, storm: bool = False) -> bool:
        """Two streams. Each call is made again or found done, as its documentation says."""
        pool = self.codec.pool(2, max_hops=PIECE if storm else 8)
        streams = [pool.open(), pool.open()]
        for stream in streams:
            pool.feed(stream, self.pcm)
            pool.close(stream)
        came: dict[Any, list[Any]] = {stream: [] for stream in streams}
        outputs: list[Any] = []
        caught, stuck = 0, Stuck(alarm)
        (alarm.storm if storm else alarm.set)(seconds)
        while True:
            try:
                batch = pool.batch or pool.next_batch()
                if batch is None:
                    break
                if batch._outputs is None and caught % 2:
                    caught += 1
                    pool.abort(batch)
                    continue
                if batch._outputs is None:
                    batch.run()
                outputs.extend(pool.complete(batch))
            except EXCEPTIONS:
                caught += 1
                stuck.at(len(outputs))
        alarm.stop()
        for output in outputs:
            came[output.stream].append(output.data)
        return all(np.array_equal(np.concatenate(parts, axis=1), self.codes) for parts in came.values())


def in_peace(alarm: Alarm, call: Any, **settings: Any) -> float:
    """Seconds of the shortest of some undisturbed rounds: one alone may be cold, or wait for the machine."""
    took = []
    for _ in range(5):
        assert call(alarm, NEVER, **settings)
        took.append(alarm.took)
    return min(took)


@pytest.mark.parametrize("kind", ["encode", "decode", "stream", "decoder_stream", "resampled", "pool"])
@pytest.mark.parametrize("engine", ENGINES)
def test_signals_at_random_moments_give_no_wrong_code(alarm: Alarm, engine: str, kind: str) -> None:
    # Native steps are long calls of the library; torch's are long in Python, even if they compute next to nothing.
    config = tiny(causal=True) if engine == "native" else minute(causal=False)
    work = Work(codec_of(config, EXACT[engine], engine))
    call, rng, wrong = getattr(work, kind), np.random.default_rng(0), 0
    seconds = in_peace(alarm, call)
    for _ in range(MOST_ROUNDS):
        before = alarm.inside
        wrong += not call(alarm, float(rng.uniform(1e-5, 1.2 * seconds)))  # somewhere in the round, its end included
        if alarm.inside == before:
            seconds = min(seconds, alarm.took)
        if alarm.inside >= ENOUGH[engine]:
            break
    assert alarm.inside >= ENOUGH[engine]
    assert wrong == 0


@pytest.mark.parametrize("kind", ["stream", "decoder_stream", "pool"])
@pytest.mark.parametrize("engine", ENGINES)
def test_signals_without_end_give_no_wrong_code(alarm: Alarm, engine: str, kind: str) -> None:
    """Several in one call, and in the call after it: 3 to 10 in a round, which has 20 steps or more."""
    config = tiny(causal=True) if engine == "native" else minute(causal=False)
    work = Work(codec_of(config, EXACT[engine], engine))
    call, rng, wrong = getattr(work, kind), np.random.default_rng(0), 0
    seconds = in_peace(alarm, call, storm=True)
    for _ in range(MOST_ROUNDS):
        before = alarm.inside
        wrong += not call(alarm, seconds * float(rng.uniform(0.1, 0.33)), storm=True)
        if alarm.inside == before:
            seconds = min(seconds, alarm.took)
        if alarm.inside >= ENOUGH[engine]:
            break
    assert alarm.inside >= ENOUGH[engine]
    assert wrong == 0
