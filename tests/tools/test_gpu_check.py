"""``tools/gpu-check`` without a GPU: its hashes are the native engine's, and it finds what is wrong.

Knows: the emulator as a device. Does not know: times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamrvq.engine.cuda import products
from streamrvq.engine.cuda.tiles import Tile
from streamrvq.engine.native import NativeEngine
from tests.support.cuda.emulated import missing
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tools.gpu_check import bits, expected
from tools.gpu_check.__main__ import PARTS, Check, arguments, finished
from tools.gpu_check.cases import CODECS, answers, cases
from tools.gpu_check.context import Context

needs_emulator = pytest.mark.skipif(bool(missing()), reason=missing())


def test_the_hashes_are_of_all_codecs_and_cases() -> None:
    found = expected.read(expected.HASHES)["codecs"]
    assert {name: sorted(codec["cases"]) for name, codec in found.items()} == {
        codec.name: sorted(case.name for case in cases(codec)) for codec in CODECS.values()
    }


@pytest.mark.parametrize("name", ["odd", "odd-causal", "odd-padding", "odd-encodec", "odd-mimi"])
def test_the_hashes_are_what_the_native_engine_gives(name: str) -> None:
    codec, found = CODECS[name], expected.read(expected.HASHES)
    assert found["codecs"][name]["weights"] == expected.weights_digest(codec)
    engine = NativeEngine(codec.config, codec.weights().tensors, threads=1)
    for case, wanted in expected.cases_of(found, codec):
        assert expected.folded(answers(engine, case)) == wanted, case.name


def checked(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status of the check with the emulator, and what it found."""
    command = [sys.executable, "-m", "tools.gpu_check", "--device", "emulated", "--out", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (folder / "gpu-check.json").exists(), done.stderr
    return done.returncode, json.loads((folder / "gpu-check.json").read_text())


@needs_emulator
def test_same_bits_pass_and_others_are_found(tmp_path: Path) -> None:
    found = expected.read(expected.HASHES)
    some = {name: found["codecs"]["odd"]["cases"][name] for name in ("odd encode 3x1", "odd decode 5x2")}
    hashes = tmp_path / "hashes.json"
    hashes.write_text(json.dumps({"codecs": {"odd": {**found["codecs"]["odd"], "cases": some}}}))
    options = "--codecs", "odd", "--parts", "codecs", "--expected", str(hashes)
    status, result = checked(tmp_path / "right", *options)
    assert (status, result["codecs"]["wrong"]) == (0, 0), result
    some["odd decode 5x2"][3] = "0" * 16
    hashes.write_text(json.dumps({"codecs": {"odd": {**found["codecs"]["odd"], "cases": some}}}))
    status, result = checked(tmp_path / "wrong", *options)
    assert (status, result["codecs"]["wrong"]) == (1, 1), result
    (row,) = result["codecs"]["rows"]
    assert row["differ"] == ["odd decode 5x2 from step 6 on"]


def test_a_part_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = "import time; print('begun', flush=True); time.sleep(1000)"
    for limit in (1.0, 4.0, 16.0, 64.0):  # in which Python has to start
        folder = tmp_path / str(limit)
        monkeypatch.setattr(sys, "argv", ["gpu-check", "--out", str(folder)])
        check = Check(arguments())
        assert check._watch([sys.executable, "-c", hanging], limit) == "time"
        if (folder / "gpu-check.txt").read_text():
            break
    assert check._watch([sys.executable, "-c", "raise SystemExit(3)"], 60.0) == "3"
    assert check._watch([sys.executable, "-c", "pass"], 60.0) == ""
    assert (folder / "gpu-check.txt").read_text() == "begun\n"


def test_the_build_finds_the_sources_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cmake = tmp_path / "cmake"
    cmake.write_text(f'#!/bin/sh\npwd -P >"{tmp_path}/where"\nexit 1\n')
    cmake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--out", "results"])
    check = Check(arguments())
    assert check._build().wait(timeout=PATIENCE) == 1
    check._clean()
    assert (tmp_path / "where").read_text() == f"{ROOT}\n"
    assert (tmp_path / "results" / "build.txt").exists()


@pytest.mark.parametrize(
    ("known", "unused"), [("odd", 0), ("odd", 1), ("even", None)], ids=["all", "a tile that fits nowhere", "no hashes"]
)
def test_a_tile_that_was_not_looked_at_does_not_pass(
    known: str, unused: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tile.name for tile in bits.tiles()]

    def answered(engine: Any, case: Any) -> list[str]:
        """The right ones, of steps that choose tiles."""
        products.choose(case.rows * case.hops, 64, 1, 8, True, 100)
        return ["a step's", "the states'"]

    monkeypatch.setattr(bits, "answers", answered)
    monkeypatch.setattr(Tile, "fits", lambda tile, depth, aligned: tile.name in names[unused or 0 :])
    monkeypatch.setattr(Context, "open", lambda context: None)
    monkeypatch.setattr(Context, "engine", lambda context, codec, device: None)
    right = {case.name: ["a step's", "the states'"] for case in cases(CODECS[known])}
    (hashes := tmp_path / "hashes.json").write_text(json.dumps({"codecs": {known: {"factor": 1.0, "cases": right}}}))
    context = Context("cuda:0", hashes, ("odd",), 1e6, tmp_path / "result.json")
    bits.every_tile(context)
    left_out = [row["left_out"] for row in context.result["rows"] if "left_out" in row]
    assert context.result["wrong"] == 0
    if unused is None:
        assert left_out == ["odd", ", ".join(names)]
    else:
        assert left_out == names[:unused]
    assert finished({"status": "", **context.result}) == (left_out == [])


def test_what_was_left_out_is_not_finished() -> None:
    assert finished({"status": "", "rows": [{"wrong": False}]})
    assert not finished({"status": "time", "rows": []})
    assert not finished({"status": "", "rows": [{"left_out": "the rest"}]})


def test_each_part_is_a_function_that_needs_no_more_than_the_engines() -> None:
    """In one process, for what must not be imported stays refused there."""
    code = (
        "import importlib, sys\n"
        "for name in ('soundfile', 'sounddevice', 'websockets', 'soxr'): sys.modules[name] = None\n"
        "for part in sys.argv[1:]:\n"
        "    module, function = part.split('.')\n"
        "    assert callable(getattr(importlib.import_module(f'tools.gpu_check.{module}'), function)), part\n"
    )
    parts = sorted({where for where, _ in PARTS.values()})
    done = subprocess.run([sys.executable, "-c", code, *parts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
