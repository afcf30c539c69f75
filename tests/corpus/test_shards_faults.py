"""A run that is cut off, by a kill or a full disk, loses and repeats nothing; a bad file is reported and left out."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq import CorpusError
from streamrvq.corpus import Failed, RunPlan, encode_corpus
from streamrvq.weights import save_weights
from tests.support.command import process
from tests.support.contract import minute, needs_native, noise, tiny, weights_of
from tests.support.corpora import failed_in, rows_in, same_bytes, signals_in, silence
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.children import needs_proc

#: Processes that are killed, at least; and how many of them between the first shard and the last.
KILLS, HALFWAY = 20, 5


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_weights(weights_of(tiny(causal=True)), path)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 files of up to a second, one of them bad."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(40):
        soundfile.write(folder / f"{i:02d}.wav", noise(1200 * (i + 1), i), 44100)
    (folder / "30.wav").write_bytes((folder / "30.wav").read_bytes()[:5000])
    return folder


@needs_native
def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, many: Path, tiny_weights: Path) -> None:
    """Kills of one worker's process, then of the whole command and its two workers, on the same folder."""
    bytes_each = 100_000
    encode_corpus([many], tmp_path / "whole", tiny_weights, workers=1, shard_bytes=bytes_each)
    arguments = [many, tiny_weights, tmp_path / "out", bytes_each, KILLS, HALFWAY, 7]
    script = [sys.executable, ROOT / "tests/support/processes/killed_runs.py", *arguments]
    tried = subprocess.run([str(a) for a in script], capture_output=True, timeout=5 * PATIENCE, check=True)
    assert json.loads(tried.stdout)["kills"] >= KILLS
    assert json.loads(tried.stdout)["halfway"] >= HALFWAY
    assert same_bytes(tmp_path / "out", tmp_path / "whole")


