"""A journal whose writes fail takes no frames behind a torn record: what it took is what is recovered.

The faults are a short write, a full disk, an error of the disk, an interrupt in the middle, and a failed fsync. They
strike at a write that the test chooses; one test has a real limit on the file's size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq import TokensError
from streamrvq.tokens import TokenFile
from streamrvq.tokens.journal import JournalError, TokenJournal, journal_of, recover

EMPTY = TokenFile(
    codes=np.zeros((3, 0), np.int64), codec="minute", codec_hash="ab" * 32, trained=False, sample_rate=44_100,
    hop_length=8, source_rate=48_000, num_samples=0,
)  # fmt: skip

#: What a write raises after some of its bytes; None: it is short, and the next one goes on.
FAULTS = [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error"),
          KeyboardInterrupt(), SystemExit(1), MemoryError(), None]  # fmt: skip


class Faulty:
    """A journal's file whose next write breaks off."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.after: int | None = None  # bytes of the next write that are written
        self.fault: BaseException | None = None
        self.stuck = False  # whether it cannot be put back, either

    def write(self, data: Any) -> int:
        if self.after is None:
            return int(self.file.write(data))
        written, self.after = self.after % (len(data) + 1), None
        if written:
            self.file.write(bytes(data)[:written])
        if self.fault is not None:
            raise self.fault
        return int(written or self.file.write(data))

    def truncate(self, size: int) -> int:
        if self.stuck:
            raise OSError(errno.EIO, "Input/output error")
        return int(self.file.truncate(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def faulty(path: Path) -> tuple[TokenJournal, Faulty]:
    journal = TokenJournal(path, EMPTY)
    file = Faulty(journal._file)
    journal._file = file  # type: ignore[assignment]
    return journal, file


def codes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (3, 1 + seed % 5))


def same(one: np.ndarray, parts: list[np.ndarray]) -> bool:
    return np.array_equal(one, np.concatenate([EMPTY.codes, *parts], axis=1))


@example(strikes={11: (21, FAULTS[0], True)}, again=False, finished=False)  # the last record is written whole
@given(
    strikes=st.dictionaries(st.integers(0, 11), st.tuples(st.integers(0, 60), st.sampled_from(FAULTS), st.booleans())),
    again=st.booleans(), finished=st.booleans(),
)  # fmt: skip
def test_what_was_taken_is_what_is_recovered(
    tmp_path_factory: pytest.TempPathFactory,
    strikes: dict[int, tuple[int, BaseException | None, bool]],
    again: bool,
    finished: bool,
) -> None:
    path = tmp_path_factory.mktemp("faults") / "a.safetensors"
    (journal, file), taken = faulty(path), []
    for seed in range(12):
        if seed in strikes:
            file.after, file.fault, file.stuck = strikes[seed]
        try:
            journal.frames(codes(seed))
        except BaseException as error:
            assert seed in strikes
            assert isinstance(error, (JournalError, KeyboardInterrupt, SystemExit, MemoryError))
            file.after, file.stuck = None, False
            if not again:
                continue
            journal.frames(codes(seed))  # the same frames
        taken.append(codes(seed))
    if finished:
        assert same(journal.finish(None).codes, taken)
    else:
        journal.close()
        assert same(recover(path).codes, taken)


def test_where_the_file_cannot_be_put_back_nothing_more_is_taken(tmp_path: Path) -> None:
    journal, file = faulty(tmp_path / "a.safetensors")
    journal.frames(codes(1))
    file.after, file.fault, file.stuck = 7, FAULTS[0], True
    with pytest.raises(JournalError, match=r"cannot write to .*a\.safetensors\.journal \(No space left"):
        journal.frames(codes(2))
    for _ in range(2):
        with pytest.raises(JournalError, match="Input/output error"):
            journal.frames(codes(3))
    journal.close()
    assert same(recover(tmp_path / "a.safetensors").codes, [codes(1)])


def test_a_failed_fsync_refuses_everything_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = TokenJournal(tmp_path / "a.safetensors", EMPTY)
    journal.frames(codes(1))
    fsync, journal._synced = os.fsync, -1e9
    monkeypatch.setattr(os, "fsync", raising(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(JournalError, match="Input/output error"):
        journal.frames(codes(2))
    monkeypatch.setattr(os, "fsync", fsync)  # the second one would succeed, though the data is lost
    for attempt in (lambda: journal.frames(codes(2)), lambda: journal.gap(0, 1), lambda: journal.finish(8)):
        with pytest.raises(JournalError, match=r"could not be forced to the disk .* --recover"):
            attempt()
    journal.close()
    assert same(recover(tmp_path / "a.safetensors").codes, [codes(1)])


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


def test_an_end_that_cannot_be_written_may_be_given_again(tmp_path: Path) -> None:
    journal, file = faulty(tmp_path / "a.safetensors")
    journal.frames(codes(4))
    file.after, file.fault = 5, FAULTS[0]
    with pytest.raises(JournalError):
        journal.finish(40)
    assert journal_of(tmp_path / "a.safetensors").exists()
    assert journal.finish(40).num_samples == 40


def test_a_journal_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenJournal, "_write", raising(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(TokensError, match="No space left"):
        TokenJournal(tmp_path / "a.safetensors", EMPTY)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 4 KB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_that_is_given_room(tmp_path: Path) -> None:
    journal, taken = TokenJournal(tmp_path / "a.safetensors", EMPTY), []
    for seed in range(400):
        try:
            journal.frames(codes(seed))
        except JournalError as error:
            assert error.errno == errno.EFBIG
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            journal.frames(codes(seed))
        taken.append(codes(seed))
    journal.close()
    assert journal_of(tmp_path / "a.safetensors").stat().st_size > 4096
    assert same(recover(tmp_path / "a.safetensors").codes, taken)


@pytest.mark.parametrize("frames", [np.zeros((2, 1), int), np.zeros((3, 1)), np.array([[-1], [0], [0]]),
                                    np.array([[0], [65536], [0]]), np.zeros(3, int)])  # fmt: skip
def test_frames_that_a_token_file_cannot_hold_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    journal = TokenJournal(tmp_path / "a.safetensors", EMPTY)
    with pytest.raises(TokensError):
        journal.frames(frames)
    for position, samples in ((-1, 5), (0, 0), (0, -1), (2**63, 1)):
        with pytest.raises(TokensError, match="a gap of"):
            journal.gap(position, samples)
    assert dataclasses.replace(journal.finish(0), codes=EMPTY.codes).num_samples == 0


class _Alarm(BaseException):
    pass


def seconds_of_a_record(path: Path) -> float:
    """The least of some, of which others may wait for the machine."""
    with contextlib.closing(TokenJournal(path, EMPTY)) as journal:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            journal.frames(np.zeros((3, 2), int))
            times.append(time.perf_counter() - began)
    return min(times)


def test_interrupts_at_any_moment_tear_nothing(tmp_path: Path) -> None:
    """An alarm's handler raises, as Ctrl-C's does. What was interrupted is given again; nothing is lost or doubled."""

    def alarm(number: int, frame: object) -> None:
        raise _Alarm

    journal, chance, taken, interrupts = TokenJournal(tmp_path / "a.safetensors", EMPTY), random.Random(3), 0, 0
    longest = max(3e-4, 3 * seconds_of_a_record(tmp_path / "timed.safetensors"))
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        while interrupts < 200 or taken < 20:
            longest *= 1 if interrupts < 200 else 2  # few were taken: the machine is slower now
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, longest))
                while True:
                    journal.frames(np.full((3, 2), taken % 65536))
                    taken += 1
            except _Alarm:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    journal.close()
    np.testing.assert_array_equal(recover(tmp_path / "a.safetensors").codes[0, ::2], np.arange(taken) % 65536)
