"""What must travel to a borrowed machine, as a folder: packs, wheels, the native engine, and the code if it has none.

The machine has Python 3.12 on Linux x86-64 with torch, numpy, safetensors, rich and typer. Of what training imports it
lacks soundfile, whose wheel has libsndfile in it; soundfile needs cffi, and that pycparser. The native engine is not
needed: it resamples thirty times faster, which counts for clips at other rates than the codec's.

Knows: files, wheels, sizes, and the command to run there. Does not know: what is in a pack, how anything is trained.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from streamrvq.config import DEFAULT_CODEC

from .record import EARLIER, entries

ROOT = Path(__file__).parents[2]
LIMIT = 64 << 20
_WHEELS = ("soundfile", "cffi", "pycparser")
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_CODE = ("streamrvq", "tools/__init__.py", "tools/ending.py", "tools/training", "LICENSE")
_NATIVE = Path("streamrvq/engine/native/_native.so")
_SHIPPED = Path(f"streamrvq/weights/data/{DEFAULT_CODEC}.safetensors")


class CarryError(Exception):
    """Something is missing, or too large to travel."""


def carry(
    folder: Path, packs: Sequence[Path], weights: Path | None = None, beside: bool = False, limit: int = LIMIT
) -> list[str]:
    """Make ``folder`` anew, and return what to say: its size, and the command.

    Args:
        folder: ``carried/`` in it gets the packs and wheels; with ``beside`` the folder itself does.
        packs: that are to travel now.
        weights: to begin with; None: those that ship.
        beside: a copy of the repository is there already, so only what git does not track is added. It counts.
        limit: bytes that travel at a time.

    Raises:
        CarryError: a pack is missing, or lies in the folder, or has the name of another; the folder holds something
            else, or it is too large. Only in the last case is it made anew.
    """
    missing = [str(path) for path in [*packs, *([weights] if weights is not None else [])] if not path.is_file()]
    if missing:
        raise CarryError(f"{', '.join(missing)} is not there; wanted packs of tools/train_release --pack, and weights")
    mark = folder / ".carried"
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CarryError(f"{folder} holds something else; wanted a new folder, or one that --carry made")
    if beside and not folder.resolve().is_relative_to(ROOT):
        raise CarryError(f"{folder} is not in {ROOT}; wanted a folder in the repository, for only that travels")
    names: dict[str, Path] = {}
    for path in packs:
        if (other := names.setdefault(path.name, path)).resolve() != path.resolve():
            raise CarryError(f"{other} and {path} have one name; wanted packs of different names: rename one")
    if within := [path for path in [*packs, *filter(None, [weights])] if _is_in(path, folder)]:
        raise CarryError(f"{within[0]} is in {folder}, which is made anew; wanted a file elsewhere: copy it first")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    inside = folder if beside else folder / "carried"
    (inside / "wheels").mkdir(parents=True)
    _fetch_wheels(inside / "wheels")
    for path in packs:
        shutil.copyfile(path, inside / path.name)
    place = str(folder.resolve().relative_to(ROOT)) if beside else inside.name
    source = ""
    if weights is not None:
        source = f" --from {place}/weights/{DEFAULT_CODEC}.safetensors"
        (inside / "weights").mkdir()
        shutil.copyfile(weights, inside / "weights" / f"{DEFAULT_CODEC}.safetensors")
        if (weights.parent / "log.jsonl").is_file():  # of a run, whose entries go on with it
            (inside / "weights" / EARLIER).write_text(json.dumps(entries(weights.parent, weights)), encoding="utf-8")
    if beside:
        return _beside(inside, place, source, limit)
    _copy_code(folder, shipped=weights is None)
    return _said(str(folder), [path for path in folder.rglob("*") if path.is_file()], limit, place, source, [])


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _beside(folder: Path, place: str, source: str, limit: int) -> list[str]:
    native = [ROOT / _NATIVE] if (ROOT / _NATIVE).is_file() else []
    mine, listed = {path for path in folder.resolve().rglob("*") if path.is_file()}, _listed()
    ignored = [str(path.relative_to(ROOT)) for path in (folder.resolve(), *native) if not _within(path, listed)]
    also = [f"what git ignores and must be named to travel: {' '.join(ignored)}"] if ignored else []
    return _said(f"the repository with {place}", [*listed | mine | set(native)], limit, place, source, also)


def _within(path: Path, listed: set[Path]) -> bool:
    return any(file.is_relative_to(path) for file in listed)


def _said(what: str, files: Sequence[Path], limit: int, place: str, source: str, also: list[str]) -> list[str]:
    size = sum(path.stat().st_size for path in files)
    if size > limit:
        raise CarryError(f"{what} has {size} bytes; wanted at most {limit}: {size - limit} less, by smaller packs")
    command = f"python3 -m tools.training.borrowed --packs {place}{source} --minutes 9 --keep /tmp/keep"
    return [f"{what}: {size} of {limit} bytes", *also, "in it, there:", f'{command} --out "$OUT"']


def _fetch_wheels(folder: Path) -> None:
    """The wheels, in the versions that tools/constraints.txt names, for the machine's Python and not for this one."""
    command = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", "3.12",
        "--implementation", "cp", "-c", str(ROOT / "tools/constraints.txt"), "-d", str(folder), *_WHEELS,
    ]  # fmt: skip
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CarryError(f"pip cannot fetch {', '.join(_WHEELS)}; wanted their wheels:\n{done.stderr.strip()}")


def _copy_code(folder: Path, shipped: bool) -> None:
    for name in _CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(source, target)
    if not shipped:
        (folder / _SHIPPED).unlink(missing_ok=True)


def _listed() -> set[Path]:
    """The files of the repository that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise CarryError(f"git cannot list {ROOT} ({found.stderr.strip()}); wanted a clone, or no --beside")
    return {path for name in found.stdout.split("\0") if name and (path := ROOT / name).is_file()}
