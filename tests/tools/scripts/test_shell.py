"""The tools' shell scripts: what they start ends with them, and paths are relative to the caller's folder.

Knows: a checkout with one of them, where nothing is set up and Python is a stand-in. Does not know: what they run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.children import until

NOTHING = "".join(
    f"{name}() {{ :; }}\n"
    for name in ("ensure_env", "ensure_corpus", "ensure_listen", "ensure_quality", "ensure_fuzz", "need_programs")
)
#: tools/check that does not come to its end.
CHECK = '#!/bin/sh\ntouch "$0.started"\nexec sleep 1000\n'


def checkout(folder: Path, name: str, python: str) -> Path:
    """A checkout with one tool, whose Python is this shell script."""
    (tools := folder / "checkout" / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / name, tools / name)
    setup = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    (tools / "setup.sh").write_text(f'{setup}\nPY="$ROOT/python"\n{NOTHING}', encoding="utf-8")
    write(tools.parent / "python", f"#!/bin/sh\n{python}\n")
    return tools.parent


def write(script: Path, text: str) -> None:
    script.write_text(text)
    script.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["ablate", "corpus", "fuzz", "gpu-check", "listen", "load", "quality", "soak", "train_release"]
)
def test_paths_are_relative_to_the_callers_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMRVQ_PYTHON", raising=False)
    root = checkout(tmp_path, name, 'pwd -P\necho "$PYTHONPATH"\necho "$*"')
    (here := tmp_path / "here").mkdir()
    done = subprocess.run([root / "tools" / name, "--out", "results"], cwd=here, capture_output=True, text=True,
                          timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder, path, arguments = done.stdout.splitlines()
    assert folder == str(here.resolve())
    assert path.split(os.pathsep)[0] == str(root.resolve())
    assert arguments.endswith(" --out results")


def test_two_calls_do_not_install_the_same_at_once(tmp_path: Path) -> None:
    look = (
        "import fcntl, sys\ntry: fcntl.flock(open('.venv.lock', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('taken', file=sys.stderr)\nelse: print('free', file=sys.stderr)"
    )
    root = checkout(tmp_path, "peers", f'echo "$2" >&2\nexec {sys.executable} -S -c "{look}"')
    (root / "tools" / "peers.txt").write_text("a package")
    done = subprocess.run([root / "tools" / "peers"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("==")]
    assert said == ["pip", "taken", "tools.peers_bench", "free"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("SET", "ffmpeg:ffmpeg fluidsynth:fluidsynth npm:npm"), ("--words", "ffmpeg:ffmpeg"),
        ("SET --unpack FILE", ""), ("SET --no-debian", ""), ("--help", ""),
    ],
)  # fmt: skip
def test_a_corpus_asks_for_its_programs_first(arguments: str, wanted: str, tmp_path: Path) -> None:
    """What is judged on has clips in G.722, which ffmpeg alone reads. They come after gigabytes and an hour."""
    root = checkout(tmp_path, "corpus", "exit 0")
    with (root / "tools" / "setup.sh").open("a", encoding="utf-8") as setup:
        setup.write('need_programs() { echo "$*"; }\n')
    done = subprocess.run([root / "tools" / "corpus", *arguments.split()], capture_output=True, text=True,
                          timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == wanted


@contextmanager
def running(root: Path) -> Iterator[subprocess.Popen[str]]:
    """tools/test, with a tools/check that does not come to its end."""
    write(root / "tools" / "check", CHECK)
    process = subprocess.Popen(
        [root / "tools" / "test"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


STARTED = "until [ -e tools/check.started ]; do sleep 0.01; done"


def test_interrupted_tests_end_the_check(tmp_path: Path) -> None:
    """The shell has what it starts in the background ignore Ctrl-C. Pytest's exit code tells of one."""
    with running(checkout(tmp_path, "test", f"{STARTED}\nexit 2")) as process:
        process.communicate(timeout=PATIENCE)  # until nobody has its stdout
        assert process.returncode == 2


def test_whoever_waits_for_the_check_can_end_it(tmp_path: Path) -> None:
    root = checkout(tmp_path, "test", f"{STARTED}\ntouch over\nexit 0")
    with running(root) as process:
        until("the end of the tests", (root / "over").exists)
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize(("tests", "check", "wanted"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_the_exit_code_is_of_both(tmp_path: Path, tests: int, check: int, wanted: int) -> None:
    root = checkout(tmp_path, "test", f"exit {tests}")
    write(root / "tools" / "check", f"#!/bin/sh\nexit {check}\n")
    done = subprocess.run([root / "tools" / "test"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == wanted
    assert ("tools/check failed" in done.stderr) == bool(check)
