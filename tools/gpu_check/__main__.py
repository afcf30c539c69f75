"""``tools/gpu-check``: all that only a GPU can show, in ten minutes at most, the most important first.

Knows: the parts, their order and their time limits. Does not know: what is in a part. Each is a process of its own: one
that hangs is ended, and a kernel that fails spoils no other.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from ..ending import ended
from . import expected
from .cases import CODECS
from .context import Context

#: Part → the function that it is, and the seconds that it may take.
PARTS: dict[str, tuple[str, int]] = {
    "card": ("card.card", 60),
    "probe": ("probe.part", 40),
    "tiles": ("bits.every_tile", 90),
    "codecs": ("bits.codecs", 120),
    "live": ("times.live", 75),
    "bulk": ("times.bulk", 60),
    "official": ("official.official", 75),
    "kernels": ("times.kernels", 40),
    "tile-times": ("tile_times.tile_times", 75),
    "moves": ("bits.moves", 60),
    "memcheck": ("bits.small_steps", 60),
    "racecheck": ("bits.small_steps", 60),
    "long": ("bits.long", 180),
}
ROOT = Path(__file__).resolve().parents[2]
SANITIZED = ("memcheck", "racecheck")
BUILT = ("moves", "long")  #: these need the native engine


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for gpu-check.json and gpu-check.txt")
    parser.add_argument(
        "--expected", type=Path, default=expected.HASHES, help="hashes that --expect wrote; %(default)s"
    )
    parser.add_argument("--expect", type=Path, metavar="FILE", help="no GPU: compute the hashes by the native engine")
    parser.add_argument("--factor", type=float, default=1.0, help="with --expect: times the usual seconds of audio")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, and in which order; all: %(default)s")
    parser.add_argument("--codecs", default="", help=f"instead of a part's usual ones: {', '.join(CODECS)}")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything; %(default)s")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--build", action="store_true", help="build the native engine meanwhile, for moves and long")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # the process of one
    parser.add_argument("--seconds", type=float, default=1e6, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    unknown = [name for name in chosen.parts.split(",") if name not in PARTS]
    unknown += [name for name in filter(None, chosen.codecs.split(",")) if name not in CODECS]
    if unknown:
        parser.error(f"{unknown[0]!r} is no part and no codec")
    if not (chosen.minutes > 0 and 0 < chosen.factor < math.inf):
        parser.error(f"--minutes is {chosen.minutes:g}, --factor {chosen.factor:g}; wanted numbers above 0")
    if chosen.out is None and chosen.expect is None:
        parser.error("wanted --out FOLDER for the results, or --expect FILE")
    return chosen


def main() -> int:
    chosen = arguments()
    names = tuple(filter(None, chosen.codecs.split(",")))
    if chosen.expect:
        expected.write(chosen.expect, names, chosen.factor)
        return 0
    if chosen.part:
        where, _ = PARTS[chosen.part]
        module, function = where.split(".")
        context = Context(chosen.device, chosen.expected, names, chosen.seconds, chosen.out)
        getattr(importlib.import_module(f".{module}", __package__), function)(context)
        context.save()
        return 0
    try:
        check = Check(chosen)
    except OSError as error:
        print(f"tools/gpu-check: error: {chosen.out} cannot be written ({error}); wanted a folder", file=sys.stderr)
        return 2
    return check.run()


class Check:
    """The run of all parts, and what they found."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen, self._end = chosen, time.monotonic() + 60 * chosen.minutes
        chosen.out.mkdir(parents=True, exist_ok=True)
        self._results, self._log = chosen.out / "gpu-check.json", chosen.out / "gpu-check.txt"
        self._found: dict[str, Any] = {}
        self._scratch = Path(tempfile.mkdtemp())
        self._clean = weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        #: The kernels compile once, in the first part.
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(self._scratch), "PYTHONUNBUFFERED": "1"}
        self._log.write_text("", encoding="utf-8")

    def run(self) -> int:
        build = self._build() if self._chosen.build else None
        try:
            self._parts(build)
        finally:  # also for an interrupt, which does not reach a build in its own session
            self._end_build(build)
            self._clean()
        wrong = sum(part.get("wrong", 0) for part in self._found.values())
        unfinished = [name for name, part in self._found.items() if not finished(part)]
        self._say(f"== {wrong} wrong; not finished: {', '.join(unfinished) or 'none'}")
        return 1 if wrong or unfinished else 0

    def _parts(self, build: subprocess.Popen[bytes] | None) -> None:
        for name in self._chosen.parts.split(","):
            left = self._end - time.monotonic()
            if left < 5:
                self._say(f"== {name}: no time left")
                self._found[name] = {"left_out": "no time left"}
            else:
                if name in BUILT and build is not None:
                    self._wait_for(build, left)
                    build = None
                self._part(name, min(left, PARTS[name][1]))
            self._results.write_text(json.dumps(self._found, indent=1), encoding="utf-8")

    def _part(self, name: str, seconds: float) -> None:
        command = [sys.executable, "-m", "tools.gpu_check", "--part", name, "--device", self._chosen.device]
        file = self._scratch / f"{name}.json"
        command += ["--out", str(file), "--codecs", self._chosen.codecs, "--seconds", str(max(1.0, seconds - 5))]
        command += ["--expected", str(self._chosen.expected)]
        if name in SANITIZED:
            sanitizer = shutil.which("compute-sanitizer")
            if sanitizer is None:
                self._say(f"== {name}: there is no compute-sanitizer")
                self._found[name] = {"left_out": "there is no compute-sanitizer"}
                return
            command = [sanitizer, "--tool", name, "--error-exitcode", "9", "--print-limit", "5", *command]
        self._say(f"== {name} (at most {seconds:.0f} s)")
        begin = time.monotonic()
        status = self._watch(command, seconds)
        result = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"wrong": 0}
        result |= {"status": status, "seconds": round(time.monotonic() - begin, 1)}
        if status and status != "time":
            result["wrong"] = result.get("wrong", 0) + 1
        self._found[name] = result
        self._say(
            f"== {name}: {result['seconds']} s, {result['wrong']} wrong{f', ended by {status}' if status else ''}"
        )

    def _watch(self, command: list[str], seconds: float) -> str:
        """Run a part, show what it prints, and say how it ended: "" as it should, "time", or its exit status."""
        process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip
        printed = threading.Thread(target=self._show, args=(process,))
        printed.start()
        try:
            process.wait(timeout=seconds)
            return str(process.returncode) if process.returncode else ""
        except subprocess.TimeoutExpired:
            return "time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a sanitizer started too
            process.wait()
            printed.join()

    def _show(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._say(line.rstrip("\n"))

    def _say(self, text: str) -> None:
        print(text, flush=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(text + "\n")

    def _build(self) -> subprocess.Popen[bytes]:
        """The native engine's library, beside the other parts."""
        script = (
            'set -e; cd "$1"; B="$2"; cmake -S streamrvq/engine/native -B "$B" -DCMAKE_BUILD_TYPE=Release; '
            'cmake --build "$B" --config Release --parallel "$(( $(nproc) / 2 + 1 ))"; '
            'cp "$(find "$B" -name _native.so | head -1)" streamrvq/engine/native/_native.part.so; '
            "mv streamrvq/engine/native/_native.part.so streamrvq/engine/native/_native.so"
        )
        with (self._chosen.out / "build.txt").open("wb") as log:
            return subprocess.Popen(
                ["bash", "-c", script, "build", str(ROOT), str(self._scratch / "native")], stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _wait_for(self, build: subprocess.Popen[bytes], seconds: float) -> None:
        try:
            self._say(f"== the native engine's build ended with {build.wait(timeout=max(1.0, seconds - 20))}")
        except subprocess.TimeoutExpired:
            self._end_build(build)
            self._say("== the native engine's build took too long")

    @staticmethod
    def _end_build(build: subprocess.Popen[bytes] | None) -> None:
        if build is not None and build.poll() is None:
            os.killpg(build.pid, signal.SIGKILL)  # the compilers too
            build.wait()


def finished(part: dict[str, Any]) -> bool:
    """Whether a part came to its end and left nothing out."""
    return not part.get("status") and not any("left_out" in row for row in (part, *part.get("rows", ())))


if __name__ == "__main__":
    ended(main)
