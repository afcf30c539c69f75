"""tools/setup.sh where programs are missing: flock and sha256sum, as on macOS, and a C++ compiler.

Knows: its functions, each in a shell of its own. Does not know: pip, for which there is a stand-in.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

BASH = shutil.which("bash") or "/bin/bash"
SHASUM = f"""#!/bin/sh
[ "$*" = "-a 256" ] || exit 2
exec {sys.executable} -S -c "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), '', '-')"
"""


@pytest.fixture(params=["as it is", "without flock and sha256sum"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH."""
    if request.param == "as it is":
        return os.environ["PATH"]
    (programs := tmp_path / "programs").mkdir()
    for name in ("dirname", "cut"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "shasum").write_text(SHASUM)
    (programs / "shasum").chmod(0o755)
    return str(programs)


def shell(script: str, path: str) -> subprocess.Popen[str]:
    """A shell that has read setup.sh and runs a script."""
    command = [BASH, "-c", f'set -euo pipefail\nsource "{ROOT}/tools/setup.sh"\n{script}']
    return subprocess.Popen(
        command, env=os.environ | {"PATH": path, "PYTHON": sys.executable}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def said(script: str, path: str) -> str:
    process = shell(script, path)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert err == ""
    return out


def test_a_hash_is_the_same_with_either_program(path: str) -> None:
    wanted = hashlib.sha256(b"what is installed").hexdigest()
    assert said("printf 'what is installed' | sha256", path) == f"{wanted}  -\n"


@pytest.mark.parametrize("name", ["setup.sh", "native-checks"])
def test_the_checkout_is_found_beside_a_cdpath(name: str, tmp_path: Path) -> None:
    """With CDPATH, cd prints where it went, or goes to a folder of that name elsewhere."""
    for folder in ("checkout", "elsewhere"):
        (tmp_path / folder / "tools").mkdir(parents=True)
    (line,) = [line for line in (ROOT / "tools" / name).read_text().splitlines() if "BASH_SOURCE[0]" in line]
    (tmp_path / "checkout/tools/script").write_text(f'{line}\necho "${{ROOT:-$root}}"\n')
    environment = os.environ | {"CDPATH": f"{tmp_path / 'elsewhere'}:."}
    done = subprocess.run([BASH, "tools/script"], cwd=tmp_path / "checkout", env=environment, capture_output=True,
                          text=True, timeout=PATIENCE)  # fmt: skip
    assert done.stdout == f"{(tmp_path / 'checkout').resolve()}\n"


def test_a_check_that_there_is_not_is_refused_before_any_is_built(tmp_path: Path) -> None:
    command = [BASH, str(ROOT / "tools" / "native-checks"), "plain", "plane"]
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "dirname")
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no check is called plane; there are plain, address, thread, arm\n"


def test_tools_take_turns_with_and_without_flock(path: str, tmp_path: Path) -> None:
    script = f'ROOT="{tmp_path}"\ntake_turn\necho taken\nread -r line\nexec 9>&-\necho given\nread -r line'
    process = shell(script, path)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "taken\n"
        with (tmp_path / ".venv.lock").open("w") as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "given\n"
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert process.communicate("\n", timeout=PATIENCE)[1] == ""
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("level", ["demo", "docs"])
@pytest.mark.parametrize("native", [True, False])
def test_an_environment_without_the_native_engine_is_given_torch(level: str, native: bool) -> None:
    """Each of these counts as one that tools/demo can use."""
    stand_ins = f'pip_install() {{ echo "pip $*"; }}\nnative_engine() {{ return {0 if native else 1}; }}\nPY=false\n'
    lines = said(f"{stand_ins}install_into_env {level}", os.environ["PATH"]).splitlines()
    assert [line for line in lines if line.startswith("pip ") and str(ROOT) in line] != []
    assert any(line.startswith("pip torch==") for line in lines) == (not native), lines
