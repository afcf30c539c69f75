"""One set of random weights for all: transformers' model, the files that ours and the packages load, foreign imports.

The weights are those of the families' tests: of the released sizes, spread so that codes vary.

Knows: where the tests keep them, and what the packages import without need. Does not know: how they are called.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import save_file

ROOT = Path(__file__).parents[2]


class MissingPeerError(Exception):
    """A peer is not installed, or does not start; the message says what it said."""


def make(name: str, folder: Path) -> tuple[Any, Path, Path]:
    """transformers' ``encodec`` or ``mimi``, the folder that it saved, and the file with the package's names."""
    tests = sys.modules.get("tests")
    if tests is None or str(ROOT / "tests") not in list(getattr(tests, "__path__", [])):
        tests = ModuleType("tests")  # not another package's of that name
        tests.__path__ = [str(ROOT / "tests")]
        sys.modules["tests"] = tests
    spread = importlib.import_module("tests.reference.spread")
    names = importlib.import_module("tests.families.test_names").NAMES[name]
    model = spread.official(name.capitalize())
    own, package = folder / name, folder / "package.safetensors"
    spread.save(model, own)
    save_file(names(model), package)
    return model, own, package


def imported(name: str, unneeded: Sequence[str] = ()) -> Any:
    """A foreign module, with empty modules for what it imports but its model never calls.

    Raises:
        MissingPeerError: it cannot be imported.
    """
    os.environ["NO_TORCH_COMPILE"] = "1"  # moshi: compiling takes longer than the run
    absent = [other for other in unneeded if other not in sys.modules and importlib.util.find_spec(other) is None]
    sys.modules.update({other: ModuleType(other) for other in absent})
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPeerError(f"not measured: {error}") from error
    finally:
        for other in absent:
            del sys.modules[other]
