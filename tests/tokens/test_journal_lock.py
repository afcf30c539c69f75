"""A journal belongs to its recorder until that ends: nobody recovers it meanwhile, and a closed one says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamrvq.errors import TokensError
from streamrvq.tokens import TokenFile, read_tokens
from streamrvq.tokens.journal import JournalError, TokenJournal, journal_of, recover
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is locked on Windows")

EMPTY = TokenFile(
    codes=np.zeros((3, 0), np.int64), codec="minute", codec_hash="ab" * 32, trained=False, sample_rate=44_100,
    hop_length=8, source_rate=48_000, num_samples=0,
)  # fmt: skip
CODES = np.arange(12).reshape(3, 4)

RECORDER = """
import sys
import numpy as np
from streamrvq.tokens import TokenFile
from streamrvq.tokens.journal import TokenJournal
empty = TokenFile(codes=np.zeros((3, 0), np.int64), codec="minute", codec_hash="ab" * 32, trained=False,
                  sample_rate=44_100, hop_length=8, source_rate=48_000, num_samples=0)
journal = TokenJournal(sys.argv[1], empty)
journal.frames(np.arange(12).reshape(3, 4))
print("recording", flush=True)
sys.stdin.read()
"""


def test_a_journal_that_is_recorded_to_is_not_recovered(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    journal.frames(CODES)
    with pytest.raises(TokensError, match=r"a\.safetensors\.journal is still being recorded to; end that recording"):
        recover(path)
    assert [file.name for file in tmp_path.iterdir()] == [journal_of(path).name]
    journal.frames(CODES)
    np.testing.assert_array_equal(journal.finish(None).codes, np.concatenate([CODES, CODES], axis=1))


def test_a_recorder_that_is_killed_gives_its_journal_free(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    command = [sys.executable, "-c", RECORDER, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == b"recording\n"
        with pytest.raises(TokensError, match="still being recorded to"):
            recover(path)
        recorder.send_signal(signal.SIGKILL)
        recorder.wait(PATIENCE)
    np.testing.assert_array_equal(recover(path).codes, CODES)


def test_a_child_that_has_it_open_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    journal.frames(CODES)
    copied = os.dup(journal._file.fileno())  # as after a fork
    try:
        np.testing.assert_array_equal(journal.finish(None).codes, CODES)
    finally:
        os.close(copied)
    np.testing.assert_array_equal(read_tokens(path).codes, CODES)


@pytest.mark.parametrize("end", [TokenJournal.close, lambda journal: journal.finish(None)], ids=["closed", "finished"])
def test_a_closed_journal_says_so(tmp_path: Path, end: object) -> None:
    journal = TokenJournal(tmp_path / "a.safetensors", EMPTY)
    journal.frames(CODES)
    end(journal)  # type: ignore[operator]
    for attempt in (lambda: journal.frames(CODES), lambda: journal.gap(0, 1), lambda: journal.finish(None)):
        with pytest.raises(JournalError, match=r"was closed, so nothing more is recorded; .*--recover"):
            attempt()
    journal.close()
