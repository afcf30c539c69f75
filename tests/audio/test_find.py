"""What lies in a folder: every audio file once, and everything else with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamrvq.audio.find import search, sentence
from streamrvq.errors import InputError


def test_every_entry_is_audio_or_has_a_reason(tmp_path: Path) -> None:
    (deep := tmp_path / "b" / "deep er").mkdir(parents=True)
    for name in ("a.wav", "UP.WAV", "talk.m4a", "film.webm", ".hidden.flac", "b/deep er/x.opus"):
        (tmp_path / name).write_bytes(b"x")
    odd = os.fsdecode(os.path.join(os.fsencode(deep), b"caf\xe9.mp3"))
    Path(odd).write_bytes(b"x")
    for name in ("._a.wav", "notes.txt", "no_suffix", "bare.raw"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "q.wav")
    (tmp_path / "gone.wav").symlink_to("/nonexistent.wav")
    found = search(tmp_path)
    assert {path.name for path in found.audio} == {
        "a.wav", "UP.WAV", "talk.m4a", "film.webm", ".hidden.flac", "x.opus", Path(odd).name
    }  # fmt: skip
    assert {Path(item.path).name: item.reason for item in found.passed} == {
        "._a.wav": "what a Mac keeps beside a file", "notes.txt": "its name ends like no audio file",
        "no_suffix": "its name ends like no audio file", "bare.raw": "its name ends like no audio file",
        "q.wav": "a pipe", "gone.wav": "a link that leads to nothing",
    }  # fmt: skip
    assert found.audio == sorted(found.audio)
    assert found.passed == sorted(found.passed)
    said = sentence(found.passed)
    assert said.startswith("6 files passed over: ")
    assert all(Path(item.path).name in said for item in found.passed)


def test_links_in_a_circle_double_nothing_and_links_elsewhere_are_followed(tmp_path: Path) -> None:
    (inside := tmp_path / "in").mkdir()
    (other := tmp_path / "other").mkdir()
    (inside / "a.wav").write_bytes(b"x")
    (other / "b.wav").write_bytes(b"x")
    (inside / "0loop").symlink_to(".")
    (inside / "link").symlink_to(other)
    (inside / "again").symlink_to(other)
    assert search(inside).audio == [inside / "a.wav", inside / "again" / "b.wav"]


def test_a_folder_without_audio_names_what_it_holds(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds no audio files; .*12 files passed over: .*00\.txt.* and 2 more \("):
        search(tmp_path).check(tmp_path)
