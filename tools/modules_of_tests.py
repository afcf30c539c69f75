"""Modules of this repository's tests, for the tools: ``tests`` is also the name of other packages.

Knows: where the tests are. Does not know: what is in them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"


def of_tests(name: str) -> Any:
    """A module of the tests, as ``reference.spread``."""
    tests = sys.modules.get("tests")
    if tests is None or str(TESTS) not in list(getattr(tests, "__path__", [])):
        tests = ModuleType("tests")
        tests.__path__ = [str(TESTS)]
        sys.modules["tests"] = tests
    return importlib.import_module(f"tests.{name}")
