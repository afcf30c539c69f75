"""A run's folder: who may train in it, with which data and settings, and what its record and ``info`` say."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.cli import main
from streamrvq.errors import ConfigError, CorpusError, InputError
from streamrvq.train.config import LossWeights, TrainConfig
from streamrvq.train.corpus import Clip, Corpus
from streamrvq.train.run import Run
from streamrvq.train.runs.effort import frames_for
from streamrvq.train.runs.split import split
from streamrvq.train.runs.summary import facts_of
from streamrvq.weights import load_weights
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.training.runs import Silent, audio_in, config_of, tones


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def done(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three steps."""
    folder = tmp_path_factory.mktemp("run") / "run"
    with Run(config_of(audio, steps=3), folder, Silent(), cache=audio / "cache") as run:
        assert run.go()
    return folder


def again(audio: Path, done: Path, **changes: Any) -> Silent:
    """What is said when the run goes on with changed settings."""
    observer = Silent()
    Run(config_of(audio, **({"steps": 3} | changes)), done, observer, cache=audio / "cache").close()
    return observer


def test_other_data_is_refused_and_named(audio: Path, done: Path, tmp_path: Path) -> None:
    train, validation = str(audio / "train"), str(audio / "validation")
    before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    (more := tmp_path / "more").mkdir()
    tones(more / "new", 1, seed=7)
    (fewer := tmp_path / "fewer").mkdir()
    for number in (1, 2, 3):
        shutil.copy(audio / "train" / f"{number}.wav", fewer)
    for changes, said in (
        ({"train": (validation,), "validation": (train,)}, "0.wav was held out for validation and is trained on now"),
        ({"train": (train, str(more))}, "new is .*/new/0.wav; give the same"),
        ({"train": (str(fewer),)}, "missing is .*/train/0.wav; give the same"),
        ({"train": (str(audio / "train" / "1.wav"), train)}, "the same files came in another order"),
        ({"validation": ()}, "trained on|held out|missing is"),
    ):
        with pytest.raises(ConfigError, match=f"begun with other data: .*{said}"):
            again(audio, done, **changes)
    assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == before


