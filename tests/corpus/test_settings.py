"""What a caller gives for a bulk run: no number is no traceback, and nothing is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq import InputError
from streamrvq.corpus import encode_corpus
from tests.support.contract import needs_native


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *((name, value) for name in ("workers", "threads", "readers", "shard_bytes") for value in ("2", 1.5, True, -1)),
        *(("track", value) for value in ("a", 1.0, True, -1)),
        *(("segment_seconds", value) for value in ("1", None, 0, float("nan"))),
    ],
)
def test_a_bad_setting_is_refused_before_a_run_begins(
    tmp_path: Path, wav: Path, weights: Path, setting: str, value: Any
) -> None:
    with pytest.raises(InputError, match=r"wanted (a whole number|at least)"):
        encode_corpus(wav, tmp_path / "out", weights, **{"workers": 1, setting: value})
    assert not list((tmp_path / "out").rglob("*.json*"))


@needs_native
def test_numbers_of_numpy_are_numbers(tmp_path: Path, wav: Path, weights: Path) -> None:
    one, none = np.int64(1), np.int64(0)
    for _ in range(2):
        done = encode_corpus(wav, tmp_path / "out", weights, workers=one, readers=none, track=none, shard_bytes=one)
        assert (done.rows, done.failed) == (1, ())


def test_a_folder_without_a_name_is_not_this_one(
    tmp_path: Path, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(InputError, match="has no name"):
        encode_corpus(wav, "", weights)
    assert list(here.iterdir()) == []
