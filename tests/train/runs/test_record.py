"""What is said of a run's files when others come: all that is new, all that is missing, and nothing that is not so.

Knows: records. Does not know: audio.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import ConfigError
from streamrvq.system.atomic_file import replacing
from streamrvq.train.runs import record as record_module
from streamrvq.train.runs.folder import RECORDS
from streamrvq.train.runs.record import DataFile, Record


def file(path: str, samples: str | None = None, use: str = "train", kind: str = "") -> DataFile:
    return DataFile(use, path, kind, 1.0, samples or path)


def record(files: Sequence[DataFile], rate: int = 44100) -> Record:
    return Record("n", "c", rate, "none", None, tuple(files))


def said(old: Sequence[DataFile], now: Sequence[DataFile], rate: int = 44100) -> str:
    """What stands between the folder and the remedy."""
    with pytest.raises(ConfigError) as refusal:
        record(old).check(Path("run"), record(now, rate))
    return str(refusal.value).removeprefix("run holds a run that was begun with other data: ").split("; ")[0]


A, B, C = file("a"), file("b", "a"), file("c")


def test_a_copy_that_comes_or_goes_is_a_file() -> None:
    assert said([A, B, C], [A, C]) == "missing is b"
    assert said([A, B, C], [B, C]) == "missing is a"
    assert said([A, C], [A, B, C]) == "new is b"
    assert said([A, B, C], [C]) == "missing is a and 1 more"
    assert said([A, B, C], [A, file("d"), C]) == "new is d and missing is b"
    moved = [file("new/a", "a"), file("new/c", "c")]
    assert said([A, B, C], moved) == "missing is b"  # the last one, where no path is as before


def test_another_use_or_kind_is_said_of_the_file_that_has_it() -> None:
    held = file("b", "a", use="validation")
    assert said([A, held, C], [A, B, C]) == "b was held out for validation and is trained on now"
    assert said([A, B, C], [A, held, C]) == "b was trained on and is held out for validation now"
    assert said([A, B, C], [A, file("b", "a", kind="speech"), C]) == "b had the kind '' and has 'speech'"


def test_another_rate_is_no_other_order() -> None:
    assert said([A, C], [A, C], rate=48000) == "it was at 44100 Hz and is at 48000 Hz now"
    assert said([A, C], [C, A]) == "the same files came in another order"


@pytest.mark.parametrize("files", [[A, C], [B, C, A]])
def test_a_process_that_is_killed_leaves_no_halves_of_two_records(
    files: list[DataFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RECORDS).mkdir()
    first, second = record([A, C]), record(files)
    first.save(tmp_path, None)

    @contextmanager
    def killed(path: Path) -> Iterator[BinaryIO]:
        if path.name == "training.json":
            raise KeyboardInterrupt
        with replacing(path) as out:
            yield out

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(record_module, "replacing", killed)
        second.save(tmp_path, first)
    assert record_module.read(tmp_path) == (first if files == [A, C] else None)
    second.save(tmp_path, None)
    assert record_module.read(tmp_path) == second


some = st.lists(
    st.builds(file, st.sampled_from("abcdefgh"), st.sampled_from("xyz")),
    max_size=8, unique_by=lambda file: file.path,
)  # fmt: skip


@given(old=some, now=some)
def test_what_is_said_is_so(old: list[DataFile], now: list[DataFile]) -> None:
    """Of files that all have one use and one kind."""
    keys = [file.key for file in old], [file.key for file in now]
    if keys[0] == keys[1]:
        record(old).check(Path("run"), record(now))
        return
    text = said(old, now)
    assert (text == "the same files came in another order") is (Counter(keys[0]) == Counter(keys[1]))
    for what, files, others, count in (
        ("new", now, old, (Counter(keys[1]) - Counter(keys[0])).total()),
        ("missing", old, now, (Counter(keys[0]) - Counter(keys[1])).total()),
    ):
        found = re.search(rf"{what} is (\w)(?: and (\d+) more)?", text)
        assert (int(found[2] or 0) + 1 if found else 0) == count
        if found:
            (named,) = [file for file in files if file.path == found[1]]
            assert Counter(f.key for f in files)[named.key] > Counter(f.key for f in others)[named.key]
