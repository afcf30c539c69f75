"""Completion in real shells: the Tab key of bash and zsh in a terminal, and fish's own list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.terminal import Terminal

#: How to start each shell without anybody's settings, and how it takes completion up.
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(streamrvq --show-completion)"'),
    "zsh": (["-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(streamrvq --show-completion)"'),
    "fish": (["--no-config"], "streamrvq --show-completion | source"),
}


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing (tools/setup.sh installs it, as root)")
    return found


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """With the command on the path, in a home of its own."""
    script = tmp_path / "bin" / "streamrvq"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streamrvq "$@"\n')
    script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "HOME": str(home), "ZDOTDIR": str(home), "PS1": "ready> ",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tab_completes(name: str, env: dict[str, str], tmp_path: Path) -> None:
    options, take_up = SHELLS[name]
    (tmp_path / "speech.safetensors").write_text("")
    with Terminal([shell(name), *options], 120, env=env) as terminal:
        terminal.type(f"cd {tmp_path}; {take_up}; echo taken''up\n")
        terminal.wait_for("takenup")
        for typed, completed in (
            ("streamrvq deco", "streamrvq decode "),
            ("--codec dac-4", "--codec dac-44khz "),
            ("spee", "speech.safetensors "),  # names of files, where nothing else fits
        ):
            terminal.type(f"{typed}\t")
            terminal.wait_for(completed)


def test_fish_completes(env: dict[str, str], tmp_path: Path) -> None:
    options, take_up = SHELLS["fish"]
    (tmp_path / "speech.safetensors").write_text("")
    lines = ["streamrvq deco", "streamrvq decode --forc", "streamrvq info dac-4", "streamrvq decode spee"]
    asked = "; ".join(f"complete -C '{line}'; echo ---" for line in lines)
    done = subprocess.run([shell("fish"), *options, "-c", f"{take_up}; {asked}"], env=os.environ | env, cwd=tmp_path,
                          capture_output=True, text=True, timeout=len(lines) * PATIENCE)  # fmt: skip
    answers = [answer.strip() for answer in done.stdout.split("---")]
    assert [answer.split("\t")[0] for answer in answers[:4]] == [
        "decode", "--force", "dac-44khz", "speech.safetensors"
    ], done  # fmt: skip


@pytest.mark.parametrize(("name", "place"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish")])
def test_it_is_installed_for_a_shell(name: str, place: str, env: dict[str, str]) -> None:
    command = "streamrvq --install-completion; true"  # the shell stays, and so is found
    done = subprocess.run([shell(name), *SHELLS[name][0][:-1], "-c", command], env=os.environ | env,
                          capture_output=True, text=True, timeout=PATIENCE)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "completion installed" in done.stdout
    assert (Path(env["HOME"]) / place).exists()
