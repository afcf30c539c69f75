"""Audio that tools/corpus makes: rooms, rendered notes, synthesised speech, and how they are counted."""

import math
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.synthetic import sound
from tools.corpus_build import midi, rooms, speech
from tools.corpus_build.build import Package, build
from tools.corpus_build.debian import default_cache
from tools.corpus_build.errors import CorpusError
from tools.corpus_build.manifest import ADDED, bandwidth, read_manifest, table
from tools.corpus_build.sources import Source
from tools.quality_measure.clips import validation_clips

RATE = 44100
DRY = Source("train", "speech", "dry", "kokoro", "Apache-2.0", ("*",), minutes=9, lowest=24000, origin="synthetic",
             weight=3, speakers=4)  # fmt: skip
WET = Source("train", "speech", "wet", "kokoro", "Apache-2.0", ("*",), minutes=9, lowest=24000, origin="in rooms")


def test_the_direct_sound_comes_first_and_the_rest_decays():
    source, listener = (1.0, 1.2, 1.5), (3.1, 2.2, 1.1)
    response = rooms.impulse_response((5.0, 4.0, 3.0), source, listener, 0.4, 0.3)
    direct = np.linalg.norm(np.subtract(source, listener)) / rooms.SOUND
    assert np.abs(response).argmax() / RATE == pytest.approx(direct, abs=1 / RATE)
    assert float(np.abs(response[: int((direct - 0.002) * RATE)]).max()) < 0.03 * np.abs(response).max()
    left = np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2)
    decay = 3 * (np.argmax(left < 10**-2.5) - np.argmax(left < 10**-0.5)) / RATE
    assert 0.25 < decay < 0.8  # Eyring's formula is for sound from everywhere


