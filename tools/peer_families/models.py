"""One set of random weights for all: transformers' model, the files that ours and the packages load, foreign imports.

The weights are those of the families' tests: of the released sizes, spread so that codes vary.

Knows: where the tests keep them, and how they import the packages. Does not know: how they are called.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ..modules_of_tests import of_tests


class MissingPeerError(Exception):
    """A peer is not installed, or does not start; the message says what it said."""


def make(name: str, folder: Path) -> tuple[Any, Path, Path]:
    """transformers' ``encodec`` or ``mimi``, the folder that it saved, and the file with the package's names."""
    spread = of_tests("reference.spread")
    names = of_tests("families.test_names").NAMES[name]
    model = spread.official(name.capitalize())
    own, package = folder / name, folder / "package.safetensors"
    spread.save(model, own)
    save_file(names(model), package)
    return model, own, package


def imported(name: str) -> Any:
    """A foreign module.

    Raises:
        MissingPeerError: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPeerError(f"not measured: {error}") from error


def reference(name: str) -> Any:
    """``encodec_package`` or ``moshi_loaders`` of the tests, which import them without what their models never call.

    Raises:
        MissingPeerError: it cannot be imported.
    """
    packages = of_tests("reference.packages")
    try:
        return getattr(packages, name)()
    except ImportError as error:
        raise MissingPeerError(f"not measured: {error.__cause__ or error}") from error
