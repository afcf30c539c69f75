"""tools/corpus on synthetic packages: the same bytes in every run, disjoint splits, free licences, packing."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.synthetic import make_deb, sound, tone, zipped
from tools.corpus_build import debian_set, debs, english
from tools.corpus_build.build import Package, build
from tools.corpus_build.errors import CorpusError
from tools.corpus_build.licences import Copyright, check_free
from tools.corpus_build.manifest import check_disjoint, read_manifest
from tools.corpus_build.pack import pack, unpack
from tools.corpus_build.sources import KEPT_OUT, Source, check_file, check_sources, is_kept_out

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-2+
 the text

Files: data/music/*
 data/voice/a.wav
Copyright: 2020, Somebody
License: CC-BY-3.0

Files: ./data/music/second.ogg
License: CC0
"""
SPEECH = Source("train", "speech", "game_voice", "game", "GPL-2+", ("*/voice/*",), minutes=1)
MUSIC = Source("train", "music", "game_music", "game", "GPL-2+", ("*/music/*",), minutes=1, cut=12)
JUDGE = Source("validation", "sound", "bells", "pushover-data", "GPL-3+", ("*.wav",), clips=2)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Package]:
    cache = tmp_path_factory.mktemp("cache")
    game = make_deb(cache / "debs" / "game_1%3a1.0-1_all.deb", {
        "usr/share/doc/game/copyright": COPYRIGHT.encode(),
        "usr/share/game/voice/a.wav": sound(1.5, 48000, 1, channels=2),
        "usr/share/game/voice/b.wav": sound(2, seed=2),
        "usr/share/game/voice/copy_of_b.wav": sound(2, seed=2),
        "usr/share/game/voice/slow.wav": sound(2, 22050, 3),
        "usr/share/game/voice/silent.wav": sound(1)[:44] + bytes(88200),
        "usr/share/game/voice/no_audio.wav": b"nothing",
        "usr/share/game/picture.png": b"png",
        "usr/share/game/sounds.pk3": zipped({
            "music/first.wav": sound(40, seed=4), "music/second.wav": sound(5, seed=5),
        }),
    })  # fmt: skip
    bells = make_deb(cache / "debs" / "pushover-data_2.0_all.deb", {
        f"usr/share/pushover/{number}.wav": sound(2.3, 96000 if number else 44100, 10 + number) for number in range(6)
    })  # fmt: skip
    for deb in (game, bells):
        debs.unpack(deb, cache / "unpacked" / deb.name.split("_")[0])
    return {
        "game": Package(cache / "unpacked" / "game", debs.version(game), debs.sha256(game)),
        "pushover-data": Package(cache / "unpacked" / "pushover-data", "2.0", debs.sha256(bells)),
    }


def make(out: Path, packages: dict[str, Package], *sources: Source, scale: float = 1.0) -> list[dict[str, str]]:
    return build(out, sources or (SPEECH, MUSIC, JUDGE), packages, scale, lambda line: None)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def test_a_package_gives_its_sounds_and_its_terms_only(packages):
    names = set(digests(packages["game"].folder))
    assert "usr/share/game/sounds.pk3/music/first.wav" in names
    assert not [name for name in names if name.endswith(("png", ".archive"))]
    assert packages["game"].version == "1:1.0-1"


def test_a_second_run_gives_the_same_bytes(tmp_path, packages):
    make(tmp_path / "a", packages)
    make(tmp_path / "b", packages)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    make(tmp_path / "a", packages)  # in place of the old one
    assert digests(tmp_path / "a") == first
    assert {name.split("/")[0] for name in first} == {"manifest.csv", "sources.csv", "copyright", "train", "validation"}


def test_clips_are_what_the_manifest_says(tmp_path, packages):
    rows = make(tmp_path / "set", packages)
    assert rows == read_manifest(tmp_path / "set")
    for row in rows:
        info = soundfile.info(tmp_path / "set" / row["path"])
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (44100, 1, "PCM_16", int(row["samples"]))
        assert float(row["seconds"]) == pytest.approx(info.duration, abs=1e-3)
    (speech,) = [row for row in rows if row["kind"] == "speech"]  # joined; the copy, the slow, the silent one left out
    assert len(speech["files"].split(" | ")) == 2
    assert float(speech["seconds"]) == pytest.approx(3.5, abs=0.01)
    assert speech["native_rate"] == "44100/48000"
    assert speech["licence"] == "CC-BY-3.0; GPL-2+"
    music = [row for row in rows if row["kind"] == "music"]
    assert {row["licence"] for row in music} == {"CC-BY-3.0", "CC0"}
    assert sum(float(row["seconds"]) for row in music) == pytest.approx(60, abs=1.1)
    judged = [row for row in rows if row["split"] == "validation"]
    assert len(judged) == 2
    assert [row for row in judged if not 4 <= float(row["seconds"]) <= 6] == []


