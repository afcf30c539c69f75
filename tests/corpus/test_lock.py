"""The lock of a run's folder: one holder at a time, and none where its owner was lost to an interrupt."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from pathlib import Path

import pytest

from streamrvq.corpus.lock import Lock
from streamrvq.errors import CorpusError
from tests.support.patience import PATIENCE


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "out" / "lock"
    path.parent.mkdir()
    lock = Lock(path)
    for _ in range(2):
        with pytest.raises(CorpusError, match=r"another run holds .*; wait for its end, or stop it"):
            Lock(path)
    lock.release()
    Lock(path).release()


def test_a_lock_that_nobody_has_any_more_is_released(tmp_path: Path) -> None:
    """As after Ctrl-C between taking it and noting it. The same process may go on with the run."""
    path = tmp_path / "out" / "lock"
    path.parent.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        lock = Lock(path)
        del lock
        gc.collect()
    Lock(path).release()


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    """Who opens a pipe to write waits for somebody who reads."""
    path, waited = tmp_path / "lock", threading.Event()

    def end() -> None:
        waited.set()
        os.close(os.open(path, os.O_RDWR))

    os.mkfifo(path)
    (timer := threading.Timer(PATIENCE, end)).start()
    try:
        with pytest.raises(OSError, match="something that is no file lies there"):
            Lock(path)
    finally:
        timer.cancel()
    assert not waited.is_set()
