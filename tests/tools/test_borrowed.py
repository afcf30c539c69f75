"""A rehearsal of training on a borrowed machine: little travels, nothing is fetched, and it is killed in the middle.

Here the machine is a copy of the code in another folder, with a Python that has no soundfile but the one of the wheels.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import soundfile

from streamrvq.weights import load_weights, save_weights
from tests.support.contract import minute, noise, weights_of
from tests.support.patience import PATIENCE
from tools.training import borrowed
from tools.training import carry as carrying
from tools.training.carry import CarryError, carry
from tools.training.delivery import join
from tools.training.packs import pack
from tools.training.record import entries
from tools.training.schedule import speed_to_plan_with

CODEC = minute((4, 4), causal=True, stem=4, encoder_dim=4, decoder_dim=16)
Popen = subprocess.Popen[bytes]
HIDDEN = ("soundfile", "av", "soxr")
MEGABYTES = 0.5  #: of a pack: half of the set


@dataclass
class Away:
    """The borrowed machine, and what came back from it."""

    folder: Path  #: what travelled
    packs: list[Path]
    keep: Path
    out: Path
    blocked: Path

    @property
    def said(self) -> str:
        """By the last command, on stderr."""
        return (self.blocked / "stderr").read_text()

    def start(self, *packs: Path, minutes: float = 600, options: Sequence[str] = ()) -> Popen:
        """The command there. It has all the time that it could want, so that the machine's load decides nothing."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with open(self.blocked / "stderr", "w") as said:
            return self._start(
                said, env | {"PYTHONPATH": str(self.blocked), "OMP_NUM_THREADS": "1"}, packs, minutes, options
            )

    def _start(
        self, said: IO[str], env: dict[str, str], packs: Sequence[object], minutes: float, options: Sequence[str]
    ) -> Popen:
        return subprocess.Popen(
            [
                sys.executable, "-m", "tools.training.borrowed", "--packs", "carried", *map(str, packs), "--minutes",
                str(minutes), "--keep", self.keep, "--out", self.out, "--device", "cpu", "--config",
                self.folder / "tiny.json", "--from", "carried/weights/causal-44khz.safetensors", "--every", "0",
                "--part-bytes", "9000", *options,
            ],
            cwd=self.folder, env=env, stderr=said, start_new_session=True,
        )  # fmt: skip

    def step(self) -> int:
        """Of the result that came back so far."""
        path = self.out / "list.json"
        return int(json.loads(path.read_text())["step"]) if path.is_file() else -1