def test_scale_changes_training_alone(tmp_path, packages):
    rows = make(tmp_path / "set", packages, scale=0.5)
    assert sum(float(row["seconds"]) for row in rows if row["kind"] == "music") == pytest.approx(30, abs=1.1)
    assert sum(row["split"] == "validation" for row in rows) == 2


def test_no_source_of_the_real_set_is_on_both_sides():
    check_sources(debian_set.SOURCES)
    assert {source.split for source in debian_set.TRAIN} == {"train"}
    assert {source.split for source in debian_set.VALIDATION} == {"validation"}
    judged = (*debian_set.VALIDATION, *english.WORDS)
    # Synthesised speech, and voices that may be those of validation: no recording of these is judged on.
    kept_out = set(KEPT_OUT) - {"kokoro-held", "ktuberling-data"}
    assert {source.package for source in judged} == kept_out
    words = {source.package for source in english.WORDS}
    whole = {package for package in kept_out if KEPT_OUT[package] == ("*",)} - words
    assert whole == {"unknown-horizons", "pushover-data", "sonic-pi-samples", "sound-theme-freedesktop"}
    assert not whole & {source.package for source in debian_set.TRAIN}
    assert not words & {source.package for source in debian_set.SOURCES}
    kept = {
        "klettres-data": ["usr/share/klettres/hu/alpha/a.ogg", "usr/share/klettres/tn/syllab/ba.ogg"],
        "tuxpaint-stamps-default": ["usr/share/stamps/a/b_desc_da.ogg", "usr/share/stamps/a/b_desc_lt.ogg"],
        "0ad-data": ["usr/share/games/0ad/public.zip/audio/voice/latin/civ/civ_male_heal_1.ogg"],
    }
    for language in ("da", "lt"):
        name = f"usr/share/ktuberling/sounds/{language}/ear.ogg"
        assert is_kept_out("ktuberling-data", name)
        used = [source for source in debian_set.SOURCES if source.package == "ktuberling-data"]
        assert not [source for source in used if source.wants(name)]
    for package, names in kept.items():
        for name in names:
            assert is_kept_out(package, name)
            sides = {source.split for source in debian_set.SOURCES if source.package == package and source.wants(name)}
            assert sides == {"validation"}, name


@pytest.mark.parametrize("source", [
    Source("train", "speech", "x", "klettres-data", "GPL-2+", ("*",)),
    Source("validation", "speech", "x", "klettres-data", "GPL-2+", ("*",)),
])  # fmt: skip
def test_a_file_on_the_wrong_side_is_refused(source):
    with pytest.raises(CorpusError, match="KEPT_OUT"):
        check_file(source, "usr/share/klettres/hu/a.ogg" if source.split == "train" else "usr/share/klettres/de/a.ogg")


def test_training_on_a_kept_out_package_is_refused(tmp_path, packages):
    with pytest.raises(CorpusError, match="kept out"):
        make(tmp_path / "set", packages, replace(JUDGE, split="train", minutes=1))
    assert not (tmp_path / "set").exists()


def test_a_copy_of_a_validation_file_is_not_trained_on(tmp_path, packages):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "copy.wav").write_bytes((packages["pushover-data"].folder / "usr/share/pushover/0.wav").read_bytes())
    (mine / "own.wav").write_bytes(sound(3, seed=77))
    own = Source("train", "sound", "mine", "folder:mine", "CC0-1.0", ("*",))
    rows = make(tmp_path / "set", {**packages, "folder:mine": Package(mine)}, own, JUDGE)
    assert [row["files"] for row in rows if row["split"] == "train"] == ["own.wav"]


def test_a_manifest_with_a_file_on_both_sides_is_refused(tmp_path, packages):
    rows = make(tmp_path / "set", packages)
    rows.append({**rows[0], "group": "other", "split": "train" if rows[0]["split"] == "validation" else "validation"})
    with pytest.raises(CorpusError, match="in train and in validation"):
        check_disjoint(rows)


