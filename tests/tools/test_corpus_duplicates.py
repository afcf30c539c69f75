"""What is judged on is not trained on, however it was changed: spectral fingerprints, alone and in a set."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.synthetic import tone
from tools.corpus_build.audio import resample
from tools.corpus_build.build import Package, build
from tools.corpus_build.fingerprint import SHORTEST, Judged, fingerprint
from tools.corpus_build.manifest import read_manifest
from tools.corpus_build.sources import Source

RATE = 44100


def melody(seed: int, seconds: float) -> np.ndarray:
    """Notes with overtones and noise: unlike a steady tone it differs from second to second."""
    rng = np.random.default_rng(seed)
    notes = []
    for _ in range(int(seconds * 5)):
        time = np.arange(RATE // 5) / RATE
        pitch = 150 * 2 ** rng.uniform(0, 2)
        note = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 9))
        notes.append(note * np.exp(-6 * time) + 0.02 * rng.standard_normal(len(time)))
    wave = np.concatenate(notes)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def changed(pcm: np.ndarray, how: str) -> np.ndarray:
    rng = np.random.default_rng(9)
    if how == "cut and quiet":
        return 0.1 * pcm[777 : 777 + 3 * RATE]
    if how == "another rate":
        return resample(resample(pcm, RATE, 16000), 16000, RATE)
    if how == "noise":
        return pcm + 0.02 * rng.standard_normal(len(pcm)).astype(np.float32)
    assert how == "within another"
    return np.concatenate([melody(100, 4.01), pcm[: 2 * RATE], melody(101, 5)])


@pytest.fixture(scope="module")
def judged() -> Judged:
    found = Judged()
    for seed in range(4):
        found.add(f"melody {seed}", melody(seed, 5))
    return found


@pytest.mark.parametrize("how", ["cut and quiet", "another rate", "noise", "within another"])
def test_a_changed_copy_is_found(judged, how):
    like = judged.find(changed(melody(2, 5), how))
    assert like is not None
    assert like.name == "melody 2"
    assert like.differ <= 0.2
    offset = {"cut and quiet": -777 / RATE, "within another": 4.0}.get(how, 0.0)
    assert like.at - like.judged_at == pytest.approx(offset, abs=0.05)


def test_other_sounds_are_not_found(judged):
    for seed in range(10, 14):
        assert judged.find(melody(seed, 12)) is None
    assert judged.find(np.zeros(RATE, np.float32)) is None
    assert judged.find(np.zeros(10, np.float32)) is None
    assert judged.find(tone(3)) is None
    assert Judged().find(melody(1, 2)) is None


def test_less_than_the_shortest_says_nothing(judged):
    assert judged.find(melody(2, 5)[: int((SHORTEST - 0.1) * RATE)]) is None
    assert len(fingerprint(np.zeros(0, np.float32)).words) == 0


def test_a_set_leaves_out_what_sounds_like_a_judged_clip_and_names_it(tmp_path: Path):
    for name, seeds in {"judged": (1, 2), "mine": (3, 4)}.items():
        (tmp_path / name).mkdir()
        for seed in seeds:
            soundfile.write(tmp_path / name / f"{seed}.wav", melody(seed, 5), RATE)
    soundfile.write(tmp_path / "mine" / "copy.ogg", 0.5 * melody(2, 5)[RATE:], RATE)
    soundfile.write(tmp_path / "mine" / "same.wav", melody(1, 5), RATE)
    packages = {"pushover-data": Package(tmp_path / "judged"), "folder:mine": Package(tmp_path / "mine")}
    mine = Source("train", "music", "mine", "folder:mine", "CC0-1.0", ("*",), minutes=9, cut=60, whole=True)
    judge = Source("validation", "music", "judge", "pushover-data", "GPL-3+", ("*",), clips=2)
    said: list[str] = []
    for out, sources, more in (("set", (mine, judge), ()), ("other", (mine,), (judge,))):
        build(tmp_path / out, sources, packages, say=said.append, judged=more)
        rows = [row["files"] for row in read_manifest(tmp_path / out) if row["split"] == "train"]
        assert sorted(rows) == ["3.wav@0.0", "4.wav@0.0"]
        with open(tmp_path / out / "left_out.csv", newline="") as file:
            because = {row["files"]: row["because"] for row in csv.DictReader(file)}
        assert because["same.wav"] == "it has the bytes of a file of the validation clips"
        assert "of bits differ" in because["copy.ogg@0.0"]
        assert len(because) == 2
    assert sum(line.startswith("left out of mine: copy.ogg") for line in said) == 2
