"""The native engine as it is built: its own checks under sanitizers and on another processor, its wheel, and what
happens without a compiler.

Knows: tools/native-checks and the build hook. Does not know: Python's side of the engine (test_native*.py).
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamrvq import engine
from streamrvq.engine import make_engine
from streamrvq.engine.native import library
from streamrvq.errors import EngineError
from streamrvq.live.server.static import CONTENT_TYPES
from tests.support.contract import NATIVE, minute, weights_of
from tests.support.native import ISAS
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

COMPILER = shutil.which("cmake") and next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


def kept() -> Path:
    """The checks' build of these sources and compilers. Make goes by times, which a checkout may set back."""
    of = (str(ROOT), library.sources_hash(), *map(os.environ.get, ("CXX", "CXXFLAGS", "LDFLAGS")))
    digest = hashlib.sha256(repr(of).encode())
    for program in filter(shutil.which, ("c++", "g++", "clang++", "aarch64-linux-gnu-g++", "cmake")):
        digest.update(subprocess.run([program, "--version"], capture_output=True, check=True).stdout)
    return ROOT / "build" / "checks-of-tests" / digest.hexdigest()[:16]


@pytest.mark.heavy
@pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler, or no CMake")
@pytest.mark.parametrize("kind", ["plain", "address", "thread", "arm"])
def test_the_checks_in_cpp(kind: str) -> None:
    done = subprocess.run(
        [ROOT / "tools" / "native-checks", "quick", kind], capture_output=True, text=True, timeout=20 * PATIENCE,
        env=os.environ | {"STREAMRVQ_CHECKS_DIR": str(kept())},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped" in done.stdout:
        pytest.skip(done.stdout.strip())
    assert " 0 differ" in done.stdout, done.stdout
    if kind != "arm" and NATIVE and sys.platform == "linux":  # no set of this machine is left out, but for races
        assert f"\n{','.join(ISAS[:1] if kind == 'thread' else ISAS)}: " in done.stdout, done.stdout


def test_old_compilers_know_what_processors_are_asked_for() -> None:
    """Clang 14 refuses other names, such as f16c: then there is no library at all."""
    texts = (path.read_text() for path in (library.HERE / "kernels" / "isa").glob("*.cpp"))
    asked = {name for text in texts for name in re.findall(r'__builtin_cpu_supports\("([^"]*)"\)', text)}
    assert asked == {"avx2", "fma", "avx512f", "avx512vl"}


@pytest.mark.skipif(not shutil.which("clang++"), reason="there is no Clang")
@pytest.mark.parametrize("source", ["kernels/isa/avx2.cpp", "checks/selfcheck.cpp"])
def test_clang_takes_the_sources(source: str) -> None:
    flags = ["-mavx2", "-mfma", "-mf16c"] if platform.machine() in ("x86_64", "AMD64") else []
    done = subprocess.run(
        ["clang++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *flags, f"-I{library.HERE}",
         library.HERE / source], capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_sources_hash_is_the_librarys() -> None:
    """A library built from other sources than those beside it is refused, so that no test runs old code."""
    try:
        assert library.load_library().srvq_sources().decode() == library.sources_hash()
    except EngineError as error:
        assert "was not built" in str(error)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """`auto` computes with torch and says so once; `native` is refused, with the remedy."""
    monkeypatch.setattr(library, "HERE", tmp_path)
    library.load_library.cache_clear()
    engine._native_is_there.cache_clear()
    try:
        weights = weights_of(minute())
        with caplog.at_level(logging.WARNING, logger="streamrvq"):
            for _ in range(2):
                assert make_engine(weights.config, weights.tensors).name == "torch"
        assert [record.getMessage().count("the native engine was not built") for record in caplog.records] == [1]
        with pytest.raises(EngineError, match="was not built"):
            make_engine(weights.config, weights.tensors, engine="native")
    finally:
        monkeypatch.undo()
        library.load_library.cache_clear()
        engine._native_is_there.cache_clear()


@pytest.mark.skipif(not NATIVE or sys.platform != "linux", reason="of the native engine on Linux")
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.1, 0.5, 0.9])
def test_a_library_that_was_written_in_part(tmp_path: Path, share: float) -> None:
    """It is refused in a sentence. The system would map it, and end the process where it reads past its end."""
    whole = (library.HERE / "_native.so").read_bytes()
    (tmp_path / "_native.so").write_bytes(whole[: int(share * len(whole))])
    code = (
        "import pathlib, sys\n"
        "from streamrvq.engine.native import library\n"
        "from streamrvq.errors import EngineError\n"
        "library.HERE = pathlib.Path(sys.argv[1])\n"
        "try: library.load_library()\n"
        "except EngineError as error: print(error)\n"
    )
    done = subprocess.run(  # a process of its own, which may end
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = "written in part only" if share * len(whole) >= 64 else "file too short"
    assert wanted in done.stdout
    assert "build it again" in done.stdout


@pytest.mark.parametrize("asked", [False, True])
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    """The package is installed without the engine, unless that was asked for."""
    pytest.importorskip("hatchling")
    from tools import hatch_build

    def refused(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "streamrvq" / "system").mkdir(parents=True)
    shutil.copy(ROOT / "streamrvq" / "system" / "cores.py", tmp_path / "streamrvq" / "system")
    monkeypatch.setenv("STREAMRVQ_NATIVE", "1" if asked else "")
    monkeypatch.setattr(hatch_build, "compiler", lambda: "c++")
    said, made = list[str](), {"artifacts": list[str]()}
    app: Any = SimpleNamespace(display_warning=said.append)
    nothing: Any = None
    hook = hatch_build.NativeEngine(str(tmp_path), {}, nothing, nothing, str(tmp_path), "wheel", app)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refused)
        patch.setattr(Path, "unlink", refused)
        if asked:
            with pytest.raises(RuntimeError, match=r"could not be built: .*Read-only file system"):
                hook.initialize("standard", made)
        else:
            hook.initialize("standard", made)
    assert made == {"artifacts": []}
    assert len(said) == (0 if asked else 1)
    assert "Read-only file system" in "".join(said) or asked


