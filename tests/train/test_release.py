"""tools/train_release on a tiny codec: a run is cut to the minutes, and only better weights replace the shipped ones.

The judge is a stand-in here; test_quality_comparison.py tests the real one.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamrvq.cli import main
from streamrvq.weights import load_weights
from tests.support.contract import minute, noise
from tools.training import release

CODEC = minute((4, 4), causal=True, stem=4, encoder_dim=4, decoder_dim=16)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run."""
    for split in ("train", "validation"):
        (tmp_path / "set" / split).mkdir(parents=True)
        soundfile.write(tmp_path / "set" / split / f"{split}.wav", 0.3 * noise(44100).astype(np.float32), 44100)
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps({
        "codec": CODEC.to_dict(), "name": "causal-44khz", "batch": 2, "frames": 32, "codebook_frames": 128,
        "precision": "float32", "checkpoint_every": 1000, "validate_every": 1000, "validation_clips": 1,
        "validation_seconds": 0.1,
    }))  # fmt: skip
    monkeypatch.setattr(release, "CONFIG", config)
    monkeypatch.setattr(release, "_PROBE_MINUTES", 0.01)
    monkeypatch.setattr(release, "_MOST_PROBES", 10**6)  # however slow this machine is now
    monkeypatch.setattr(release, "DATA", tmp_path / "data")
    arguments = argparse.Namespace(out=tmp_path / "run", minutes=0.02, batch=None, lr=1e-3, device="cpu", cache=None)
    with monkeypatch.context() as patch:
        patch.setattr(release, "exit_code", partial(probe_here, release.exit_code))
        release.train(arguments, tmp_path / "set")
    return tmp_path / "run"


def probe_here(run: Any, command: list[Any]) -> int:
    """A probe, the command that has ``--minutes``, runs in this process, which has torch already."""
    start = [sys.executable, "-c", "from streamrvq.cli import main; main()"]
    assert command[:3] == start
    if "--minutes" in command:
        with pytest.raises(SystemExit) as end:
            main([str(part) for part in command[3:]])
        return int(str(end.value.code))
    return int(run(command))


def judge(folder: Path, code: int) -> None:
    """A stand-in for tools/quality: exits with ``code``, writes a report, and records its arguments."""
    rows = [("ours", 2, 1.75432), ("ours", 1, 2.0), ("opus", 24, 0.9)]
    scores = [{"kind": kind, "amount": n, "scores": {"mel": {"mean": mel, "clips": 7}}} for kind, n, mel in rows]
    (folder / "report").write_text(json.dumps({"systems": scores}))
    (folder / "tools").mkdir(exist_ok=True)
    script = folder / "tools" / "quality"
    script.write_text(
        f'#!/bin/sh\necho "$@" >"{folder}/asked"\nmkdir -p "$3"\ncp "{folder}/report" "$3/quality.json"\nexit {code}\n'
    )
    script.chmod(0o755)


def test_what_is_better_lands_with_its_record(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.parent
    monkeypatch.setattr(release, "ROOT", folder)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    planned = json.loads((run / "config.json").read_text())
    assert planned["steps"] == max(row["step"] for row in log)
    assert planned["lr"] == 1e-3
    assert [row["event"] for row in log][-2:] == ["validation", "export"]

    judge(folder, 1)
    assert release.land(run, None) == 1
    assert not (folder / "data").exists()
    assert "--against" not in (folder / "asked").read_text()  # nothing is shipped yet

    assert json.loads((run / "beside.json").read_text())["device"].startswith("cpu, ")
    (run / "beside.json").write_text('{"device": "a GPU", "machine_minutes": 9.0}')
    judge(folder, 0)
    assert release.land(run, folder / "set") == 0
    shipped = folder / "data" / "causal-44khz.safetensors"
    record = json.loads((folder / "data" / "causal-44khz.json").read_text())
    (entry,) = record["runs"]
    assert entry["codec_hash"] == load_weights(shipped).codec_hash
    assert entry["steps"] == planned["steps"]
    assert entry["audio_seconds"] > 0
    assert entry["validation"]
    assert entry["judged"] == {"clips": 7, "mel": 1.754}
    assert (entry["device"], entry["machine_minutes"]) == ("a GPU", 9.0)

    # The runs before it on a borrowed machine get their entries, and no run gets two.
    (run / "earlier.json").write_text(json.dumps([{"codec_hash": "before"}]))
    assert release.land(run, folder / "set") == 0
    record = json.loads((folder / "data" / "causal-44khz.json").read_text())
    assert record["runs"] == [entry, {"codec_hash": "before"}]

    judge(folder, 1)
    before = shipped.read_bytes()
    assert release.land(run, None) == 1
    assert shipped.read_bytes() == before
    assert f"--against {shipped}" in (folder / "asked").read_text()


def test_a_run_that_has_not_ended_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.land(tmp_path, None) == 2
    assert "come to its end" in capsys.readouterr().err


def test_probes_that_log_no_step_come_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[tuple[str, ...]] = []
    monkeypatch.setattr(release, "_streamrvq", lambda arguments, *more: probes.append(more))
    arguments = argparse.Namespace(out=tmp_path / "run", minutes=9, batch=None, lr=None, device="cpu", cache=None)
    for calls in (1, 2):  # the second one plans anew: it does not train for ever
        with pytest.raises(release.ReleaseError, match=r"5 probes of 1 min logged nothing; wanted .* smaller --batch"):
            release.train(arguments, tmp_path / "set")
        assert probes == [("--minutes", "1.0")] * 5 * calls


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), release.ReleaseError("streamrvq train ended")], ids=["^C", "failed"]
)
def test_a_probe_that_did_not_end_has_planned_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    calls: list[tuple[str, ...]] = []

    def trained(arguments: argparse.Namespace, *more: str) -> None:
        calls.append(more)
        if len(calls) == 1:
            raise error
        row = {"event": "train", "step": 10, "audio_seconds": 100.0, "train_seconds": 9.0, "speed": 10.0}
        (arguments.out / "log.jsonl").write_text(json.dumps(row) + "\n")

    monkeypatch.setattr(release, "_streamrvq", trained)
    arguments = argparse.Namespace(out=tmp_path / "run", minutes=9, batch=None, lr=None, device="cpu", cache=None)
    with pytest.raises(type(error)):
        release.train(arguments, tmp_path / "set")
    release.train(arguments, tmp_path / "set")
    assert calls == [("--minutes", "1.0")] * 2 + [()]
    planned = json.loads((tmp_path / "run" / "config.json").read_text())["steps"]
    assert 10 < planned < 10**5
    release.train(arguments, tmp_path / "set")  # interrupted later, it goes on with its plan
    assert calls[3:] == [()]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == planned


@pytest.mark.parametrize("name", ["streamrvq train", "tools/corpus"])
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (1, 2, "{} ended with exit code 1; wanted 0"),
        (-9, 2, "{} ended by signal 9; wanted 0"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["failed", "killed", "full", "^C"],
)
def test_what_fails_is_not_weights_that_are_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, error: BaseException | int, code: int, words: str,
) -> None:  # fmt: skip
    def failing(command: list[Any]) -> int:
        if isinstance(error, int):
            return error
        raise error

    monkeypatch.setattr(release, "exit_code", failing)
    monkeypatch.setenv("STREAMRVQ_CACHE", str(tmp_path))
    given = ["--data", str(tmp_path)] if name == "streamrvq train" else []
    monkeypatch.setattr(sys, "argv", ["train_release", "--minutes", "1", "--out", str(tmp_path / "run"), *given])
    assert release.main() == code
    assert words.format(name) in capsys.readouterr().err
