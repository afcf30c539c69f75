"""Globs find what Python's find, and do not go in circles."""

from __future__ import annotations

import glob
import os
import socket
from pathlib import Path

import pytest

from streamrvq import InputError
from streamrvq.corpus.globs import globbed
from streamrvq.corpus.sources import collect, find_sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.d" / "b").mkdir(parents=True)
    for name in ("x.wav", "a.d/y.wav", "a.d/b/z.wav"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a.d")
    (tmp_path / ".hidden").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern", ["*.wav", "**/*.wav", "**", "*.d/**/*.wav", "./**/b/*", "link/**", "{}/**/*.wav",
                                     "**/**/*.wav", "**/b/**", "a.d/**/b/**/*.wav", "nothing/../**/*.wav"])  # fmt: skip
def test_what_python_finds_each_real_file_once(folder: Path, pattern: str) -> None:
    pattern = pattern.format(folder)
    wanted = {os.path.realpath(path) for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}
    if not wanted:
        with pytest.raises(InputError, match="matches no file"):
            globbed(pattern)
        return
    found = [path for path in globbed(pattern) if os.path.isfile(path)]
    assert sorted(map(os.path.realpath, found)) == sorted(wanted)
    assert found == sorted(found)
    assert not any(path.startswith("link") for path in found) or pattern.startswith("link")  # its real name comes first


@pytest.mark.parametrize("pattern", ["**/*.wav", "*/**/*.wav", "**", "{}/**/*", "{}"])
def test_links_that_lead_back_end_there(folder: Path, pattern: str) -> None:
    (folder / "a.d" / "b" / "back").symlink_to("..")
    (folder / "a.d" / "self").symlink_to(".")
    (folder / "a.d" / "loop").symlink_to("loop")  # which no system follows
    (folder / "a.d" / "all").symlink_to(folder)
    sources = find_sources([pattern.format(folder)])
    real = [os.path.realpath(source.file) for source in sources]
    assert sorted(set(real)) == sorted(real)
    assert len(real) == 3


def test_a_folder_that_only_a_link_leads_to_is_a_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "w.wav").touch()
    (folder / "a.d" / "linked").symlink_to(other)
    for entry in ("a.d", "a.d/**/*.wav", "a.d/*", "a.d/linked", "a.d/linked/*.wav"):
        assert "a.d/linked/w.wav" in [source.path for source in find_sources([entry])], entry


def test_a_link_that_leads_elsewhere_the_next_time(tmp_path: Path) -> None:
    """The same process looks again: what was one file twice may be two now."""
    for name in ("a", "b", "all"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "1.wav").touch()
    link = tmp_path / "all" / "x"
    link.symlink_to(tmp_path / "a")
    entries = [tmp_path / "all", tmp_path / "a"]
    assert [source.file for source in find_sources(entries)] == [str(tmp_path / "a" / "1.wav")]
    link.unlink()
    link.symlink_to(tmp_path / "b")
    assert [source.file for source in find_sources(entries)] == [str(tmp_path / "a" / "1.wav"), str(link / "1.wav")]


def test_what_is_no_file_is_passed_over_and_named(folder: Path) -> None:
    """Pipes, sockets, links to nothing, what a Mac leaves; a name that no audio file has, but only in a folder."""
    (folder / "p").mkdir()
    for name in ("._s.wav", "notes.txt", "s.wav"):
        (folder / "p" / name).touch()
    os.mkfifo(folder / "p" / "fifo.wav")
    (folder / "p" / "gone.wav").symlink_to("nowhere.wav")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("p/socket.wav")
    passed = {"p/._s.wav": "a Mac", "p/fifo.wav": "a pipe", "p/gone.wav": "leads to nothing", "p/socket.wav": "socket"}
    for entry in ("p", "p/*.wav", "**/p/*", "p*", "p/*.*", "p/**"):
        files, over = collect([entry])
        named, kept = {item.path: item.reason for item in over}, {source.path for source in files}
        hidden = ("p/*.wav", "**/p/*", "p/*.*")  # which a star does not match
        some = {path: words for path, words in passed.items() if entry not in hidden or "._" not in path}
        assert all(words in named[path] for path, words in some.items()), (entry, named)
        assert "p/s.wav" in kept
        assert not kept & passed.keys()
        assert ("p/notes.txt" in kept) == (entry == "p/*.*")  # which asks for it
    with pytest.raises(InputError, match=r"matches no audio files.*\(1 file passed over: p/\._s\.wav"):
        collect(["p/._s.wav*", "a.d"])
    assert [source.path for source in find_sources(["p/fifo.wav", "p/gone.wav"])] == ["p/fifo.wav", "p/gone.wav"]


def test_links_that_double_at_each_level_are_followed_once(tmp_path: Path) -> None:
    for level in range(30):  # of 2^30 paths; a system follows 40 links in one
        (tmp_path / str(level)).mkdir()
        for name in "ab":
            (tmp_path / str(level) / name).symlink_to(f"../{level + 1}")
    (tmp_path / "29" / "x.wav").touch()
    assert len(globbed(f"{tmp_path}/0/**/*.wav")) == 1


def test_folders_that_lie_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):  # a path of that length can be had only step by step
        os.mkdir("a")
        os.chdir("a")
    for sources in (f"{tmp_path}/**/*.wav", str(tmp_path)):
        with pytest.raises(InputError, match=r"matches no|holds no audio"):
            find_sources([sources])
    while Path.cwd() != tmp_path:  # pytest could not remove it
        os.chdir("..")
        os.rmdir("a")