@pytest.mark.heavy
@pytest.mark.parametrize("compiler", ["there", "missing"])
def test_the_wheel(tmp_path: Path, compiler: str) -> None:
    """With a compiler the wheel has the library and a platform; without one it is still made, for any platform.

    The library here is made of the same sources by a compiler that does not optimise: that takes a third of the time.
    """
    if compiler == "there" and not COMPILER:
        pytest.skip("there is no C++ compiler, or no CMake")
    tree = tmp_path / "tree"
    others = (".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "*.pyc*")  # write there meanwhile
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "*.so", "tests", "__pycache__", *others)
    shutil.copytree(ROOT, tree, ignore=left_out)
    hasty = tmp_path / "c++"
    hasty.write_text(f'#!/bin/sh\nexec {os.environ.get("CXX") or COMPILER} "$@" -O0\n')
    hasty.chmod(0o755)
    environment = os.environ | (
        {"CXX": "no-such-compiler"} if compiler == "missing" else {"CXX": str(hasty), "STREAMRVQ_NATIVE": "1"}
    )
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"], cwd=tree, env=environment,
        capture_output=True, text=True, timeout=20 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    if compiler == "missing":
        assert wheel.name.endswith("-py3-none-any.whl")
        assert "without its native engine" in done.stdout + done.stderr
    assert ("streamrvq/engine/native/_native.so" in names) == (compiler == "there")
    if compiler == "there":
        built = ctypes.CDLL(zipfile.ZipFile(wheel).extract("streamrvq/engine/native/_native.so", tmp_path))
        built.srvq_sources.restype = built.srvq_isas.restype = ctypes.c_char_p
        assert built.srvq_sources().decode() == library.sources_hash()
        assert built.srvq_isas().decode().split(",") == ISAS or not NATIVE
    assert {f"streamrvq/live/page/{name}" for name in CONTENT_TYPES} < set(names)
    assert "streamrvq/engine/native/api/api.hpp" in names  # the sources travel along: their hash is checked