def test_packages_are_kept_where_there_is_no_home_too(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("STREAMRVQ_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache() == Path("build/corpus")
    monkeypatch.setenv("STREAMRVQ_CACHE", "/kept")
    assert default_cache() == Path("/kept/corpus")


def test_a_room_depends_on_its_name_alone():
    pcm = (0.1 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    one, again, other = (rooms.place(pcm, name) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.dtype == np.float32
    assert len(one) == len(pcm)
    assert float(np.sqrt(np.mean(one**2))) == pytest.approx(0.1, rel=0.1)
    loud = rooms.place(np.sign(pcm), "a")
    assert float(np.abs(loud).max()) == pytest.approx(0.99)


def wad(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"".join(data for _, data in parts)
    entries, at = b"", 12
    for name, data in parts:
        entries += struct.pack("<ii8s", at, len(data), name)
        at += len(data)
    return struct.pack("<4sii", b"PWAD", len(parts), 12 + len(body)) + body + entries


def test_notes_are_found_in_archives_once(tmp_path):
    (tmp_path / "a.wad").write_bytes(wad((b"D_E1M1", b"MThd one"), (b"PLAYPAL", b"colours"), (b"D_E1M2", b"MThd two")))
    (tmp_path / "b.mid").write_bytes(b"MThd two")
    (tmp_path / "c.mid").write_bytes(b"MThd three")
    assert [name for name, _ in midi.tunes(tmp_path)] == ["a_D_E1M1", "a_D_E1M2", "c"]
    for broken in (b"", b"IWAD", b"what is this", struct.pack("<4sii", b"IWAD", 1 << 30, 12)):
        (tmp_path / "d.wad").write_bytes(broken)
        with pytest.raises(CorpusError, match=r"d\.wad"):
            list(midi.tunes(tmp_path))


@pytest.fixture
def notes(tmp_path, monkeypatch) -> tuple[Package, Package]:
    """Two tunes and an instrument; a FluidSynth that writes a sound and counts its calls."""
    for name in ("notes", "font"):
        (tmp_path / name / "usr/share/doc" / name).mkdir(parents=True)
        (tmp_path / name / "usr/share/doc" / name / "copyright").write_text(f"free {name}")
    (tmp_path / "notes/a.mid").write_bytes(b"MThd a")
    (tmp_path / "notes/b.mid").write_bytes(b"MThd b")
    (tmp_path / "font/all.sf2").write_bytes(b"RIFF")
    (tmp_path / "sound.wav").write_bytes(sound(2, 48000, channels=2))
    program = tmp_path / "bin/fluidsynth"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "x $*" >> {tmp_path}/calls\nwhile [ "$1" != -F ]; do shift; done\n'
        f'cp {tmp_path}/sound.wav "$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return Package(tmp_path / "notes", "1", "n"), Package(tmp_path / "font", "1", "f")


def test_notes_are_rendered_once_and_rendering_continues(tmp_path, notes):
    made = midi.render(*notes, tmp_path / "out", lambda line: None)
    info = soundfile.info(made.folder / "a.flac")
    assert (info.samplerate, info.channels, info.frames) == (48000, 1, 96000)
    assert (made.folder / "usr/share/doc/font/copyright").read_text() == "free font"
    (made.folder / "b.flac").unlink()
    midi.render(*notes, tmp_path / "out", lambda line: None)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 3
    assert all("synth.cpu-cores=1" in call for call in calls)
    midi.render(notes[0], Package(notes[1].folder, "2", "other"), tmp_path / "out", lambda line: None)
    assert len((tmp_path / "calls").read_text().splitlines()) == 5  # other instruments: all again


def test_without_fluidsynth_it_says_so(tmp_path, notes, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CorpusError, match="Debian package fluidsynth"):
        midi.render(*notes, tmp_path / "out")


class Speaker:
    """In place of the synthesiser: a second of sound that depends on what it was asked."""

    def __init__(self) -> None:
        self.voices = {name: np.zeros((510, 256), np.float32) for name in (*speech.HELD, "af_x", "zm_y")}
        self.asked: list[str] = []

    def speak(self, text: str, voice: np.ndarray, british: bool = False, speed: float = 1.0) -> np.ndarray:
        self.asked.append(text)
        rng = np.random.default_rng([len(text), len(self.asked)])
        return (0.1 * rng.standard_normal(24000)).astype(np.float32)


TEXTS = [f"{'word ' * n}end." for n in range(8, 24)]


def test_speech_can_be_interrupted_and_continued(tmp_path):
    speech.make(tmp_path / "a", TEXTS, Speaker, hours=4.5 / 3600)
    speech.make(tmp_path / "b", TEXTS, Speaker, hours=2 / 3600)
    written = tmp_path / "b" / speech.TABLE
    written.write_text(written.read_text() + "00002.flac\taf_")  # cut off within a line
    speech.make(tmp_path / "b", TEXTS, Speaker, hours=4.5 / 3600)
    assert (tmp_path / "a" / speech.TABLE).read_text() == written.read_text()
    rows = speech.table(tmp_path / "a")
    assert [row["file"] for row in rows] == [f"{n:05d}.flac" for n in range(5)]
    assert not {row["voice"] for row in rows} & set(speech.HELD)
    assert len({row["text"] for row in rows}) == 5

    def never() -> Speaker:
        raise AssertionError("nothing was missing")

    speech.make(tmp_path / "a", TEXTS, never, hours=4.5 / 3600)
    assert speech.package(tmp_path / "a", hours=2.5 / 3600).names == {"00000.flac", "00001.flac", "00002.flac"}


def test_the_voices_of_validation_are_not_trained_on(tmp_path):
    speech.make(tmp_path / "held", TEXTS, Speaker, held=speech.HELD_CLIPS)
    assert [row["voice"] for row in speech.table(tmp_path / "held")] == [*speech.HELD, *speech.HELD]
    with pytest.raises(CorpusError, match="a voice of validation"):
        speech.package(tmp_path / "held")
    with pytest.raises(CorpusError, match="wanted a folder of speech"):
        speech.package(tmp_path)


def test_sentences_are_examples_and_longer_definitions(tmp_path):
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    for part in ("adj", "adv", "noun", "verb"):
        (folder / f"data.{part}").write_text("  1 the licence | of the file\n")
    (folder / "data.noun").write_text(
        '0001 | short; "she had a long   talk with her neighbour"; "too short"\n'
        "0002 | a definition that is long enough to be read aloud as one sentence\n"
        f"0003 | what has odd characters = is not read {'x ' * 30}\n"
    )
    assert speech.sentences(tmp_path) == [
        "A definition that is long enough to be read aloud as one sentence.",
        "She had a long talk with her neighbour.",
    ]


def test_clips_in_rooms_stand_beside_the_dry_ones(tmp_path):
    speech.make(tmp_path / "speech", TEXTS, Speaker, hours=4 / 3600)
    packages = {"kokoro": speech.package(tmp_path / "speech")}
    rows = build(tmp_path / "set", (DRY, WET), packages, say=lambda line: None)
    assert rows == read_manifest(tmp_path / "set")
    (dry, wet) = rows
    assert (dry["origin"], dry["bandwidth"], dry["weight"], dry["speakers"]) == ("synthetic", "mid", "3", "4")
    assert (wet["origin"], wet["weight"], wet["speakers"]) == ("in rooms", "1", "")
    pair = [soundfile.read(tmp_path / "set" / row["path"])[0] for row in rows]
    assert len(pair[0]) == len(pair[1])
    assert not np.allclose(*pair)
    assert table(rows)[2:] == [
        "| train | speech | in rooms | mid | 0.00 | 1 |  | Apache-2.0 |",
        "| train | speech | synthetic | mid | 0.00 | 1 | 4 | Apache-2.0 |",
    ]


def test_quality_is_measured_on_recordings(tmp_path):
    (tmp_path / "bells").mkdir()
    for number in range(4):
        (tmp_path / "bells" / f"{number}.wav").write_bytes(sound(5, seed=number))
    recorded = Source("validation", "sound", "bells", "pushover-data", "GPL-3+", ("*",), clips=2)
    wet = replace(recorded, group="bells_rooms", origin="in rooms")
    build(tmp_path / "set", (recorded, wet), {"pushover-data": Package(tmp_path / "bells")}, say=lambda line: None)
    assert len(read_manifest(tmp_path / "set")) == 4
    assert {clip.group for clip in validation_clips(tmp_path / "set")} == {"bells"}


def test_long_files_are_used_from_beginning_to_end(tmp_path):
    (tmp_path / "music").mkdir()
    for name, seconds in (("a", 12.7), ("b", 4.6)):
        (tmp_path / "music" / f"{name}.wav").write_bytes(sound(seconds, seed=len(name)))
    source = Source("train", "music", "all", "music", "CC0-1.0", ("*",), minutes=9, cut=4, whole=True)
    packages = {"music": Package(tmp_path / "music")}
    rows = build(tmp_path / "set", (source,), packages, say=lambda line: None)
    assert sorted(row["files"] for row in rows) == ["a.wav@0.0", "a.wav@4.0", "a.wav@8.0", "b.wav@0.0"]
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(17.3, abs=0.01)
    source = replace(source, minutes=math.inf)
    for scale, seconds in ((1.0, 17.3), (0.5, 8.65)):
        rows = build(tmp_path / "set", (source,), packages, scale, say=lambda line: None)
        assert sum(float(row["seconds"]) for row in rows) == pytest.approx(seconds, abs=1)


def test_the_manifest_of_an_older_set_is_read(tmp_path):
    rates = ("44100/96000", "22050/48000", "24000", "16000")
    assert [bandwidth(rate) for rate in rates] == ["wide", "mid", "mid", "narrow"]
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.wav").write_bytes(sound(3))
    source = Source("train", "music", "all", "music", "CC0-1.0", ("*",), minutes=9, cut=4)
    build(tmp_path / "set", (source,), {"music": Package(tmp_path / "music")}, say=lambda line: None)
    manifest = tmp_path / "set" / "manifest.csv"
    lines = [line.split(",") for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(",".join(line[: -len(ADDED)]) + "\n" for line in lines))
    (row,) = read_manifest(tmp_path / "set")
    assert (row["origin"], row["bandwidth"], row["weight"]) == ("recorded", "wide", "1")