def test_the_same_samples_elsewhere_are_the_same_data(audio: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(audio / "train", tmp_path / "moved")
    assert again(audio, done, train=(str(tmp_path / "moved"),)).remarks != []


def test_a_folder_has_one_process(audio: Path, tmp_path: Path) -> None:
    with (
        Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache"),
        pytest.raises(CorpusError, match=r"another run holds .*run; wait for its end, or stop it"),
    ):
        Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache")
    Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache").close()


def test_what_a_killed_process_left_half_written_is_swept(audio: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "cache").mkdir()
    for name in (".checkpoint.pt.1.aa.part", "cache/.corpus-1.i16.1.aa.part"):
        (tmp_path / "run" / name).write_text("half")
    again(audio, tmp_path / "run")
    assert list((tmp_path / "run").rglob("*.part")) == []


def test_other_settings_are_said(audio: Path, done: Path) -> None:
    said = again(audio, done, lr=1e-4, loss=LossWeights(mel=2.0)).remarks
    assert f"the run goes on with other settings: loss {{'mel': 1.0}} → {{'mel': 2.0}}, lr {3e-3} → {1e-4}" in said
    with pytest.raises(ConfigError, match=r"run with plain_steps 2, seed 0, and this one has plain_steps 1, seed 3"):
        again(audio, done, plain_steps=1, seed=3)
    row = json.loads((done / "log.jsonl").read_text().splitlines()[-1])
    assert (row["event"], len(row["changes"])) == ("continued", 2)


def test_a_run_of_an_older_version_goes_on(audio: Path, done: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(done / "checkpoint.pt", old)
    assert [text for text in again(audio, old).remarks if "was not recorded before" in text] != []
    with pytest.raises(ConfigError, match="other data"):
        again(audio, old, train=(str(audio / "train" / "1.wav"),))


def test_a_folder_of_something_else_is_refused(audio: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("bulk/__run__/run.json", "shards/shard-00000-of-00001.parquet", "weights/tiny.safetensors"):
        (path := tmp_path / name).parent.mkdir(parents=True)
        path.write_text("mine")
    for folder, said in (
        ("bulk", "holds the shards of a bulk run"), ("shards", "holds the shards of a bulk run"),
        ("weights", "holds tiny.safetensors and no run"), ("file", "cannot write .*file"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            Run(config_of(audio), tmp_path / folder, Silent(), cache=audio / "cache")
    assert (tmp_path / "weights" / "tiny.safetensors").read_text() == "mine"
    with pytest.raises(ConfigError, match="is the folder of the data"):
        Run(config_of(audio), audio / "train", Silent(), cache=audio / "cache")
    assert not (audio / "train" / "__run__").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "streamrvq.training", "version": 1}', "\0" * 99])
def test_a_damaged_record_is_refused(audio: Path, done: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "__run__" / "training.json").write_text(text)
    with pytest.raises(ConfigError, match=r"training\.json"):
        again(audio, tmp_path / "run")


def test_without_validation_files_are_held_out(audio: Path, tmp_path: Path) -> None:
    observer = Silent()
    with Run(config_of(audio, validation=(), steps=3), tmp_path / "run", observer, cache=audio / "cache") as run:
        assert run.go()
        assert len(run.clips) == 1
        assert run.export()["rounded"]["mel"] > 0
    (held,) = [text for text in observer.remarks if "held out of the data" in text]
    (row,) = [row for row in log(tmp_path / "run") if row["event"] == "data"]
    assert (row["validation"], row["files"], len(row["validation_files"])) == ("held out", 3, 1)
    assert Path(row["validation_files"][0]).name in held
    assert again(audio, tmp_path / "run", validation=()).remarks[-1] == held


def test_one_file_trains_without_validation_and_says_so(audio: Path, tmp_path: Path) -> None:
    observer = Silent()
    one = (str(audio / "train" / "1.wav"),)
    config = config_of(audio, train=one, validation=(), steps=3, validate_every=1)
    with Run(config, tmp_path / "run", observer, cache=audio / "cache") as run:
        assert run.go()
        assert "rounded" not in run.export()
    assert "no validation: the data is one file; --validation names some" in observer.remarks
    assert observer.validations == []


def test_validation_that_is_too_short_is_refused(audio: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(500, 0.1), 44100)
    with pytest.raises(InputError, match="longest file of --validation has 500 samples at 44100 Hz; wanted at least"):
        Run(config_of(audio, validation=(str(tmp_path / "short.wav"),)), tmp_path / "run", Silent())


def test_audio_shorter_than_a_crop_stereo_of_any_rate_and_silent_trains(tmp_path: Path) -> None:
    (folder := tmp_path / "audio").mkdir()
    soundfile.write(folder / "short.wav", np.full(100, 0.1), 44100)
    soundfile.write(folder / "stereo.wav", 0.1 * np.random.default_rng(0).standard_normal((9000, 2)), 8000)
    soundfile.write(folder / "silent.wav", np.zeros(2000), 48000)
    soundfile.write(folder / "empty.wav", np.zeros(0), 44100)
    for name in ("._short.wav", "notes.txt"):
        (folder / name).write_text("x")
    observer = Silent()
    config = config_of(tmp_path, train=(str(folder),), validation=(), steps=3)
    with Run(config, tmp_path / "run", observer) as run:
        assert run.go()
        assert run.kept_step == 3
    assert load_weights(tmp_path / "run" / "tiny.safetensors").training.startswith("3 steps")
    (passed,) = [text for text in observer.remarks if text.startswith("2 files passed over: ")]
    assert "._short.wav" in passed
    assert "notes.txt" in passed
    assert [text for text in observer.remarks if text.startswith("without a sample, and left out: ")] != []
    assert [value for figures in observer.steps for value in figures.values() if not np.isfinite(value)] == []


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_a_split_is_of_the_samples_alone(contents: list[int]) -> None:
    """The order and the names of the files do not matter, equal files stay together, and something is left."""
    clips = [Clip(f"{i}.wav", "", 10 * i, 10, f"{content:064x}") for i, content in enumerate(contents)]
    kept, out = split(Corpus(tuple(clips), np.zeros(600, np.int16), 44100), 10)
    held = {clip.digest for clip in out.clips} if out is not None else set()
    assert kept.clips
    assert {clip.digest for clip in kept.clips} & held == set()
    assert len(kept.clips) + len(out.clips if out is not None else ()) == len(clips)
    assert (out is None) == (len(set(contents)) == 1)
    renamed = tuple(dataclasses.replace(clip, name=f"x{clip.name}") for clip in reversed(clips))
    _, other = split(Corpus(renamed, np.zeros(600, np.int16), 44100), 10)
    assert (set() if other is None else {clip.digest for clip in other.clips}) == held


def test_frames_fit_the_minutes() -> None:
    config = TrainConfig.read(ROOT / "streamrvq/train/configs/causal-44khz.toml")
    frames = [frames_for(config, minutes) for minutes in (0, 1, 10, 60, 1e6, None)]
    assert frames == sorted(frames)
    assert frames[0] == frames[1] == 2048
    assert frames[-2:] == [65536, 65536]


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_inside_its_data_is_not_among_what_is_passed_over(audio: Path, tmp_path: Path) -> None:
    shutil.copytree(audio / "train", tmp_path / "data")
    config = config_of(audio, train=(str(tmp_path / "data"),), steps=3)
    for _ in range(2):
        observer = Silent()
        with Run(config, tmp_path / "data" / "run", observer) as run:
            run.go()
        assert [text for text in observer.remarks if "passed over" in text] == []


def test_what_info_needs_loads_no_torch() -> None:
    code = "import sys; from streamrvq.train.runs import opening, summary; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)


def test_the_log_explains_its_figures(done: Path) -> None:
    legend, *rows = log(done)
    assert legend["event"] == "legend"
    about = {"event", "path", "weights", "files", "minutes", "validation", "validation_files", "without_samples"}
    about |= {"passed_over", "what", "frames", "changes", "codec_hash", "bytes", "exact", "rounded"}
    unknown = {name for row in rows for name in row} - set(legend["figures"]) - about
    assert unknown == set()


def test_weights_carry_the_run_and_its_steps(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, name="causal-44khz", steps=3)
    with Run(config, tmp_path / "mine", Silent(), cache=audio / "cache") as run:
        run.go()
    weights = load_weights(tmp_path / "mine" / "causal-44khz.safetensors")
    assert (weights.name, weights.training) == ("mine", "3 steps, 0 s of audio")


def test_info_says_what_a_run_holds(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(done, tmp_path / "run")
    with open(tmp_path / "run" / "log.jsonl", "a") as file:
        file.write('{"event": "tr')  # by a process that was killed
    with pytest.raises(SystemExit) as end:
        main(["info", str(tmp_path / "run"), "--json"])
    assert end.value.code == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["run"], facts["step"], facts["files"], facts["weights_training"]) == (
        "tiny", 3, 4, "3 steps, 0 s of audio",
    )  # fmt: skip
    assert facts["codec_hash"] == load_weights(done / "tiny.safetensors").codec_hash
    for name in (tmp_path / "run", done / "tiny.safetensors"):
        with pytest.raises(SystemExit):
            main(["info", str(name)])
        assert "3 steps, 0 s of audio" in capsys.readouterr().out


def test_info_shows_a_runs_own_weights(done: Path, tmp_path: Path) -> None:
    """And no others that were put beside them."""
    shutil.copytree(done, tmp_path / "run")
    shutil.copy(done / "tiny.safetensors", tmp_path / "run" / "a.safetensors")
    assert facts_of(tmp_path / "run")["weights"] == str(tmp_path / "run" / "tiny.safetensors")
    (tmp_path / "run" / "tiny.safetensors").unlink()
    assert facts_of(tmp_path / "run")["weights"] is None
