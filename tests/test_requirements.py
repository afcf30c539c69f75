"""What pyproject.toml asks for: versions that were found not to work are refused, and the pinned ones are taken.

Knows: pyproject.toml and tools/constraints.txt. Does not know: what the packages do.
"""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
ASKED = [Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in extra)]]
PINNED = dict(
    re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "tools" / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
)
#: Versions that pip would take, and what went wrong with them.
BROKEN = {
    "av==16.0.0": "it has no index of an M4A file, so that none is read",
    "av==19.0.2": "no audio file is read, and AAC ends elsewhere",
    "pyarrow==16.0.0": "its writer takes no metadata at the end of a file",
    "soundfile==0.12.0": "it closes a file that FFmpeg is to read next",
    "typer==0.26.0": "a wrong option is answered with the repr of a tuple; with 0.12 no command runs",
    "websockets==17.0": "its server takes other arguments",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_version_that_does_not_work_is_refused(broken: str) -> None:
    name, version = broken.split("==")
    asked = [requirement for requirement in ASKED if requirement.name == name]
    taken = [str(requirement) for requirement in asked if requirement.specifier.contains(version)]
    assert asked, f"nothing asks for {name} any more"
    assert taken == [], f"{broken}: {BROKEN[broken]}"


def test_what_the_tests_run_with_is_in_the_ranges() -> None:
    outside = [f"{asked}: {PINNED[asked.name]}" for asked in ASKED
               if asked.name in PINNED and not asked.specifier.contains(PINNED[asked.name])]  # fmt: skip
    assert outside == []
