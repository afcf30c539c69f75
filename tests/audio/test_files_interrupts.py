"""An exception from a signal handler while a file is read: no sample is missing without an error.

Knows: every bytecode of `AudioReader.read`, and callers that read on. Does not know: damaged files (test_hostile.py).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from streamrvq.audio.byte_source import _Object, _Pipe
from streamrvq.audio.files import AudioReader, open_audio
from streamrvq.audio.writing import write_audio
from streamrvq.errors import AudioFileError
from tests.support.interrupting import LAST_PLACES, every_place
from tools.fuzzing.targets.audio import OnceOnly

PCM = (np.arange(50_000) % 1000 / 2048).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_audio(tmp_path / "a.wav", PCM, 16_000)
    return tmp_path / "a.wav"


def test_who_reads_on_after_an_exception_misses_no_sample(path: Path) -> None:
    places = late = lost = 0
    for interrupt in every_place():
        with open_audio(path) as audio:
            parts = [audio.read(100)]
            with interrupt:
                parts.append(audio.read(33_000))
            places += 1
            try:
                parts += audio.blocks(9000)
            except AudioFileError as error:
                assert "was interrupted while it was decoded, after sample 100; open it again" in str(error)
                lost += 1
            else:
                late += not np.array_equal(np.concatenate(parts), PCM)
    assert lost > 4, "hardly a place in the decoder was tried"
    assert places - lost > 20
    assert late <= LAST_PLACES


def write_adts(held: io.BytesIO, tone: np.ndarray[Any, Any]) -> None:
    with av.open(held, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.mark.parametrize("kind", ["pipe", "object", "object of libsndfile"])
def test_an_interrupt_at_the_entry_of_a_callback_comes_out(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """FFmpeg and libsndfile take it for the end, and ADTS does not say how long it is."""
    tone = np.sin(np.arange(48_000) / 9).astype(np.float32) / 2
    held = io.BytesIO()
    if kind == "object of libsndfile":
        soundfile.write(held, tone, 48_000, format="AIFF")
    else:
        write_adts(held, tone)
    which = _Pipe if kind == "pipe" else _Object
    read, calls, at = which.read, 0, 1 << 30

    def interrupted(self: Any, count: int = -1) -> bytes:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt  # before the function could catch anything
        return read(self, count)

    def samples() -> int:
        nonlocal calls
        calls = 0
        source: Any = OnceOnly(held.getvalue(), 500) if kind == "pipe" else io.BytesIO(held.getvalue())
        with open_audio(source) as audio:
            return sum(map(len, audio.blocks(4000)))

    monkeypatch.setattr(which, "read", interrupted)
    whole, most = samples(), calls
    assert whole >= 48_000
    for at in range(1, most + 1):
        try:
            assert samples() == whole
        except KeyboardInterrupt:
            continue
        pytest.fail(f"the interrupt at read {at} of {most} was lost")


class Failing:
    """An open file whose next read raises."""

    def __init__(self, file: Any, error: BaseException | None) -> None:
        self.file, self.error = file, error

    def read(self, *args: Any, **settings: Any) -> Any:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return self.file.read(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class OfAHandler(Exception):
    """What the handler of a signal raises, for example after some seconds."""


@pytest.mark.parametrize("error", [OfAHandler("over"), TimeoutError("over"), KeyboardInterrupt()])
def test_what_a_handler_raises_is_no_damage_of_the_file(path: Path, error: BaseException) -> None:
    with open_audio(path) as audio:
        audio._decoder = Failing(audio._decoder, error)
        with pytest.raises(type(error)):
            audio.read(100)
        for _ in range(2):
            with pytest.raises(AudioFileError, match="open it again"):
                audio.read(100)


def test_blocks_go_on_after_an_exception(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not end as if the file did."""
    read, count = AudioReader.read, 0

    def sometimes(self: AudioReader, samples: int) -> Any:
        nonlocal count
        count += 1
        if count % 3 == 2:
            raise KeyboardInterrupt
        return read(self, samples)

    monkeypatch.setattr(AudioReader, "read", sometimes)
    with open_audio(path) as audio:
        blocks, parts, interrupts = audio.blocks(9000), [], 0
        while audio.position < len(PCM):
            try:
                parts.append(next(blocks))
            except KeyboardInterrupt:
                interrupts += 1
    assert interrupts > 1
    np.testing.assert_array_equal(np.concatenate(parts), PCM)