def growing(many: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Folders of audio, and of its shards. Each has more files than the last, for a machine that was done too soon."""
    for more in (0, 10, 100, 1000):
        audio = tmp_path / f"in-{more}"
        shutil.copytree(many, audio)
        for number in range(more):
            silence(audio / f"more-{number:03d}.wav", 60, 44100)
        yield audio, tmp_path / f"out-{more}"
    pytest.fail("no run was stopped before its end")


@needs_native
def test_a_killed_command_takes_its_workers_along(tmp_path: Path, many: Path, tiny_weights: Path) -> None:
    for audio, out_folder in growing(many, tmp_path):
        command = ["encode", audio, "--codec", tiny_weights, "--shards", out_folder, "--shard-mib", 0.1, "--json",
                   "--workers", 2]  # fmt: skip
        first = process(*command)
        assert first.stderr is not None
        assert b"30.wav" in first.stderr.readline()  # its shard is there, others are not
        first.kill()
        first.communicate(timeout=PATIENCE)  # to the end of its pipes, which its workers hold too
        done = len(list(out_folder.glob("*.parquet")))
        out, err = (last := process(*command)).communicate(timeout=PATIENCE)
        assert last.returncode == 2, err
        files = len(list(audio.iterdir())) - 1
        assert json.loads(out)["rows"] == files
        assert list(failed_in(out_folder)) == [str(audio / "30.wav")]
        paths = [row["path"] for row in rows_in(out_folder)]
        assert len(paths) == len(set(paths)) == files
        assert not list(out_folder.glob(".*"))
        if first.returncode == -signal.SIGKILL and done < len(list(out_folder.glob("*.parquet"))):
            return


def test_an_interrupt_leaves_whole_shards_and_no_part(tmp_path: Path, many: Path, tiny_weights: Path) -> None:
    for audio, out_folder in growing(many, tmp_path):
        started = process("encode", audio, "--codec", tiny_weights, "--shards", out_folder, "--shard-mib", 0.1,
                          "--workers", 2, start_new_session=True)  # fmt: skip
        assert started.stderr is not None
        assert b"30.wav" in started.stderr.readline()
        os.killpg(started.pid, signal.SIGINT)  # as a terminal sends it: to the workers too
        out, err = started.communicate(timeout=PATIENCE)
        assert not list(out_folder.glob(".*"))
        assert list(failed_in(out_folder)) == [str(audio / "30.wav")]
        if out:
            continue  # its report: it was done already
        assert (started.returncode, err) == (130, b"")
        return


def test_a_worker_that_dies_ends_the_run_with_a_remedy(tmp_path: Path, many: Path, tiny_weights: Path) -> None:
    def kill_a_worker(failure: Failed) -> None:
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    with pytest.raises(CorpusError, match=r"a worker process died .*: it goes on where it stopped"):
        encode_corpus([many], tmp_path / "out", tiny_weights, workers=2, shard_bytes=100_000, on_failure=kill_a_worker)
    done = encode_corpus([many], tmp_path / "out", tiny_weights, workers=1, shard_bytes=100_000)
    assert 0 < done.written < done.shards
    assert done.rows == 39


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(tmp_path: Path, many: Path, tiny_weights: Path, workers: int) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("00.wav", "01.wav", "38.wav", "39.wav"):
        shutil.copy(many / name, folder)
    soundfile.write(folder / "long.wav", noise(600_000), 44100)
    command = ["encode", folder, "--codec", tiny_weights, "--shards", out, "--shard-mib", 0.1, "--workers", workers]
    limit = 12_000  # bytes a file: all shards but that of the long file fit
    full = process(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, err = full.communicate(timeout=PATIENCE)
    (line,) = err.decode().splitlines()
    assert full.returncode == 2
    assert "cannot write" in line
    assert "too large" in line
    assert "goes on where" in line
    sizes = [path.stat().st_size for path in out.glob("*.parquet")]
    assert not list(out.glob(".*"))
    assert max(sizes, default=0) <= limit
    assert sizes or workers > 1
    done = encode_corpus([folder], out, tiny_weights, workers=1, shard_bytes=int(0.1 * 2**20))
    assert done.written == done.shards - len(sizes) > 0
    assert done.rows == 5


def test_bad_files_are_listed_with_their_reasons(tmp_path: Path, wav: Path, tiny_weights: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no audio")
    (folder / "cut.wav").write_bytes(wav.read_bytes()[:5000])
    soundfile.write(folder / "whole.flac", noise(60000), 44100)
    whole = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])  # found out at its end, after rows of it
    pcm = noise(1000)
    pcm[777] = np.nan
    soundfile.write(folder / "nan.wav", pcm, 44100, subtype="FLOAT")
    soundfile.write(folder / "none.wav", pcm[:0], 44100)
    shutil.copy(wav, folder / "good.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "locked.wav").symlink_to(folder / "nowhere")
    sources = [folder, folder / "locked.wav", folder / "gone.wav"]
    done = encode_corpus(sources, tmp_path / "out", tiny_weights, workers=1, segment_seconds=0.05)
    failed = {Path(path).name: error for path, error in failed_in(tmp_path / "out").items()}
    words = {"zero.wav": "empty", "text.wav": "no audio file", "cut.wav": "cut off", "cut.flac": "damaged after sample",
             "nan.wav": "sample 777 is nan", "gone.wav": "No such file", "locked.wav": "No such file"}  # fmt: skip
    assert failed.keys() == words.keys(), failed
    assert [name for name in words if words[name] not in failed[name]] == [], failed
    assert {Path(path).name for path, _ in signals_in(tmp_path / "out")} == {"whole.flac", "none.wav", "good.wav"}
    assert tuple(Failed(*item) for item in failed_in(tmp_path / "out").items()) == done.failed
    (none,) = [row for row in rows_in(tmp_path / "out") if row["path"].endswith("none.wav")]
    assert (none["frames"], none["num_samples"], none["codes"].shape) == (0, 0, (9, 0))
    shutil.copy(folder / "whole.flac", folder / "cut.flac")
    done = encode_corpus(sources, tmp_path / "out", tiny_weights, workers=1, segment_seconds=0.05)
    assert done.written == 0
    assert "cut.flac" in {Path(item.path).name for item in done.failed}
    done = encode_corpus(sources, tmp_path / "out", tiny_weights, workers=1, segment_seconds=0.05, retry_failed=True)
    assert done.written == done.shards
    assert "cut.flac" not in {Path(item.path).name for item in done.failed}


def test_two_runs_at_once(tmp_path: Path, many: Path, tiny_weights: Path) -> None:
    def start_a_second(plan: RunPlan) -> None:
        with pytest.raises(CorpusError, match=r"another run holds .*out"):
            encode_corpus([many], tmp_path / "out", tiny_weights, workers=1)

    assert encode_corpus([many], tmp_path / "out", tiny_weights, workers=1, on_plan=start_a_second).rows == 39


@needs_native
@needs_proc
def test_memory_does_not_grow_with_a_files_length(tmp_path: Path) -> None:
    """A process that encodes 3 hours, 24 MB of codes, has the peak of one that encodes half an hour (small buffers)."""
    rate, config = 1000, minute((4, 4), causal=True, sample_rate=1000, n_codebooks=18)  # few steps of many codes
    save_weights(weights_of(config), tmp_path / "w.safetensors")
    peaks = {}
    for seconds in (1800, 10800):
        silence(tmp_path / f"{seconds}.wav", seconds, rate)
        code = (
            "import sys; from streamrvq.corpus import encode_corpus, held_rows, shard;"
            "shard.ROW_GROUP, held_rows.IN_MEMORY = 1 << 18, 1 << 18;"
            "done = encode_corpus([sys.argv[1]], sys.argv[2], sys.argv[3], workers=1); assert not done.failed, done;"
            "(peak,) = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')];"
            "print(done.frames, peak)"
        )
        arguments = [tmp_path / f"{seconds}.wav", tmp_path / str(seconds), tmp_path / "w.safetensors"]
        ran = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=True)
        frames, peaks[seconds] = map(int, ran.stdout.split())  # peaks in kB
        assert frames == seconds * rate // 16
    assert peaks[10800] < peaks[1800] + 8_000, peaks
