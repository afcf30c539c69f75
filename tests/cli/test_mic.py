"""`mic` and `devices` on virtual sound devices: what they print and write, and every way a run can end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from streamrvq.cli.mic import _level, _MeteredSource
from streamrvq.codec import Codec
from streamrvq.tokens import read_tokens
from streamrvq.tokens.journal import TokenJournal, journal_of
from tests.support.command import Run, process
from tests.support.contract import noise
from tests.support.listening import SILENT_POLLS, patient
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Device, Fifo, Pulse, Voice

__all__ = ["patient"]  # a fixture

RATE, BLOCK = 44_100, 441
#: What the fixture does, in a process of its own.
PATIENT = (
    f"from streamrvq.live.sources import microphone as m; m._SILENT_POLLS = m._SILENT_POLLS_AT_START = {SILENT_POLLS}"
)
HEARD = noise(20 * RATE)


def fifo() -> Fifo:
    return Fifo(Voice(HEARD, RATE, BLOCK))


def options(weights: Path, *others: object) -> list[object]:
    return ["mic", "--codec", weights, "--rate", RATE, "--block", BLOCK, *others]


def of_lines(lines: list[dict[str, Any]]) -> np.ndarray:
    return np.concatenate([np.array(line["codes"]) for line in lines if "codes" in line], axis=1)


def check_latency(latency: dict[str, float]) -> None:
    """The latency is reported, and its parts add up."""
    for name in ("p50", "p99"):
        parts = [latency[part] for part in ("device", f"handover_{name}", "resampler", "lookahead", f"compute_{name}")]
        assert min(parts) >= 0
        assert latency[f"sum_{name}"] == pytest.approx(sum(parts))
        assert latency[f"measured_{name}"] > 0
    assert latency["hop"] == pytest.approx(8 / RATE)
    assert latency["device"] > 0


def test_lines_and_a_file_of_a_second(run: Run, weights: Path, codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with fifo():
        done = run(*options(weights, "--seconds", 1.005, "--json", "--out", path))
    assert done.code == 0
    assert "untrained" in done.err
    *lines, last = map(json.loads, done.out.splitlines())
    assert lines[0]["codec_hash"] == codec.codec_hash
    codes, summary, file = of_lines(lines), last["summary"], read_tokens(path)
    assert np.array_equal(codes, file.codes)
    assert file.num_samples == round(1.005 * RATE)
    assert file.source_rate == RATE
    assert file.start == 0
    assert codes.shape[1] == -(-file.num_samples // 8)
    assert summary["seconds"] == pytest.approx(file.num_samples / RATE)
    assert summary["files"] == [str(path)]
    assert summary["tokens"]["frames"] == codes.shape[1]
    check_latency(summary["latency"])
    assert summary["latency"]["lookahead"] == codec.delay_frames * 8 / RATE
    assert codec.delay_frames > 0
    gaps = [line["gap"] for line in lines if "gap" in line]
    assert file.gaps == tuple((gap["position"], gap["samples"]) for gap in gaps)
    if not gaps:  # the codes are those of what the device gave, from its first sample or a block soon after
        tenth = codes[:, : RATE // 80]
        starts = range(0, 200 * BLOCK, BLOCK)
        heard = (codec.encode(HEARD[at : at + RATE // 8])[:, : RATE // 80] for at in starts)
        at = next((at for at, one in zip(starts, heard, strict=True) if (one != tenth).mean() < 0.1), None)
        assert at is not None, "nothing that the device gave has these codes"
        assert (codec.encode(HEARD[at : at + file.num_samples]) != codes).mean() < 1e-3
    # And back: the lines are what `decode -` reads.
    back = process("decode", "-", "--codec", weights)
    raw, _ = back.communicate(done.out.encode())
    assert back.returncode == 0
    assert len(raw) == 2 * len(codec.decode(codes))


@pytest.mark.parametrize("sample", [np.inf, -np.inf, np.nan, 3e38, 1.0])
def test_the_level_of_whatever_a_driver_gives_is_a_number(sample: float) -> None:
    """It is measured before anything looks at the samples, and warnings are errors here."""
    rms, peak = _level(np.array([0, sample, 0, sample], np.float32))
    loudest = 0 if np.isnan(sample) else min(abs(np.float32(sample)), np.finfo(np.float32).max)
    assert (rms, peak) == (pytest.approx(loudest / np.sqrt(2)), pytest.approx(loudest))


class Three:
    """A microphone that gives three blocks."""

    sample_rate, start_time = RATE, 0.0

    async def __aiter__(self) -> AsyncGenerator[np.ndarray, None]:
        for block in np.split(HEARD[: 3 * BLOCK], 3):
            yield block


@pytest.mark.parametrize("seconds", [math.inf, 1e308, None])
def test_without_an_end_it_goes_on_as_long_as_the_device(seconds: float | None) -> None:
    async def blocks() -> list[Any]:
        return [block async for block in _MeteredSource(Three(), seconds)]  # type: ignore[arg-type]

    np.testing.assert_array_equal(np.concatenate(asyncio.run(blocks())), HEARD[: 3 * BLOCK])


def test_lines_and_figures_for_people(run: Run, weights: Path) -> None:
    with fifo():
        done = run(*options(weights, "--seconds", 1.2))
    assert done.code == 0
    assert done.err == ""
    assert f"default, {RATE} Hz → " in done.out
    assert "untrained" in done.out
    assert "level" in done.out
    assert "codes" in done.out
    assert "= sum" in done.out
    assert "measured" in done.out
    assert "p99" in done.out
    assert "1.20 s, 6615 frames" in done.out


def test_a_picture_on_a_terminal(weights: Path) -> None:
    with fifo():
        ours, theirs = pty.openpty()
        with mock.patch.dict(os.environ, TERM="xterm-256color", COLUMNS="100", LINES="40"):
            running = process(*options(weights, "--seconds", 1), before=PATIENT, stdout=theirs)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO is the end of it
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
        assert running.wait(PATIENCE) == 0, running.communicate()
        running.communicate()
    text = shown.decode()
    assert "level" in text
    assert "code  0" in text
    assert "code  2" in text
    assert "█" in text
    assert "peak" in text
    assert "38;2;" in text or "38;5;" in text  # colours


def started(*arguments: object, before: str = PATIENT) -> tuple[subprocess.Popen[bytes], list[dict[str, Any]]]:
    """A `mic --json` that has given frames."""
    running = process(*arguments, before=before)
    assert running.stdout is not None
    lines = [json.loads(running.stdout.readline()) for _ in range(5)]
    return running, lines


def test_an_interrupt_ends_it_with_nothing_lost(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with fifo():
        running, lines = started(*options(weights, "--json", "--out", path))
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert b"Traceback" not in err
    lines += map(json.loads, out.splitlines())
    summary, file = lines.pop()["summary"], read_tokens(path)
    assert np.array_equal(of_lines(lines), file.codes)
    assert not journal_of(path).exists()
    assert file.codes.shape[1] == -(-file.num_samples // 8)  # flushed to the last sample
    assert summary["seconds"] == pytest.approx(file.num_samples / RATE)


def test_a_recording_ends_before_the_block_that_was_refused(run: Run, weights: Path, tmp_path: Path) -> None:
    path, heard = tmp_path / "a.safetensors", HEARD.copy()
    heard[20 * BLOCK :] = np.nan
    with Fifo(Voice(heard, RATE, BLOCK)):
        done = run(*options(weights, "--json", "--out", path))
    assert done.code == 2
    assert "is nan" in done.err
    file = read_tokens(path)
    assert file.codes.shape[1] == -(-file.num_samples // 8)
    assert json.loads(done.out.splitlines()[-1])["summary"]["seconds"] == file.num_samples / RATE


def test_a_full_disk_at_the_end_keeps_the_last_figures(
    run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(journal: TokenJournal, samples: int | None) -> None:
        journal.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.safetensors")

    monkeypatch.setattr(TokenJournal, "finish", finish)
    with fifo():
        done = run(*options(weights, "--seconds", 0.1, "--json", "--out", tmp_path / "a.safetensors"))
    assert done.code == 2
    assert "No space left on device" in done.err
    assert json.loads(done.out.splitlines()[-1])["summary"]["files"] == []


def test_a_killed_recording_is_recovered(run: Run, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with fifo():
        running, lines = started(*options(weights, "--json", "--out", path))
        running.kill()
        out, _ = running.communicate(timeout=PATIENCE)
        lines += map(json.loads, out.splitlines(keepends=True)[:-1])  # the last may be cut
        assert not path.exists()
        assert journal_of(path).exists()
        sentence = run(*options(weights, "--out", path)).sentence
        assert "mic --recover" in sentence
        assert not path.exists()
    done = run("mic", "--recover", path)
    file, shown = read_tokens(path), of_lines(lines)
    assert done.code == 0
    assert f"{file.codes.shape[1]} frames" in done.out
    assert not journal_of(path).exists()
    # What was shown was safe.
    assert file.codes.shape[1] >= shown.shape[1] > 0
    assert np.array_equal(file.codes[:, : shown.shape[1]], shown)
    assert run("decode", path, "-o", tmp_path / "a.wav", "--codec", weights).code == 0
    with fifo():
        assert "is there already" in run(*options(weights, "--out", path)).sentence
    assert "cut off has a journal" in run("mic", "--recover", path).sentence


@pytest.mark.parametrize("end", ["kill", "freeze"])
def test_a_device_that_goes_away_ends_it_with_what_was_heard(weights: Path, tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.safetensors"
    with Pulse() as server:
        running, lines = started(
            "mic", "--codec", weights, "--json", "--out", path, before=PATIENT if end == "kill" else ""
        )
        getattr(server, end)()
        out, err = running.communicate(timeout=PATIENCE)  # the process ends even if its sound server hangs
        if end == "freeze":
            server.thaw()
    assert running.returncode == 2
    assert b"Traceback" not in err
    words = b"vanished after sample" if end == "kill" else b"gave nothing for 1 s after sample"
    assert words in b" ".join(err.split()), err
    lines += map(json.loads, out.splitlines())
    assert lines.pop()["summary"]["files"] == [str(path)]
    file = read_tokens(path)
    assert np.array_equal(of_lines(lines), file.codes)
    assert f"after sample {file.num_samples} ".encode() in err


def test_devices(run: Run) -> None:
    with Fifo(Voice(HEARD, RATE, BLOCK), studio=Voice(HEARD, RATE, BLOCK)):
        done, found = run("devices"), run("devices", "--json").document
    assert done.code == 0
    assert "* " in done.out
    assert "studio" in done.out
    assert "44100 Hz" in done.out
    assert {device["name"] for device in found} == {"default", "studio"}
    assert [device["name"] for device in found if device["default"]] == ["default"]
    assert {device["default_rate"] for device in found} == {RATE}
    assert min(device["latency_low"] for device in found) > 0


def test_no_device_and_no_portaudio_are_sentences(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Device():
        assert "no sound device to listen to" in run("devices").sentence
        assert "no sound device to listen to" in run("devices", "--json").sentence
        assert "no sound device to listen to" in run(*options(weights)).sentence
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "pip install sounddevice" in run("devices").sentence
    assert "pip install sounddevice" in run(*options(weights)).sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", 0], "--seconds is 0"), (["--seconds", "nan"], "--seconds is nan"),
        (["--device", "nobody's"], "there is no input device"),
        (["--device", 99], "there is no input device 99"), (["--out", "a.txt"], "ends in .safetensors"),
        (["--channel", 1, "--downmix"], "with downmix"), (["--n-quantizers", 9], "n_quantizers is 9"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_sentence(run: Run, weights: Path, arguments: list[object], words: str) -> None:
    with fifo():
        assert words in run(*options(weights, *arguments)).sentence
    assert asyncio.events._get_running_loop() is None