def write_set(folder: Path) -> Path:
    """A set of two kinds, of unequal length."""
    rows = []
    for i in range(14):
        kind, split = ("speech" if i % 7 < 5 else "music"), ("train" if i < 12 else "validation")
        path = f"{split}/{kind}_{i}.flac"
        (folder / split).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, (0.2 * noise(44100 * 2, seed=i)).astype(np.float32), 44100)
        rows.append({"path": path, "kind": kind, "group": f"g{i % 3}", "package": "p", "licence": "CC0-1.0",
                     "seconds": "2.0"})  # fmt: skip
    (folder / "copyright").mkdir()
    (folder / "copyright" / "p.txt").write_text("CC0-1.0\n")
    with open(folder / "manifest.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def wheels_of_here(folder: Path) -> None:
    """Wheels of what is installed, in place of those that pip fetches."""
    for name in ("soundfile", "cffi", "pycparser"):
        found = importlib.metadata.distribution(name)
        with zipfile.ZipFile(folder / f"{name}-{found.version}-py3-none-any.whl", "w") as wheel:
            for path in found.files or ():
                if ".." not in path.parts and "__pycache__" not in path.parts:
                    wheel.write(str(path.locate()), str(path))


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(carrying, "_fetch_wheels", wheels_of_here)
    packs = pack(write_set(tmp_path / "set"), tmp_path / "packs", MEGABYTES, {"speech": 0.5, "music": 0.5})
    weights = tmp_path / "weights.safetensors"
    save_weights(weights_of(CODEC), weights)
    travels = tmp_path / "travels"
    carry(travels, packs[:1], weights)
    (travels / "tiny.json").write_text(json.dumps({
        "codec": CODEC.to_dict(), "name": "causal-44khz", "batch": 2, "frames": 32, "codebook_frames": 128,
        "precision": "float32", "checkpoint_every": 2, "validate_every": 1 << 20, "validation_clips": 1,
        "validation_seconds": 0.1,
    }))  # fmt: skip
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in HIDDEN:
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not on this machine')\n")
    return Away(travels, packs, tmp_path / "keep", tmp_path / "out", blocked)


def until(process: Popen, true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, "the command ended by itself"
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


def test_killed_continued_and_joined(away: Away, tmp_path: Path) -> None:
    first = away.start()
    until(first, lambda: away.step() > 0)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept = join(away.out, tmp_path / "killed")["step"]
    assert load_weights(tmp_path / "killed" / "causal-44khz.safetensors").codec_hash != weights_of(CODEC).codec_hash

    for path in away.out.iterdir():  # as the machine empties it before each call
        path.unlink()
    second = away.start()
    until(second, lambda: away.step() > kept)
    second.terminate()  # what is left of the minutes is not used
    assert second.wait(PATIENCE) == 0
    assert not list(away.keep.glob("runs/2")), "the run was not continued"

    assert away.start(away.packs[1], minutes=0).wait(PATIENCE) == 1, "no time: a run without weights of its own"
    assert away.step() > kept, "the result of the run before was not handed out"
    joined = tmp_path / "joined"
    step = join(away.out, joined)["step"]
    weights = load_weights(joined / "causal-44khz.safetensors")
    assert weights.training.startswith(f"{step} steps")
    (entry,) = entries(joined, joined / "causal-44khz.safetensors")
    assert entry["codec_hash"] == weights.codec_hash
    assert entry["steps"] == step
    assert entry["audio_seconds"] > 0
    assert entry["machine_minutes"] > 0
    assert entry["device"].startswith("cpu")
    assert entry["data"]["packs"] == [1]
    assert entry["data"]["minutes"].keys() == {"speech", "music"}

    # The run with the second pack begins with the weights of the first run, and its record with that run's entry.
    begun = away.keep / "runs" / "2"
    (earlier,) = json.loads((begun / "earlier.json").read_text())
    assert earlier["codec_hash"] == weights.codec_hash
    assert (begun / "from").read_text() == str(away.keep.resolve() / "runs" / "1" / "causal-44khz.safetensors")
    assert len(json.loads((begun / "base.json").read_text())["train"]) == 2


def test_a_run_that_is_slower_than_planned_is_planned_again(away: Away) -> None:
    """Else its rate would not have fallen when the minutes are over."""
    config, planned = away.keep / "runs" / "1" / "config.json", 1e5
    process = away.start(options=["--speed", str(planned)])
    until(process, lambda: config.is_file() and json.loads(config.read_text())["steps"] < 3600 * planned)
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert away.step() > 0


def row(step: int, seconds: float) -> dict[str, Any]:
    return {"event": "train", "step": step, "train_seconds": seconds}


@pytest.mark.parametrize(
    ("planned", "seconds", "left", "wanted"),
    [
        (67.0, [9.0, 12.8, 16.6], 200.0, 50 / 3.8),
        (67.0, [9.0, 9.3, 9.6], 200.0, 100 / 0.6),
        (67.0, [9.0, 9.7, 10.5], 200.0, None),  # as planned
        (67.0, [9.0, 12.8], 200.0, None),  # not known yet
        (67.0, [9.0, 12.8, 16.6], 30.0, None),  # not worth it
        (None, [9.0, 12.8, 16.6], 200.0, None),  # nothing is planned
    ],
)
def test_how_far_off_a_speed_may_be(
    planned: float | None, seconds: list[float], left: float, wanted: float | None
) -> None:
    rows = [{"event": "legend"}, *(row(50 * (i + 1), s) for i, s in enumerate(seconds))]
    found = speed_to_plan_with(planned, rows, left)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_without_its_wheels_it_says_what_is_missing(away: Away) -> None:
    for wheel in (away.folder / "carried" / "wheels").iterdir():
        wheel.unlink()
    process = away.start()
    assert process.wait(PATIENCE) == 2
    assert "soundfile cannot be imported (soundfile is not on this machine); wanted its wheel" in away.said


@pytest.mark.parametrize("which", ["--packs", "--keep"])
def test_a_place_that_is_of_no_use_is_said(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    places = {"--packs": tmp_path, "--keep": tmp_path / "keep", "--out": tmp_path / "out"}
    places |= {which: tmp_path / ("gone.tar" if which == "--packs" else "file")}
    given = [str(each) for pair in places.items() for each in pair]
    monkeypatch.setattr("sys.argv", ["borrowed", *given, "--minutes", "1", "--device", "cpu"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert borrowed.main() == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert str(places[which]) in capsys.readouterr().err


def test_nothing_that_is_to_travel_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_fetch_wheels", lambda folder: None)
    packs = [tmp_path / name / "pack-01.tar" for name in ("a", "b")]
    for path in packs:
        path.parent.mkdir()
        path.write_bytes(b"pack")
    folder = tmp_path / "away"
    carry(folder, packs[:1])
    there = folder / "carried" / "pack-01.tar"
    for given, weights, beside, said in (
        ([there], None, False, "is in .*, which is made anew; wanted a file elsewhere"),
        (packs[:1], there, False, "is in .*, which is made anew; wanted a file elsewhere"),
        (packs, None, False, "have one name; wanted packs of different names"),
        (packs[:1], None, True, "wanted a folder in the repository"),
    ):
        with pytest.raises(CarryError, match=said):
            carry(folder, given, weights, beside)
        assert there.read_bytes() == b"pack"


def test_more_than_travels_is_refused(away: Away, tmp_path: Path) -> None:
    with pytest.raises(CarryError, match=r"has \d+ bytes; wanted at most 1000: \d+ less, by smaller packs"):
        carry(tmp_path / "large", away.packs, limit=1000)
    with pytest.raises(CarryError, match=r"pack-99\.tar is not there"):
        carry(tmp_path / "none", [tmp_path / "pack-99.tar"])
    with pytest.raises(CarryError, match="holds something else"):
        carry(away.keep.parent, away.packs)
