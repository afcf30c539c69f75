"""A virtual environment of what pyproject.toml installs and nothing else, linked from the present one.

It is made in a second, without pip and without a network. So what is imported there is a declared dependency.

Knows: requirements, files of distributions. Does not know: what is run there.
"""

from __future__ import annotations

import os
import shutil
import tomllib
import venv
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

#: What the tests are run with.
FOR_TESTS = ("pytest", "pytest-asyncio", "hypothesis")


def make(folder: Path, extras: Iterable[str] = (), others: Iterable[str] = (), native: bool = True) -> Path:
    """Make an environment; gives its Python.

    Args:
        folder: of the environment.
        extras: of streamrvq.
        others: requirements beside it.
        native: False: without the native engine, as where there was no compiler.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    for found in closure([*declared(*extras), *others]):
        for file in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (site / file).exists():
                (site / file).symlink_to(str(found.locate_file(file)))
    package = ROOT / "streamrvq"
    if native:
        (site / "streamrvq").symlink_to(package)
    else:
        left_out = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(package, site / "streamrvq", copy_function=os.symlink, ignore=left_out)
    about = site / "streamrvq-0.0.0.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: streamrvq\nVersion: 0.0.0\n", encoding="utf-8")
    return folder / "bin" / "python"


def size(environment: Path) -> int:
    """Bytes on disk of what is installed in an environment, as ``du`` counts them."""
    folders = os.walk(environment / "lib", followlinks=True)
    return sum(512 * os.stat(os.path.join(folder, name)).st_blocks for folder, _, names in folders for name in names)


@cache
def _project() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(*extras: str) -> list[str]:
    """The requirements of streamrvq with these extras."""
    project = _project()
    return [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]


def closure(requirements: Iterable[str]) -> list[Distribution]:
    """The distributions that satisfy requirements, and theirs. Skips the test if one is not installed."""
    found: dict[tuple[str, str], Distribution] = {}
    waiting = [(line, "") for line in requirements]
    while waiting:
        line, extra = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            here = distribution(requirement.name)
        except PackageNotFoundError:
            pytest.skip(f"{requirement.name} is not installed")
        for wanted in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), wanted)) not in found:
                found[key] = here
                waiting += [(more, wanted) for more in here.requires or ()]
    return list({id(one): one for one in found.values()}.values())
