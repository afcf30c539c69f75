"""Names of files as text: always text, and two names that are not UTF-8 never become one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.system.names import absolute, as_text

NAMES = st.lists(st.sampled_from([b"a", b"\xe9", b"\xff", b"\\", b"\\xff", "é".encode(), b"/"]), max_size=6).map(
    lambda parts: os.fsdecode(b"".join(parts))
)


@given(st.text())
def test_text_stays_as_it_is(name: str) -> None:
    text = name.encode("utf-8", "ignore").decode()
    assert as_text(text) == text


@given(NAMES, NAMES)
def test_names_that_are_no_text_become_some_and_stay_two(one: str, other: str) -> None:
    as_text(one).encode()
    bad = [name for name in (one, other) if as_text(name) != name]
    if len(bad) == 2:
        assert (as_text(one) == as_text(other)) == (one == other)


def test_each_byte_has_two_digits() -> None:
    assert as_text(os.fsdecode(b"caf\xe9\\1.wav")) == r"caf\xe9\\1.wav"


def test_an_absolute_path_leads_where_the_path_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    monkeypatch.chdir(tmp_path)
    real = Path(os.path.realpath(tmp_path))
    for path, wanted in {
        "x": tmp_path / "x",
        "a/../x": tmp_path / "x", "nothing/../x": tmp_path / "x", "link/x": tmp_path / "link" / "x",
        "link/./x/": tmp_path / "link" / "x", "link/../x": real / "a" / "x", "link/..": real / "a",
        "link/../..": tmp_path, "link/../b/../x": real / "a" / "x", "a/..x": tmp_path / "a" / "..x",
    }.items():  # fmt: skip
        assert absolute(path) == str(wanted), path
        assert os.path.realpath(absolute(path)) == os.path.realpath(path)
