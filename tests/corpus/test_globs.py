"""Globs find what Python's find, and do not go in circles."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from streamrvq import InputError
from streamrvq.corpus.globs import globbed
from streamrvq.corpus.sources import find_sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.d" / "b").mkdir(parents=True)
    for name in ("x.wav", "a.d/y.wav", "a.d/b/z.wav"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a.d")
    (tmp_path / ".hidden").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern", ["*.wav", "**/*.wav", "**", "*.d/**/*.wav", "./**/b/*", "link/**", "{}/**/*.wav"])
def test_links_are_followed_as_before(folder: Path, pattern: str) -> None:
    pattern = pattern.format(folder)
    assert globbed(pattern) == sorted(glob.glob(pattern, recursive=True))


@pytest.mark.parametrize("pattern", ["**/*.flac", "*/**/*.wav", "{}/**"])
def test_a_link_that_leads_back_is_named(folder: Path, pattern: str) -> None:
    (folder / "a.d" / "b" / "back").symlink_to("..")
    with pytest.raises(InputError, match=r"b/back leads back to a folder above it"):
        find_sources([pattern.format(folder)])


def test_a_circle_elsewhere_does_not_matter(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "back").symlink_to(".")
    assert globbed("a.d/**/*.wav") == ["a.d/b/z.wav", "a.d/y.wav"]


def test_links_that_double_at_each_level_are_counted_and_not_followed(tmp_path: Path) -> None:
    for level in range(60):
        (tmp_path / str(level)).mkdir()
        for name in "ab":
            (tmp_path / str(level) / name).symlink_to(f"../{level + 1}")
    with pytest.raises(InputError, match=r"has \d{12,} folders"):
        globbed(f"{tmp_path}/0/**/*.wav")


def test_folders_that_lie_too_deep_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):  # a path of that length can be had only step by step
        os.mkdir("a")
        os.chdir("a")
    for sources in (f"{tmp_path}/**/*.wav", str(tmp_path)):
        with pytest.raises(InputError, match="RecursionError"):
            find_sources([sources])
    while Path.cwd() != tmp_path:  # pytest could not remove it
        os.chdir("..")
        os.rmdir("a")
