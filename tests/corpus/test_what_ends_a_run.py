"""What the caller's own code raises during a run ends the run, and is never taken for a fault of a file.

Knows: callbacks of progress, handlers of signals, with the work done in this process. Interrupts of a command:
test_interrupts.py.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import soundfile

from streamrvq.audio.files import AudioReader
from streamrvq.corpus import Progress, encode_corpus
from streamrvq.errors import AudioFileError, InputError
from tests.support.contract import noise
from tests.support.corpora import failed_in, rows_in


class _Late(TimeoutError):
    """What the handler of an alarm raises."""


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", noise(2000, number), 44100)
    return folder


ERRORS = [BrokenPipeError(errno.EPIPE, "Broken pipe"), _Late("over"), InputError("no"), AudioFileError("no"),
          OSError("no"), KeyboardInterrupt()]  # fmt: skip


@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_callback_that_raises_ends_the_run(
    tmp_path: Path, audio: Path, weights: Path, error: BaseException, at: int
) -> None:
    reports = 0

    def report(progress: Progress) -> None:
        nonlocal reports
        reports += 1
        if reports == at:
            raise error

    with pytest.raises(type(error)) as caught:
        encode_corpus([audio], tmp_path / "out", weights, workers=1, on_progress=report)
    assert caught.value is error
    assert not list((tmp_path / "out").glob("*.parquet"))
    done = encode_corpus([audio], tmp_path / "out", weights, workers=1)
    assert (done.failed, len(rows_in(tmp_path / "out"))) == ((), 3)


def test_what_a_handler_raises_while_a_file_is_read_ends_the_run(
    tmp_path: Path, audio: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(self: AudioReader, samples: int) -> Any:
        raise _Late("over")

    with monkeypatch.context() as patch, pytest.raises(_Late):
        patch.setattr(AudioReader, "read", late)
        encode_corpus([audio], tmp_path / "out", weights, workers=1)
    assert encode_corpus([audio], tmp_path / "out", weights, workers=1).failed == ()


def test_an_interrupted_retry_keeps_the_list_of_what_failed(tmp_path: Path, audio: Path, weights: Path) -> None:
    (audio / "1.wav").write_bytes(b"no audio")
    assert len(encode_corpus([audio], tmp_path / "out", weights, workers=1).failed) == 1

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus([audio], tmp_path / "out", weights, workers=1, retry_failed=True, on_progress=stop)
    assert list(failed_in(tmp_path / "out")) == [str(audio / "1.wav")]
