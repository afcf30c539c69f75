"""Sources whose names differ in case only: two files on Linux, one on macOS, and never one that replaces the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from streamrvq.cli.stored.same_file import keys_of
from streamrvq.cli.stored.targets import Source, plan
from streamrvq.errors import InputError
from tests.support.command import Run
from tests.support.contract import noise


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes everything below a folder be found under names of any case, as on macOS."""

    def blinded(folder: Path) -> None:
        honest = os.path.lexists

        def lexists(path: str | os.PathLike[str]) -> bool:
            folder_of, name = os.path.split(path)
            if folder not in Path(path).parents or not os.path.isdir(folder_of):
                return honest(path)
            return name.lower() in map(str.lower, os.listdir(folder_of))

        monkeypatch.setattr(os.path, "lexists", lexists)

    return blinded


def tells_case(folder: Path) -> bool:
    """Whether the folder's file system really does."""
    (folder / "probe").touch()
    told = not (folder / "PROBE").exists()
    (folder / "probe").unlink()
    return told


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two files in two folders, with names that differ in case."""
    files = [tmp_path / "d1" / "Intro.wav", tmp_path / "d2" / "intro.wav"]
    for number, file in enumerate(files):
        file.parent.mkdir()
        soundfile.write(file, noise(1000 + number), 44100)
    return files


def test_they_are_told_apart_where_the_file_system_does(
    run: Run, tmp_path: Path, weights: Path, two: list[Path]
) -> None:
    done = run("encode", *two, "-o", tmp_path / "out", "--codec", weights)
    if tells_case(tmp_path):
        assert done.code == 0, done.err
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"Intro.safetensors", "intro.safetensors"}
    else:
        assert "would both be written to" in done.sentence
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("made", ["no folder", "an empty folder", "a folder"])
def test_they_are_refused_where_one_would_replace_the_other(
    run: Run, tmp_path: Path, weights: Path, two: list[Path], blind: Callable[[Path], None], made: str
) -> None:
    out = tmp_path / "out"
    if made != "no folder":
        out.mkdir()
    if made == "a folder":
        (out / "notes.txt").touch()
    blind(tmp_path)
    sentence = run("encode", *two, "-o", out, "--codec", weights).sentence
    assert f"{two[0]} and {two[1]} would both be written to {out / 'Intro.wav.safetensors'}" in sentence
    assert f"{out / 'intro.wav.safetensors'} is the same file here" in sentence
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_those_of_other_endings_keep_them(tmp_path: Path, blind: Callable[[Path], None]) -> None:
    sources = [Source(tmp_path / name, Path(name)) for name in ("Intro.wav", "intro.flac", "other.wav")]
    (tmp_path / "there").touch()
    blind(tmp_path)
    jobs, failures = plan(sources, None, False)
    assert failures == []
    assert [job.target.name for job in jobs] == ["Intro.wav.safetensors", "intro.flac.safetensors", "other.safetensors"]


def test_one_file_in_two_spellings_is_encoded_once(tmp_path: Path, blind: Callable[[Path], None]) -> None:
    (tmp_path / "intro.wav").touch()
    names = ["intro.wav", "Intro.wav", "INTRO.WAV"]
    blind(tmp_path)
    jobs, _ = plan([Source(tmp_path / name, Path(name)) for name in names], tmp_path / "out", False)
    assert [job.source.name for job in jobs] == ["intro.wav"]


def test_spellings_of_one_letter_count_as_case(tmp_path: Path, blind: Callable[[Path], None]) -> None:
    (tmp_path / "there").touch()
    blind(tmp_path)
    names = ("\u00e9t\u00e9.wav", "E\u0301te\u0301.wav")
    with pytest.raises(InputError, match="would both be written to"):
        plan([Source(tmp_path / f"d{n}" / name, Path(name)) for n, name in enumerate(names)], tmp_path / "out", False)


def test_only_what_lies_in_a_blind_folder_is_folded(tmp_path: Path, blind: Callable[[Path], None]) -> None:
    if not tells_case(tmp_path):
        pytest.skip("this file system does not tell case apart")
    for folder in ("Blind", "blind"):
        (tmp_path / folder / "sub").mkdir(parents=True)
    blind(tmp_path / "Blind")
    one, other = tmp_path / "Blind" / "sub" / "x.wav", tmp_path / "Blind" / "SUB" / "X.wav"
    far, near = tmp_path / "blind" / "sub" / "x.wav", tmp_path / "blind" / "sub" / "X.wav"
    keys = keys_of([one, other, far, near])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
