"""Files and lines that are there whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.system import atomic_file
from streamrvq.system.atomic_file import append_line, replacing, replacing_together


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
        assert not (tmp_path / "x").exists()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"new")]


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=9)),
    torn=st.binary(max_size=20), piece=st.integers(1, 8),
)  # fmt: skip
def test_a_line_comes_behind_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], torn: bytes, piece: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_file, "_PIECE", piece)
        for line in lines:
            append_line(path, line)
            with open(path, "ab") as file:  # as a killed process leaves it
                file.write(torn.replace(b"\n", b""))
        append_line(path, "last")
    assert path.read_bytes().split(b"\n") == [line.encode() for line in [*lines, "last", ""]]


class _Full:
    """A file that takes half of a write, and then no more."""

    def __init__(self, file: object) -> None:
        self._file, self._full = file, False

    def write(self, data: bytes) -> int:
        if self._full:
            raise OSError(28, "No space left on device")
        self._full = True
        return int(self._file.write(bytes(data)[: len(data) // 2]))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # type: ignore[attr-defined]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_line(tmp_path / "log", "one")
    with monkeypatch.context() as patch:
        patch.setattr(atomic_file, "open", lambda *args, **given: _Full(open(*args, **given)), raising=False)  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            append_line(tmp_path / "log", "two")
    assert (tmp_path / "log").read_bytes() == b"one\n"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 200 + ".safetensors"], ids=["255", "two bytes", "suffix"])
def test_a_name_that_the_system_takes_is_taken(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as file:
        file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128], ids=["256", "two bytes"])
def test_a_name_that_is_too_long_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="more than 255 bytes") as refused, replacing(tmp_path / name) as file:
        file.write(b"new")
    assert refused.value.filename == str(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing, replacing(tmp_path / "no" / "x"):
        pass
    assert missing.value.filename == str(tmp_path / "no" / "x")
    assert str(missing.value).endswith("/no/x'")
    with pytest.raises(OSError, match="space") as full, replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "no space")
    assert full.value.filename == str(tmp_path / "x")


def test_an_error_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    for other in (OSError("mine"), OSError(errno.ENOENT, "none", "other")):
        name = other.filename
        with pytest.raises(OSError) as raised, replacing(tmp_path / "x"):
            raise other
        assert raised.value is other
        assert raised.value.filename == name


def test_a_temporary_name_has_no_half_of_a_character(tmp_path: Path) -> None:
    """Which some systems refuse."""
    with replacing(tmp_path / ("x" + "é" * 120)):
        (part,) = tmp_path.iterdir()
        assert 100 < len(part.name.encode()) < 143


def test_files_that_belong_together_stay_whole_as_long_as_they_can(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    for name in names:
        (tmp_path / name).write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing_together(tmp_path, names) as files:
        for file in files:
            file.write(b"new")
        assert {(tmp_path / name).read_bytes() for name in names} == {b"old"}
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(names, b"old")
    with replacing_together(tmp_path, names) as files:
        for file, name in zip(files, names, strict=True):
            file.write(name.encode())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: name.encode() for name in names}
