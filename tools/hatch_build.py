"""Build hook: compiles the native engine into the package, or leaves it out where it cannot be compiled.

Without a C++ compiler, or if compiling fails, the package is installed anyway. Then it computes with torch where that
is installed, and says so when it is used. STREAMRVQ_NATIVE=0 leaves the engine out; STREAMRVQ_NATIVE=1 makes a failure
an error.

Knows: CMake, and the name of a wheel that holds a library. Does not know: what is compiled; streamrvq/engine/native
does.
"""

from __future__ import annotations

import contextlib
import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compiler() -> str | None:
    """The C++ compiler that CMake would use, if there is one."""
    named = os.environ.get("CXX")
    for name in [shlex.split(named)[0]] if named else ["c++", "g++", "clang++"]:
        if found := shutil.which(name):
            return found
    return None


class NativeEngine(BuildHookInterface[Any]):
    """Runs for wheels and for editable installations. A source distribution holds sources only."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """CMake and Ninja from the package index, if the system lacks them and there is something to compile."""
        wanted = os.environ.get("STREAMRVQ_NATIVE") != "0" and self.target_name == "wheel" and compiler()
        return [name for name in ("cmake", "ninja") if wanted and not shutil.which(name)]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the library beside its sources in the package."""
        switch = os.environ.get("STREAMRVQ_NATIVE", "")
        if self.target_name != "wheel" or switch == "0":
            return
        library = Path(self.root) / "streamrvq" / "engine" / "native" / "_native.so"
        try:
            if compiler() is None:
                raise FileNotFoundError("there is no C++ compiler")
            self._build(library)
        except (OSError, subprocess.CalledProcessError) as error:
            # A library of other sources must not stay. One that cannot be removed is refused when it is loaded.
            with contextlib.suppress(OSError):
                library.unlink(missing_ok=True)
            output = getattr(error, "stdout", None) or ""
            if switch == "1":
                raise RuntimeError(f"the native engine could not be built: {error}\n{output}") from error
            self.app.display_warning(f"streamrvq without its native engine: {error}\n{output[-2000:]}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"
        build_data["artifacts"].append("/streamrvq/engine/native/_native.so")

    def _build(self, library: Path) -> None:
        source, build = library.parent, Path(self.root) / "build" / "native"
        cores: int = runpy.run_path(str(Path(self.root) / "streamrvq/system/cores.py"))["available_cores"]()
        # From scratch: an earlier build may refer to files that are gone, such as pip's own CMake and Ninja.
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
        for command in (
            ["cmake", "-S", source, "-B", build, *ninja, "-DCMAKE_BUILD_TYPE=Release"],
            ["cmake", "--build", build, "--config", "Release", "--parallel", str(cores)],
        ):
            subprocess.run(list(map(str, command)), check=True, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)  # fmt: skip
        built = next(path for path in sorted(build.rglob("_native.so")))
        part = library.with_name("_native.part.so")
        shutil.copyfile(built, part)
        part.replace(library)  # at once: a running process keeps the library that it has mapped


def _platform() -> str:
    if platform.system() == "Darwin" and (target := os.environ.get("ARCHFLAGS", "").split()[-1:]):
        return f"macosx_11_0_{target[0]}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