def test_licences():
    terms = Copyright(COPYRIGHT)
    assert terms.of("usr/share/game/data/music/first.ogg") == "CC-BY-3.0"
    assert terms.of("usr/share/game.pk3/music/second.opus") == "CC0"  # the source package had .ogg
    assert terms.of("usr/share/game/voice/a.wav") == "CC-BY-3.0"
    assert terms.of("usr/share/game/voice/b.wav") is None
    for licence in ("GPL-2+", "CC-BY-SA-4.0", "CC0", "GPL-3 or CC-BY-3.0", "public-domain", "GPL-2.0-or-later", "MIT"):
        assert check_free(licence, "a file") == licence
    for licence in ("CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-ND-4.0", "unknown", "", "MIT and CC-BY-NC-3.0"):
        with pytest.raises(CorpusError, match="wanted a free one"):
            check_free(licence, "a file")


def test_a_file_whose_copyright_file_says_otherwise_is_refused(tmp_path, packages):
    folder = tmp_path / "game"
    (folder / "usr/share/doc/game").mkdir(parents=True)
    (folder / "usr/share/doc/game/copyright").write_text("Files: voice/*\nLicense: CC-BY-NC-3.0\n")
    (folder / "voice").mkdir()
    (folder / "voice/a.wav").write_bytes(sound(2))
    with pytest.raises(CorpusError, match="CC-BY-NC"):
        make(tmp_path / "set", {"game": Package(folder)}, replace(SPEECH, patterns=("voice/*", "*/voice/*")))


def test_packed_and_unpacked(tmp_path, packages):
    rows = make(tmp_path / "set", packages)
    taken = pack(tmp_path / "set", tmp_path / "a.tar", 5, 64)
    assert [row["path"] for row in taken] == sorted(row["path"] for row in rows)
    pack(tmp_path / "set", tmp_path / "b.tar", 5, 64)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert unpack(tmp_path / "a.tar", tmp_path / "back") == taken
    was, now = digests(tmp_path / "set"), digests(tmp_path / "back")
    assert was.keys() == now.keys()
    for row in taken:
        first, second = (soundfile.read(tmp_path / name / row["path"])[0] for name in ("set", "back"))
        assert len(first) == len(second)
        if row["split"] == "validation":
            assert np.array_equal(first, second)
            assert row["coding"] == "lossless"
        else:  # nothing shifted: the tone is there, within what Opus makes of noise
            assert np.corrcoef(first, second)[0, 1] > 0.97
            assert row["coding"] == "opus 64 kbps"
    assert was["sources.csv"] == now["sources.csv"]


def test_a_packed_set_keeps_its_limit_and_its_validation(tmp_path, packages):
    rows = make(tmp_path / "set", packages)
    pack(tmp_path / "set", tmp_path / "all.tar")
    limit = (tmp_path / "all.tar").stat().st_size - 200_000
    taken = pack(tmp_path / "set", tmp_path / "a.tar", limit / 1e6)
    assert (tmp_path / "a.tar").stat().st_size <= limit
    assert 2 < len(taken) < len(rows)
    assert sum(row["split"] == "validation" for row in taken) == 2
    with pytest.raises(CorpusError, match="validation"):
        pack(tmp_path / "set", tmp_path / "a.tar", 0.3, 64)


def test_without_apt_it_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(debs.shutil, "which", lambda name: None)
    with pytest.raises(CorpusError, match=r"apt-get is not here.*klettres-data.*--unpack"):
        debs.fetch(tmp_path, ["klettres-data"])
    make_deb(tmp_path / "klettres-data_1_all.deb", {})
    debs.fetch(tmp_path, ["klettres-data"])  # by hand will do


def test_a_folder_with_something_else_is_not_replaced(tmp_path, packages):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mum.txt").write_text("dear")
    with pytest.raises(CorpusError, match="no corpus"):
        make(tmp_path / "letters", packages)
    assert (tmp_path / "letters" / "mum.txt").exists()


def run(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tools.corpus_build", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_command_line_takes_a_folder_and_packs_it(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    soundfile.write(mine / "long.flac", tone(30.5, 48000), 48000)
    assert re.search(r"train +music +3 clips +0\.5\d min", run(
        tmp_path / "set", "--no-debian", "--folder", mine, "music", "CC0-1.0"
    ))  # fmt: skip
    assert "3 of 3 clips" in run(tmp_path / "set", "--pack", tmp_path / "set.tar")
    assert "train" in run(tmp_path / "back", "--unpack", tmp_path / "set.tar")
    assert sorted(path.parent.name for path in (tmp_path / "back").rglob("*.flac")) == ["train"] * 3
    assert "wanted a free one" in run(
        tmp_path / "x", "--no-debian", "--folder", mine, "music", "CC-BY-NC-4.0", code=2
    )  # fmt: skip
